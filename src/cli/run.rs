//! `vigie run`: a folder of manifests, served by a proxy of this machine.

mod addresses;
mod table;
mod teller;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::lint::ProxyName;
use super::options::{BuildOptions, today};
use super::runtime::threads;
use super::signals::Signals;
use super::{FINDINGS, GOOD};
use crate::agent::driver::{Output as ProxyOutput, Stream};
use crate::agent::{Load, LoadKind};
use crate::render::bundle::Revision;
use crate::self_signed::self_signed;
use crate::snapshot::Snapshot;
use crate::source::folder::{Folder, Manifests, watch};
use crate::source::stand_in::{StandIn, stand_in};
use crate::standalone::find::find;
use crate::standalone::{Built, Settings, Standalone, Told, build};
use crate::translate::{Memo, Memory, Refused};

use addresses::Address;
use teller::Teller;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Files and folders of manifests; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The proxy that serves them
    #[arg(long, value_name = "PROXY", default_value = "nginx")]
    proxy: ProxyName,

    /// The proxy's program; default: the one in our cache, or the first in PATH
    #[arg(long, value_name = "FILE")]
    proxy_binary: Option<PathBuf>,

    /// Where http is accepted: HOST:PORT, :PORT for all IPv4 addresses, port 0 for a free one, or
    /// none (repeatable)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: Vec<Address>,

    /// Where https is accepted, likewise (repeatable)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    https: Vec<Address>,

    /// Load, prove, print and stop: 0 if every route is good, 1 if not
    #[arg(long)]
    once: bool,

    /// Lines for people, or one JSON object a line
    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,

    /// Where the proxy's access log goes; default: standard error
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    #[command(flatten)]
    build: BuildOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    threads(Some(2))?.block_on(serve(args))
}

async fn serve(args: &RunArgs) -> anyhow::Result<u8> {
    // From here on a signal ends the loop below, which leaves nothing behind.
    let mut signals = Signals::new()?;
    let manifests = Manifests::open(&args.paths)?;
    let found = find(args.proxy.into(), args.proxy_binary.as_deref()).await?;
    let http = addresses::take("--http", &args.http)?;
    let https = addresses::take("--https", &args.https)?;
    let teller = Teller::new(args.output == Output::Json, &found, &http, &https);
    teller.found()?;
    let backends = args.build.resolve_backends()?;
    let standalone = Standalone::start(&found, settings(args, http, https))?;
    let mut run = Run {
        args,
        backends,
        standalone,
        teller,
        memory: Memory::default(),
        folder: Arc::default(),
        built: None,
        good: Arc::default(),
        memo: Memo::default(),
        default_certificate: self_signed(today())?,
        capabilities: found.capabilities,
    };
    let code = tokio::select! {
        code = run.until_done(manifests) => code,
        // Whoever asks for one round wants to know that it came to its end.
        () = signals.any() => Ok(if args.once { FINDINGS } else { GOOD }),
    };
    run.standalone.stop().await;
    run.teller.stopped()?;
    code
}

fn settings(args: &RunArgs, http: Vec<SocketAddr>, https: Vec<SocketAddr>) -> Settings {
    let access = match &args.access_log {
        Some(path) => Stream::File(path.clone()),
        None => Stream::Stderr,
    };
    let output = ProxyOutput {
        access,
        errors: true,
    };
    Settings {
        http,
        https,
        output,
    }
}

struct Run<'a> {
    args: &'a RunArgs,
    /// What `--backend` names, as it was resolved at the start.
    backends: Vec<(StandIn, IpAddr)>,
    standalone: Standalone,
    teller: Teller,
    memory: Memory,
    folder: Arc<Folder>,
    /// The latest build, and what it was made of.
    built: Option<(Revision, Arc<Snapshot>)>,
    /// What the bundle was made of that runs.
    good: Arc<Snapshot>,
    memo: Memo,
    default_certificate: crate::model::Certificate,
    capabilities: crate::render::Capabilities,
}

impl Run<'_> {
    async fn until_done(&mut self, manifests: Manifests) -> anyhow::Result<u8> {
        let mut folders = watch::watch(manifests)?;
        self.folder = folders.borrow_and_update().clone();
        self.build().await?;
        loop {
            tokio::select! {
                told = self.standalone.told() => match told {
                    Some(Told::Load(load)) => {
                        let good = load.kind.is_loaded();
                        let again = self.learn(&load);
                        self.teller.load(load, again)?;
                        if again {
                            self.build().await?;
                        } else if self.args.once {
                            return Ok(if good && !self.teller.has_errors() { GOOD } else { FINDINGS });
                        }
                    }
                    Some(Told::Name(problem)) => self.teller.name(&problem)?,
                    None => anyhow::bail!("the agent has ended by itself"),
                },
                Ok(()) = folders.changed() => {
                    self.folder = folders.borrow_and_update().clone();
                    self.build().await?;
                }
            }
        }
    }

    /// Takes what the proxy says of the latest build into the memory of the next one, and says whether
    /// that one is due. Older builds tell nothing about what is wanted now.
    fn learn(&mut self, load: &Load) -> bool {
        let built = self.built.as_ref();
        let Some((_, snapshot)) = built.filter(|(revision, _)| *revision == load.revision) else {
            return false;
        };
        match &load.kind {
            LoadKind::Refused { words, origin } => self.memory.quarantine.refused(&Refused {
                proxy: &self.capabilities.to_string(),
                words,
                origin: origin.as_ref(),
                snapshot,
                good: &self.good,
            }),
            kind if kind.is_loaded() => {
                self.good = snapshot.clone();
                self.memory.quarantine.loaded()
            }
            _ => false,
        }
    }

    /// Builds what the manifests say now and has it loaded.
    async fn build(&mut self) -> anyhow::Result<()> {
        let (snapshot, of_options) = stand_in(&self.folder.snapshot, &self.backends);
        let snapshot = Arc::new(snapshot);
        let certificate = Some(self.default_certificate.clone());
        let mut options = self.args.build.options(today(), certificate);
        options.memory = std::mem::take(&mut self.memory);
        let Built {
            model,
            mut diagnostics,
            memory,
        } = build(&snapshot, &options, &self.capabilities, &mut self.memo);
        self.memory = memory;
        diagnostics.extend(self.folder.diagnostics.iter().cloned());
        diagnostics.extend(of_options);
        let bundle = self.standalone.load(&model).await?;
        let quarantine = &self.memory.quarantine;
        self.built = Some((bundle.revision(), quarantine.applied(&snapshot)));
        let aside = quarantine.set_aside_objects().cloned().collect();
        self.teller.built(&model, diagnostics, aside, &self.folder)
    }
}
