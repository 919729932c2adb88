//! `vigie cleanup`: takes back what an installation that is gone left in other namespaces.

use clap::Args;

use super::GOOD;
use super::connect::{ConnectArgs, client};
use super::controller::instance;
use super::runtime::one_thread;
use crate::operator::cleanup::Cleanup;
use crate::render::wire::Installation;
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
pub struct CleanupArgs {
    #[command(flatten)]
    connect: ConnectArgs,

    /// The name of the installation
    #[arg(long, value_name = "NAME", default_value = "vigie")]
    installation: Installation,

    /// The namespace of the installation; default: that of the pod or the context
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The namespaces that it served alone, with commas between them; default: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    namespaces: Vec<String>,
}

pub fn run(args: &CleanupArgs) -> anyhow::Result<u8> {
    telemetry::log(LogFormat::Text);
    one_thread()?.block_on(work(args))
}

async fn work(args: &CleanupArgs) -> anyhow::Result<u8> {
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let cleanup = Cleanup {
        client: client(config)?,
        instance: instance(&namespace, &args.installation),
        namespace,
        installation: args.installation.clone(),
        namespaces: args.namespaces.clone(),
    };
    let removed = cleanup.run().await?;
    println!(
        "{} RouteHealths removed, addresses of {} Ingresses taken back",
        removed.route_healths, removed.addresses
    );
    Ok(GOOD)
}
