//! `vigie lint`: what is wrong with manifests, and where. Exit codes: 0 no finding of severity error,
//! 1 some, 2 misuse.

mod baseline;
mod sarif;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use jiff::civil::Date;

use super::codes::code;
use super::judged::seen;
use super::options::{BuildOptions, today};
use super::report::{Report, colour, counted, summary};
use super::{FINDINGS, GOOD};
use crate::conditions::objections;
use crate::diagnose::diagnose;
use crate::model::diagnostics::{Code, Diagnostic, Kind, ObjectRef, Severity};
use crate::render::{self, Capabilities, ProxyKind};
use crate::source::folder::{Folder, Manifests};
use crate::translate::{tallies, translate};

use baseline::{Baseline, Known};

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files and folders of manifests; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,

    /// Count findings of this code as errors (repeatable)
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code)]
    deny: Vec<Code>,

    /// Leave findings of this code out (repeatable)
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code)]
    allow: Vec<Code>,

    /// Leave the findings out that this file lists; --write-baseline writes it
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// List what is found in this file, for --baseline, instead of telling it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "output"])]
    write_baseline: Option<PathBuf>,

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
    /// SARIF 2.1.0, as GitHub code scanning takes it
    Sarif,
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
    if let Some(code) = args.deny.iter().find(|code| args.allow.contains(code)) {
        bail!("{code} is given to --deny and to --allow; give it to one of them");
    }
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let folder = Manifests::open(&args.paths)?.read();
    let mut found = diagnostics(args, &folder)?;
    if let Some(file) = args.baseline.as_ref().or(args.write_baseline.as_ref()) {
        baseline::leave_out(&mut found, file);
    }
    if let Some(file) = &args.write_baseline {
        let baseline = Baseline::of(&judged(args, found));
        baseline.write(file)?;
        let findings = counted(baseline.len(), "finding").unwrap_or_else(|| "no finding".into());
        writeln!(std::io::stdout(), "{}: {findings}", file.display())?;
        return Ok(GOOD);
    }
    let known = baseline.map(|baseline| baseline.leave_out(&mut found));
    let found = judged(args, found);
    let report = Report::new(&found, &folder.locations);
    tell(args, &report, &folder, known)?;
    Ok(match report.count(Severity::Error) {
        0 => GOOD,
        _ => FINDINGS,
    })
}

/// Only text has room for more than the findings; for programs, the rest goes to standard error.
fn tell(
    args: &LintArgs,
    report: &Report<'_>,
    folder: &Folder,
    known: Option<Known>,
) -> anyhow::Result<()> {
    let known = known.map(|known| known.sentence());
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{}", report.json()?)?,
        Output::Sarif => writeln!(out, "{}", sarif::sarif(report)?)?,
        Output::Text => {
            let text = report.text(colour(out.is_terminal()));
            let mut summary = summary(report, folder.objects, &folder.skipped);
            if let Some(known) = &known {
                summary = format!("{summary}; {known}");
            }
            writeln!(out, "{text}{summary}")?;
        }
    }
    match known {
        Some(known) if args.output != Output::Text => eprintln!("{known}"),
        _ => {}
    }
    Ok(())
}

/// The findings as --allow and --deny want them.
fn judged(args: &LintArgs, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let told = found
        .into_iter()
        .filter(|finding| !args.allow.contains(&finding.code));
    told.map(|finding| match args.deny.contains(&finding.code) {
        true => finding.with_severity(Severity::Error),
        false => finding,
    })
    .collect()
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
    all.extend(translation.diagnostics.iter().cloned());
    let tallies = tallies(&snapshot, &translation.model);
    let behind = diagnose(&snapshot, &translation.model, &tallies);
    all.extend(behind.values().flatten().cloned());
    let (model, findings) = (&translation.model, &translation.diagnostics);
    let seen = seen(&snapshot, model, findings, tallies, behind);
    let healths = snapshot.route_healths.iter().map(|(name, health)| {
        let name = ObjectRef::new(Kind::RouteHealth, &name.namespace, &name.name);
        (name, health.as_ref())
    });
    all.extend(objections(&seen, &healths.collect()));
    for &proxy in proxies {
        all.extend(render::unsupported(
            &translation.model,
            &Capabilities::assumed(proxy),
        ));
    }
    all.sort();
    all.dedup();
    Ok(all)
}
