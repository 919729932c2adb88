//! How a command reaches a cluster.

mod pace;

use anyhow::Context;
use clap::Args;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;
use tower::layer::layer_fn;

use pace::PacedWatches;

/// A connection on which nothing comes for so long is dead, and what it was for is begun anew. Watches hear
/// something every minute; without this, a list whose answer is lost on the way would be awaited for ever.
const SILENCE: Duration = Duration::from_secs(100);

#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The file that says where the cluster is and who we are; default: KUBECONFIG, ~/.kube/config, or
    /// the account of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context in it; default: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ConnectArgs {
    /// Reads where the cluster is. Nothing is asked of it yet.
    pub async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file);
                let read = read.with_context(|| format!("cannot read {}", file.display()))?;
                let config = Config::from_custom_kubeconfig(read, &options).await;
                config.context("no cluster is known here")?
            }
            None if self.context.is_some() => {
                let config = Config::from_kubeconfig(&options).await;
                config.context("no cluster is known here")?
            }
            None => Config::infer().await.context("no cluster is known here")?,
        };
        // Whoever waits has a patience of his own, which hidden retries would outlast.
        config.default_retry = false;
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        Ok(config)
    }
}

/// The name of this machine, where no other is given; `flag` gives one.
pub fn machine(flag: &str) -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name =
        name.with_context(|| format!("cannot tell the name of this machine; give one by {flag}"))?;
    Ok(name.trim().to_owned())
}

pub fn client(config: Config) -> anyhow::Result<Client> {
    let builder = ClientBuilder::try_from(config);
    let builder = builder.context("cannot make a client for the cluster")?;
    Ok(builder.with_layer(&layer_fn(PacedWatches::new)).build())
}
