use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use jiff::civil::Date;

mod directory;

use super::lint::ProxyName;
use super::options::{BuildOptions, today};
use super::report::{Report, colour, summary};
use super::{FINDINGS, GOOD};
use crate::model::diagnostics::Severity;
use crate::render::capabilities::Version;
use crate::render::{self, Capabilities, Placement};
use crate::source::folder::Manifests;
use crate::standalone::{Built, build};
use crate::translate::Memo;

/// Where the agent's DNS answers, the first of as many ports as are needed.
const RESOLVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 10_053);

#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Files and folders of manifests; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[arg(long, value_name = "PROXY")]
    proxy: ProxyName,

    /// The folder to write: a new one, an empty one, or one that was written so before
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The version of the proxy; default: the one that this program is tested with
    #[arg(long, value_name = "VERSION")]
    proxy_version: Option<Version>,

    /// Where http is accepted (repeatable)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:80")]
    http: Vec<SocketAddr>,

    /// Where https is accepted (repeatable)
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:443")]
    https: Vec<SocketAddr>,

    /// The port that clients know https by, for redirects; default: 443
    #[arg(long, value_name = "PORT")]
    https_redirect_port: Option<u16>,

    /// Where nginx asks for endpoints (repeatable); default: 127.0.0.1:10053 and, with many
    /// upstreams, the ports after it
    #[arg(long, value_name = "ADDRESS")]
    resolver: Vec<SocketAddr>,

    /// The date by which certificates are judged; default: today, in UTC
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,

    #[command(flatten)]
    build: BuildOptions,
}

pub fn render(args: &RenderArgs) -> anyhow::Result<u8> {
    let capabilities = capabilities(args)?;
    let manifests = Manifests::open(&args.paths)?;
    let target = directory::Directory::claim(&args.out)?;
    let folder = manifests.read();
    let (snapshot, of_options) = args.build.stand_in(&folder.snapshot)?;
    let date = args.date.unwrap_or_else(today);
    let Built {
        model, diagnostics, ..
    } = build(
        &snapshot,
        &args.build.options(date, None),
        &capabilities,
        &mut Memo::default(),
    );
    let placement = Placement {
        http: args.http.clone(),
        https: args.https.clone(),
        https_redirect_port: args.https_redirect_port,
        resolvers: resolvers(&args.resolver, model.upstreams.len()),
    };
    let bundle = render::render(&model, &capabilities, &placement);
    let mut all = folder.diagnostics.clone();
    all.extend(of_options);
    all.extend(diagnostics);
    let report = Report::new(&all, &folder.locations);
    let mut err = std::io::stderr().lock();
    write!(err, "{}", report.text(colour(err.is_terminal())))?;
    writeln!(err, "{}", summary(&report, folder.objects, &folder.skipped))?;
    let files = bundle.files();
    target.write(&files)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "revision   {}", bundle.revision())?;
    writeln!(out, "endpoints  {}", bundle.endpoints_digest())?;
    writeln!(out, "files      {} in {}", files.len(), args.out.display())?;
    let source = if args.proxy_version.is_some() {
        "given"
    } else {
        "assumed"
    };
    writeln!(out, "proxy      {capabilities} ({source})")?;
    let source = if args.date.is_some() {
        "given"
    } else {
        "today"
    };
    writeln!(out, "date       {date} ({source})")?;
    writeln!(
        out,
        "memory     empty: no certificate is kept from before (assumed)"
    )?;
    if model.default_certificate.is_none() {
        writeln!(
            out,
            "default    no certificate for other names: give --default-certificate (vigie run makes one)"
        )?;
    }
    Ok(match report.count(Severity::Error) {
        0 => GOOD,
        _ => FINDINGS,
    })
}

fn capabilities(args: &RenderArgs) -> anyhow::Result<Capabilities> {
    let assumed = Capabilities::assumed(args.proxy.into());
    let capabilities = Capabilities {
        version: args.proxy_version.unwrap_or(assumed.version),
        ..assumed
    };
    if !capabilities.is_served() {
        let oldest = Capabilities::oldest(capabilities.proxy);
        bail!("{capabilities} is too old: {oldest} or newer is needed");
    }
    Ok(capabilities)
}

fn resolvers(given: &[SocketAddr], upstreams: usize) -> Vec<SocketAddr> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let needed = upstreams.div_ceil(Placement::UPSTREAMS_PER_RESOLVER).max(1);
    let ports = RESOLVER.port()..=u16::MAX;
    let at = |port| SocketAddr::new(RESOLVER.ip(), port);
    ports.take(needed).map(at).collect()
}

#[cfg(test)]
mod tests;
