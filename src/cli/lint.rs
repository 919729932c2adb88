use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use super::options::{BuildOptions, today};
use super::report::{Report, colour, summary};
use super::{FINDINGS, GOOD};
use crate::diagnose::diagnose;
use crate::model::diagnostics::{Diagnostic, Severity};
use crate::render::{self, Capabilities, ProxyKind};
use crate::source::folder::{Folder, Manifests};
use crate::translate::{tallies, translate};

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files and folders of manifests; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,

    /// Tell what this proxy cannot do (repeatable; default: both)
    #[arg(long, value_name = "PROXY")]
    proxy: Vec<ProxyName>,

    /// The date by which certificates are judged; default: today, in UTC
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,

    #[command(flatten)]
    build: BuildOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The proxies by the names that users give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyName {
    Nginx,
    Haproxy,
}

impl From<ProxyName> for ProxyKind {
    fn from(name: ProxyName) -> Self {
        match name {
            ProxyName::Nginx => Self::Nginx,
            ProxyName::Haproxy => Self::Haproxy,
        }
    }
}

pub fn lint(args: &LintArgs) -> anyhow::Result<u8> {
    let folder = Manifests::open(&args.paths)?.read();
    let diagnostics = diagnostics(args, &folder)?;
    let report = Report::new(&diagnostics, &folder.locations);
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{}", report.json()?)?,
        Output::Text => {
            let text = report.text(colour(out.is_terminal()));
            let summary = summary(&report, folder.objects, &folder.skipped);
            writeln!(out, "{text}{summary}")?;
        }
    }
    Ok(match report.count(Severity::Error) {
        0 => GOOD,
        _ => FINDINGS,
    })
}

/// All that is found about the folder's objects.
fn diagnostics(args: &LintArgs, folder: &Folder) -> anyhow::Result<Vec<Diagnostic>> {
    let (snapshot, of_options) = args.build.stand_in(&folder.snapshot)?;
    let date = args.date.unwrap_or_else(today);
    let translation = translate(&snapshot, &args.build.options(date, None));
    let named: Vec<ProxyKind> = args.proxy.iter().map(|&name| name.into()).collect();
    let proxies = match named.as_slice() {
        [] => &ProxyKind::ALL,
        named => named,
    };
    let mut all = folder.diagnostics.clone();
    all.extend(of_options);
    all.extend(translation.diagnostics);
    let tallies = tallies(&snapshot, &translation.model);
    let behind = diagnose(&snapshot, &translation.model, &tallies);
    all.extend(behind.into_values().flatten());
    for &proxy in proxies {
        all.extend(render::unsupported(
            &translation.model,
            &Capabilities::assumed(proxy),
        ));
    }
    Ok(all)
}
