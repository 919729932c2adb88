//! `vigie agent`: beside each proxy, it has loaded what is published, and reports.

pub mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::GOOD;
use super::connect::{ConnectArgs, client, machine};
use super::proxy::ProxyArgs;
use super::runtime::threads;
use super::signals::Signals;
use crate::agent::follow::Followee;
use crate::agent::report::Pod;
use crate::agent::serve::Serving;
use crate::render::wire::Installation;
use crate::server::serve;
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

    /// Hands over to a `vigie proxy` that connects to this Unix socket, and owns no proxy
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["proxy_binary", "directory", "access_log", "grace", "drain"])]
    hand_over: Option<PathBuf>,

    #[command(flatten)]
    proxy: ProxyArgs,

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
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let of = Followee {
        namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
        installation: args.installation.clone(),
        proxy: args.proxy.kind(),
    };
    let client = client(config)?;
    let pod = Pod {
        name: pod_name(args.pod_name.clone())?,
        uid: args.pod_uid.clone().filter(|uid| !uid.is_empty()),
    };
    let serving = match &args.hand_over {
        Some(socket) => {
            undumpable()?;
            tracing::info!(socket = %socket.display(), installation = %of.installation, "agent");
            Serving::beside(client, of, pod, socket)?
        }
        None => {
            let settings = args.proxy.settings(&of.installation).await?;
            let capabilities = settings.found.capabilities;
            tracing::info!(proxy = %capabilities, installation = %of.installation, "agent");
            Serving::here(client, of, pod, settings)?
        }
    };
    let pages = pages::pages(serving.view(), signals.received(), Metrics::default());
    let (address, answering) = serve(args.listen, pages).await?;
    tracing::info!(%address, "health and metrics");
    tokio::select! {
        worked = serving.run(args.proxy.drained(signals.any())) => worked?,
        () = answering => {}
    }
    tracing::info!("stopped");
    Ok(GOOD)
}

/// Nobody of the same user may look into a process that holds a token.
fn undumpable() -> anyhow::Result<()> {
    nix::sys::prctl::set_dumpable(false).context("cannot keep others from our memory")
}

fn pod_name(given: Option<String>) -> anyhow::Result<String> {
    given.map_or_else(|| machine("--pod-name"), Ok)
}
