//! `vigie agent`: beside each proxy, it loads what is published and reports.

mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::GOOD;
use super::connect::{ConnectArgs, client, machine};
use super::lint::ProxyName;
use super::runtime::threads;
use super::signals::Signals;
use crate::agent::Pace;
use crate::agent::driver::{Output, Stream};
use crate::agent::follow::Followee;
use crate::agent::report::Pod;
use crate::agent::serve::{Serving, Settings};
use crate::render::wire::Installation;
use crate::server::serve;
use crate::standalone::find::find;
use crate::telemetry::{self, LogFormat, Metrics};

#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    connect: ConnectArgs,

    /// The name of the installation whose configuration is loaded
    #[arg(long, value_name = "NAME", default_value = "vigie")]
    installation: Installation,

    /// Our own namespace, where configuration is published; default: that of the pod or the context
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The name of the pod; default: the name of the machine
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,

    /// The UID of the pod, which then owns what is reported
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,

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

    /// What open requests get when the agent is ended, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,

    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:10255")]
    listen: SocketAddr,

    /// How log lines look
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: LogFormat,
}

pub fn run(args: &AgentArgs) -> anyhow::Result<u8> {
    telemetry::log(args.log_format);
    threads(Some(2))?.block_on(work(args))
}

async fn work(args: &AgentArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let found = find(args.proxy.into(), args.proxy_binary.as_deref()).await?;
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let of = Followee {
        namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
        installation: args.installation.clone(),
        proxy: found.capabilities.proxy,
    };
    let client = client(config)?;
    tracing::info!(proxy = %found.capabilities, installation = %of.installation, "agent");
    let settings = Settings {
        found,
        of,
        pod: Pod {
            name: pod_name(args.pod_name.clone())?,
            uid: args.pod_uid.clone().filter(|uid| !uid.is_empty()),
        },
        directory: args.directory.clone(),
        output: output(args),
        pace: Pace {
            grace: Duration::from_secs(args.grace),
            ..Pace::default()
        },
    };
    let serving = Serving::start(client, settings)?;
    let pages = pages::pages(serving.view(), Metrics::default());
    let (address, answering) = serve(args.listen, pages).await?;
    tracing::info!(%address, "health and metrics");
    tokio::select! {
        worked = serving.run(signals.any()) => worked?,
        () = answering => {}
    }
    tracing::info!("stopped");
    Ok(GOOD)
}

fn output(args: &AgentArgs) -> Output {
    Output {
        access: match &args.access_log {
            None => Stream::Null,
            Some(path) if path.as_os_str() == "-" => Stream::Stdout,
            Some(path) => Stream::File(path.clone()),
        },
        errors: true,
    }
}

fn pod_name(given: Option<String>) -> anyhow::Result<String> {
    given.map_or_else(|| machine("--pod-name"), Ok)
}
