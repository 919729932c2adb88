//! `vigie proxy`: owns the proxy of a pod, where the agent that reads the cluster is another container. It
//! has no rights in the cluster, and so whoever gets hold of the proxy gets none.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::GOOD;
use super::agent::pages;
use super::lint::ProxyName;
use super::runtime::threads;
use super::signals::Signals;
use crate::agent::Pace;
use crate::agent::driver::{Output, Stream};
use crate::agent::follow::Followed;
use crate::agent::link::take_over;
use crate::agent::loader::{Loader, Settings};
use crate::agent::serve::{View, report};
use crate::render::bundle::ProxyKind;
use crate::render::wire::Installation;
use crate::server::serve;
use crate::standalone::find::find;
use crate::telemetry::{self, LogFormat, Metrics};

/// A proxy that is owned.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// The proxy
    #[arg(long, value_name = "PROXY", default_value = "nginx")]
    proxy: ProxyName,

    /// The proxy's program; default: the one in our cache, or the first in PATH
    #[arg(long, value_name = "FILE")]
    proxy_binary: Option<PathBuf>,

    /// Where the proxy's files lie, keys too: memory-backed, and with a short path
    #[arg(long, value_name = "FOLDER", default_value = "/run/vigie")]
    directory: PathBuf,

    /// Where the proxy's access log goes: a file, or - for standard output; default: nowhere
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// How long the proxy goes on as before when it is to end, in seconds, though it is not ready any
    /// more: until whoever sends requests has heard of it
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    drain: u64,

    /// What open requests get when the proxy is ended, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
}

impl ProxyArgs {
    pub fn kind(&self) -> ProxyKind {
        self.proxy.into()
    }

    pub async fn settings(&self, installation: &Installation) -> anyhow::Result<Settings> {
        let access = match &self.access_log {
            None => Stream::Null,
            Some(path) if path.as_os_str() == "-" => Stream::Stdout,
            Some(path) => Stream::File(path.clone()),
        };
        Ok(Settings {
            found: find(self.kind(), self.proxy_binary.as_deref()).await?,
            installation: installation.clone(),
            directory: self.directory.clone(),
            output: Output {
                access,
                errors: true,
            },
            pace: Pace {
                grace: Duration::from_secs(self.grace),
                ..Pace::default()
            },
        })
    }

    /// Ends when it is time to end the proxy, some time after it is asked for.
    pub async fn drained(&self, asked: impl Future<Output = ()>) {
        asked.await;
        if self.drain > 0 {
            tracing::info!(seconds = self.drain, "draining");
            sleep(Duration::from_secs(self.drain)).await;
        }
    }
}

#[derive(Debug, Args)]
pub struct ProxyCommand {
    /// The name of the installation whose configuration is loaded
    #[arg(long, value_name = "NAME", default_value = "vigie")]
    installation: Installation,

    /// The Unix socket of the agent that hands over
    #[arg(long, value_name = "SOCKET")]
    take_over: PathBuf,

    #[command(flatten)]
    proxy: ProxyArgs,

    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10256")]
    listen: SocketAddr,

    /// How log lines look
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: LogFormat,
}

pub fn run(args: &ProxyCommand) -> anyhow::Result<u8> {
    telemetry::log(args.log_format);
    threads(Some(2))?.block_on(work(args))
}

async fn work(args: &ProxyCommand) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let settings = args.proxy.settings(&args.installation).await?;
    let capabilities = settings.found.capabilities;
    tracing::info!(proxy = %capabilities, installation = %args.installation, "proxy");
    let loader = Loader::start(settings)?;
    let (handed, mirrors) = watch::channel(None);
    let (telling, followed) = watch::channel(Followed::default());
    let (reporting, reports) = watch::channel(None);
    let mut tasks = JoinSet::new();
    tasks.spawn(report(capabilities, loader.state(), reporting));
    tasks.spawn(take_over(args.take_over.clone(), handed, reports, telling));
    let view = View {
        followed,
        state: Some(loader.state()),
    };
    let pages = pages::pages(view, signals.received(), Metrics::default());
    let (address, answering) = serve(args.listen, pages).await?;
    tracing::info!(%address, "health and metrics");
    tokio::select! {
        () = loader.run(mirrors, args.proxy.drained(signals.any())) => {}
        () = answering => {}
    }
    tracing::info!("stopped");
    Ok(GOOD)
}
