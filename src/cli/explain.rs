//! `vigie explain`: which rule takes a URL, why, and what becomes of the request, step by step; and
//! whether the proxy that runs says the same. Exit codes: 0 the URL works, 1 it does not, 2 misuse.
//! Of a code it says what findings of that code mean.

mod ask;
mod code;
mod in_cluster;
mod running;
mod stages;
mod text;
mod sentence;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use super::codes::{self, looks_like_code};
use super::connect::ConnectArgs;
use super::lint::ProxyName;
use super::options::{BuildOptions, today};
use super::report::{Report, colour};
use super::{FINDINGS, GOOD};
use crate::diagnose::{self, diagnose};
use crate::explain::request::RequestError;
use crate::explain::{Explanation, Header, Request, Url, Way, explain, findings};
use crate::model::Model;
use crate::model::diagnostics::{Code, Diagnostic, ObjectRef};
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;
use crate::render::{Capabilities, ProxyKind, unsupported};
use crate::snapshot::Snapshot;
use crate::source::cluster::Statuses;
use crate::source::folder::{Folder, Manifests};
use crate::translate::{tallies, translate};

use ask::Said;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The URL that a client asks for; or the code of a finding, as RH201
    #[arg(value_name = "URL|CODE", value_parser = asked)]
    asked: Asked,

    /// Files and folders of manifests; - is standard input; none: the objects of a cluster
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Of a cluster, look at these namespaces alone (repeatable)
    #[arg(
        long = "namespaces",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        conflicts_with = "paths"
    )]
    namespaces: Vec<String>,

    #[command(flatten)]
    connect: ConnectArgs,

    /// A header of the request, as 'X-Canary: always' (repeatable)
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<Header>,

    /// The client's address, for access lists
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// Send the request to the proxy that listens there, and compare its answer
    #[arg(long, value_name = "ADDRESS", value_parser = ask_address)]
    ask: Option<SocketAddr>,

    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,

    /// Tell what this proxy cannot do (repeatable; default: both)
    #[arg(long, value_name = "PROXY")]
    proxy: Vec<ProxyName>,

    #[command(flatten)]
    build: BuildOptions,
}

/// What is to be explained.
#[derive(Clone, Debug)]
enum Asked {
    Url(Url),
    Code(Code),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Serialize)]
struct Json<'a> {
    works: bool,
    #[serde(flatten)]
    explanation: &'a Explanation,
    proxies: &'a [Said],
    findings: Value,
}

pub fn run(args: &ExplainArgs) -> anyhow::Result<u8> {
    match &args.asked {
        Asked::Url(url) => explain_url(args, url),
        Asked::Code(code) => code::run(args, *code),
    }
}

fn explain_url(args: &ExplainArgs, url: &Url) -> anyhow::Result<u8> {
    let (folder, statuses) = match args.paths.as_slice() {
        [] => in_cluster::read(&args.connect, &args.namespaces)?,
        paths => (Manifests::open(paths)?.read(), Arc::default()),
    };
    let built = Built {
        statuses,
        ..build(args, &folder)?
    };
    let model = &built.model;
    let request = args.request(url);
    let explanation = explain(model, &request);
    let proxies = match args.ask {
        Some(address) => vec![ask::ask(address, &request, model, &explanation)],
        // A proxy of this machine has nothing to do with a cluster's objects.
        None if args.paths.is_empty() => Vec::new(),
        None => running::ask(&explanation),
    };
    let concerning = findings::concerning(
        &explanation,
        &built.snapshot,
        &built.diagnostics,
        &built.behind,
    );
    let works = built.works(&explanation);
    let stages = stages::lines(&built, &explanation);
    let report = Report::new(&concerning, &folder.locations);
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text => {
            let said = text::text(model, &explanation, &built.expected, &stages, &proxies);
            let findings = report.text(colour(out.is_terminal()));
            let sentence = sentence::sentence(&explanation, &built.expected);
            write!(out, "{said}\n{findings}{sentence}\n")?;
        }
        Output::Json => {
            let json = Json {
                works,
                explanation: &explanation,
                proxies: &proxies,
                findings: serde_json::from_str(&report.json()?)?,
            };
            writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        }
    }
    Ok(if works { GOOD } else { FINDINGS })
}

impl ExplainArgs {
    fn request(&self, url: &Url) -> Request {
        Request {
            url: url.clone(),
            headers: self.headers.clone(),
            client: self.client,
        }
    }
}

fn asked(text: &str) -> Result<Asked, String> {
    match looks_like_code(text) {
        true => codes::code(text).map(Asked::Code),
        false => text
            .parse()
            .map(Asked::Url)
            .map_err(|error: RequestError| error.to_string()),
    }
}

fn ask_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost").unwrap_or(text);
    let full = match local.starts_with(':') {
        true => format!("127.0.0.1{local}"),
        false => text.to_owned(),
    };
    let address = full.parse();
    address.map_err(|_| "write an address and a port, as 127.0.0.1:8080 or :8080".to_owned())
}

struct Built {
    snapshot: Snapshot,
    model: Model,
    diagnostics: Vec<Diagnostic>,
    tallies: BTreeMap<UpstreamName, Tally>,
    expected: Expected,
    behind: diagnose::Findings,
    /// What a cluster says; nothing, of a folder.
    statuses: Arc<Statuses>,
}

/// Upstreams whose endpoints come when these manifests are applied, and what makes them.
type Expected = BTreeMap<UpstreamName, Vec<ObjectRef>>;

impl Built {
    /// Whether the URL works, or will when these manifests are applied.
    fn works(&self, explanation: &Explanation) -> bool {
        let last = explanation.then.as_deref().unwrap_or(explanation);
        let ways = last.outcome.ways();
        let is_expected = |way: &Way| self.expected.contains_key(&way.name);
        explanation.works() || (!ways.is_empty() && ways.iter().all(is_expected))
    }
}

/// `Deployment shop/web makes the pods`.
fn made_by(makers: &[ObjectRef]) -> String {
    let makers: Vec<String> = makers.iter().map(ToString::to_string).collect();
    format!("{} makes the pods", makers.join(", "))
}

fn build(args: &ExplainArgs, folder: &Folder) -> anyhow::Result<Built> {
    let (snapshot, of_options) = args.build.stand_in(&folder.snapshot)?;
    let translation = translate(&snapshot, &args.build.options(today(), None));
    let mut diagnostics = folder.diagnostics.clone();
    diagnostics.extend(of_options);
    diagnostics.extend(translation.diagnostics);
    let tallies = tallies(&snapshot, &translation.model);
    let behind = diagnose(&snapshot, &translation.model, &tallies);
    let expected = diagnose::expected(&snapshot, &translation.model);
    let named: Vec<ProxyKind> = args.proxy.iter().map(|&name| name.into()).collect();
    let proxies = match named.as_slice() {
        [] => &ProxyKind::ALL,
        named => named,
    };
    for &proxy in proxies {
        let capabilities = Capabilities::assumed(proxy);
        diagnostics.extend(unsupported(&translation.model, &capabilities));
    }
    Ok(Built {
        snapshot,
        model: translation.model,
        diagnostics,
        tallies,
        expected,
        behind,
        statuses: Arc::default(),
    })
}

#[cfg(test)]
mod tests;
