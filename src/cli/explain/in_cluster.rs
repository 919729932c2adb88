//! The objects of a cluster, once: what a controller would build of at this moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::timeout;

use crate::cli::connect::{ConnectArgs, client};
use crate::cli::runtime::one_thread;
use crate::source::cluster::{Namespaces, Settings, Statuses, Watches, watch};
use crate::source::folder::Folder;

/// What a large cluster may take to list.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn read(
    connect: &ConnectArgs,
    namespaces: &[String],
) -> anyhow::Result<(Folder, Arc<Statuses>)> {
    one_thread()?.block_on(look(connect, namespaces))
}

async fn look(
    connect: &ConnectArgs,
    namespaces: &[String],
) -> anyhow::Result<(Folder, Arc<Statuses>)> {
    let client = client(connect.config().await?)?;
    let names: BTreeSet<String> = namespaces.iter().cloned().collect();
    let namespaces = match names.is_empty() {
        true => Namespaces::All,
        false => Namespaces::Only(names),
    };
    let settings = Settings {
        namespaces,
        ..Settings::default()
    };
    let mut cluster = watch(client, settings);
    let mut watches = cluster.watches.clone();
    // What is refused stays refused for as long as one would wait for an answer.
    let first = async {
        tokio::select! {
            first = cluster.snapshots() => first.context("watching has ended by itself"),
            refused = watches.wait_for(|watches| missing(watches).is_some()) => {
                let why = refused.ok().and_then(|watches| missing(&watches));
                bail!("the cluster cannot be read: {}", why.unwrap_or_default());
            }
        }
    };
    let snapshots = timeout(PATIENCE, first)
        .await
        .context("the cluster does not answer")??;
    let snapshot = snapshots.borrow().as_ref().clone();
    let mut folder = Folder::default();
    folder.snapshot = snapshot;
    let statuses = cluster.statuses.borrow().clone();
    Ok((folder, statuses))
}

/// A required watch that cannot deliver, and why.
fn missing(watches: &Watches) -> Option<String> {
    use crate::source::cluster::WatchState::{Absent, Failing, Forbidden};
    let mut missing = watches
        .iter()
        .filter(|(_, watch)| watch.required && !watch.listed);
    let found = missing.find(|(_, watch)| matches!(watch.state, Absent | Failing(_) | Forbidden));
    found.map(|(name, watch)| format!("{name}: {}", watch.state))
}
