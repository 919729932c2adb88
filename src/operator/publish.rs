//! Bundle → objects of our own namespace: the only writer of a publication. In the order that
//! `render::wire` gives, so that no agent ever sees half of one; what stands already is not written
//! again, and what somebody deletes or edits is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Resource;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::part::{ENDPOINTS, INDEX, SHARD};
use crate::api::{INSTANCE_LABEL, PART_LABEL, PROXY_LABEL};
use crate::moment::until;
use crate::render::bundle::{Bundle, ProxyKind, Revision};
use crate::render::wire::{
    Installation, Plain, Publication, Sizes, ahead, encode, endpoints, sizes,
};

use crate::telemetry::chain;
use crate::watching::watching;

use super::proxies::Proxies;
use super::standing::{Kind, Standing, Stands};
use super::write::{Part, WriteError, Writer, Written};

/// Objects that are written at the same time.
const AT_ONCE: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long old shards stay at most where not every proxy has moved on: an agent needs nothing that no
/// index names, but for what it is just fetching.
const UNUSED: Duration = Duration::from_secs(60);
/// How many objects stay that are not needed any more.
const MOST_UNUSED: usize = 256;

/// What a publisher has to do with.
pub struct Inputs {
    pub bundles: watch::Receiver<Option<Arc<Bundle>>>,
    pub leads: watch::Receiver<bool>,
    pub proxies: watch::Receiver<Arc<Proxies>>,
}

/// How it stands, for whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What the index names.
    pub revision: Option<Revision>,
    pub sizes: Option<Sizes>,
    /// Objects written and removed since the start.
    pub writes: u64,
    pub removals: u64,
    pub failures: u64,
    /// Why the latest try failed; None where it did not.
    pub error: Option<String>,
}

pub struct Publisher {
    installation: Installation,
    proxy: ProxyKind,
    writer: Writer,
    standing: Standing,
    /// The latest, with the revision that it is of.
    latest: Option<(Revision, Publication)>,
    published: watch::Sender<Published>,
    /// What no index names any more, and since when.
    unused: BTreeMap<(Kind, String), Instant>,
    /// When the first of it is to go, whoever may use it.
    sweep: Option<Instant>,
}

impl Publisher {
    pub fn new(writer: Writer) -> (Self, watch::Receiver<Published>) {
        let (published, receiver) = watch::channel(Published::default());
        let publisher = Self {
            installation: writer.installation.clone(),
            proxy: writer.proxy,
            writer,
            standing: Standing::default(),
            latest: None,
            published,
            unused: BTreeMap::new(),
            sweep: None,
        };
        (publisher, receiver)
    }

    /// Publishes the newest bundle whenever it or what stands has changed, as long as this process
    /// leads. Ends when no bundle can come any more.
    pub async fn run(mut self, mut inputs: Inputs) {
        let labels = format!(
            "{INSTANCE_LABEL}={},{PROXY_LABEL}={},{PART_LABEL} in ({INDEX},{SHARD},{ENDPOINTS})",
            self.installation, self.proxy
        );
        let mut config_maps = pin!(self.watch::<ConfigMap>(&labels));
        let mut secrets = pin!(self.watch::<Secret>(&labels));
        let (mut pause, mut retry) = (FIRST_PAUSE, None);
        inputs.bundles.mark_changed();
        loop {
            let leads = *inputs.leads.borrow();
            let due = tokio::select! {
                Some(event) = config_maps.next() => self.take(event),
                Some(event) = secrets.next() => self.take(event),
                changed = inputs.bundles.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                Ok(()) = inputs.leads.changed() => true,
                Ok(()) = inputs.proxies.changed() => self.sweep.is_some(),
                () = until(retry), if leads => true,
                // What failed waits for its retry, however long the sweep has been due.
                () = until(self.sweep), if leads && retry.is_none() => true,
            };
            let leads = *inputs.leads.borrow_and_update();
            if !due || !leads || !self.standing.is_known() {
                continue;
            }
            let Some(bundle) = inputs.bundles.borrow_and_update().clone() else {
                continue;
            };
            let proxies = inputs.proxies.borrow_and_update().clone();
            let published = tokio::select! {
                published = self.publish(&bundle, &proxies) => published,
                // Another writes from now on.
                () = lost(&mut inputs.leads) => continue,
            };
            retry = match published {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    None
                }
                Err(error) => {
                    self.failed(&error);
                    let moment = Instant::now() + pause;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    Some(moment)
                }
            };
        }
    }

    fn watch<K>(
        &self,
        labels: &str,
    ) -> impl futures_util::Stream<Item = watcher::Result<watcher::Event<K>>> + use<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let config = watcher::Config::default().labels(labels);
        watching(self.writer.api::<K>(), config)
    }

    fn take<K: Stands>(&mut self, event: watcher::Result<watcher::Event<K>>) -> bool {
        match event {
            Ok(event) => self.standing.take(event),
            Err(error) => {
                tracing::warn!(proxy = %self.proxy, %error, "watching what is published failed");
                false
            }
        }
    }

    fn failed(&mut self, error: &WriteError) {
        let words = chain(error);
        tracing::warn!(proxy = %self.proxy, error = %words, "publishing failed");
        self.published.send_modify(|published| {
            published.failures += 1;
            published.error = Some(words);
        });
    }

    async fn publish(&mut self, bundle: &Arc<Bundle>, proxies: &Proxies) -> Result<(), WriteError> {
        let begun = Instant::now();
        let revision = bundle.revision();
        let standing = self.standing.endpoints();
        let mut publication = match self.latest.take() {
            Some((of, latest)) if of == revision => Publication {
                endpoints: endpoints(bundle, &self.installation, &standing),
                ..latest
            },
            _ => encode(bundle, &self.installation, &standing),
        };
        let index = Part::Index(&publication.index);
        let shards = publication.shards.iter();
        let shards = shards.map(|(name, shard)| (name, Part::Shard(shard)));
        if self.standing.has(&publication.name, index) {
            self.write(shards.chain(of_endpoints(&publication.endpoints)))
                .await?;
        } else {
            let ahead = ahead(&publication.endpoints, &standing);
            self.write(shards.chain(of_endpoints(&ahead))).await?;
            self.write([(&publication.name, index)].into_iter()).await?;
            tracing::info!(
                proxy = %self.proxy, %revision, took = ?begun.elapsed(), "published"
            );
            let standing = self.standing.endpoints();
            publication.endpoints = endpoints(bundle, &self.installation, &standing);
            self.write(of_endpoints(&publication.endpoints)).await?;
        }
        self.sweep(&publication, &revision, proxies).await?;
        self.published.send_if_modified(|published| {
            let changed =
                published.revision.as_ref() != Some(&revision) || published.error.is_some();
            if changed {
                published.sizes = Some(sizes(&publication));
                published.revision = Some(revision.clone());
                published.error = None;
            }
            changed
        });
        self.latest = Some((revision, publication));
        Ok(())
    }

    /// Writes what does not stand yet, all at the same time.
    async fn write<'p>(
        &mut self,
        parts: impl Iterator<Item = (&'p String, Part<'p>)>,
    ) -> Result<(), WriteError> {
        let missing = parts.filter(|(name, part)| !self.standing.has(name, *part));
        let writes = missing.map(|(name, part)| self.writer.write(name, part));
        let writes: Vec<_> = writes.collect();
        let written: Vec<_> = stream::iter(writes)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failed = None;
        for outcome in written {
            match outcome {
                Ok(Written::Plain(object)) => self.standing.wrote(*object),
                Ok(Written::Private(object)) => self.standing.wrote(*object),
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            }
            self.published
                .send_modify(|published| published.writes += 1);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn remove<K>(&mut self, name: &str) -> Result<(), WriteError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug + Stands,
    {
        self.writer.delete::<K>(name).await?;
        self.standing.removed(K::KIND, name);
        self.published
            .send_modify(|published| published.removals += 1);
        Ok(())
    }

    /// Removes what the index does not name: all of it once every proxy runs what it does name, or has
    /// refused it; and what has been so for a while, whatever the proxies do. One that stays behind for
    /// ever keeps nothing.
    async fn sweep(
        &mut self,
        publication: &Publication,
        revision: &Revision,
        proxies: &Proxies,
    ) -> Result<(), WriteError> {
        let now = Instant::now();
        let of_shards = publication.shards.keys().map(String::as_str);
        let of_endpoints = publication.endpoints.keys().map(String::as_str);
        let named: BTreeSet<&str> = of_shards.chain(of_endpoints).collect();
        let others = self.standing.others();
        let unnamed = others.filter(|(_, name)| !named.contains(name));
        let unused = unnamed.map(|(kind, name)| {
            let key = (kind, name.to_owned());
            let since = self.unused.get(&key).copied().unwrap_or(now);
            (key, since)
        });
        self.unused = unused.collect();
        let mut alive = proxies.of(self.proxy).peekable();
        let moved_on = alive.peek().is_some() && alive.all(|proxy| proxy.has_seen(revision));
        for (kind, name) in due(&self.unused, moved_on, now) {
            match kind {
                Kind::ConfigMap => self.remove::<ConfigMap>(&name).await?,
                Kind::Secret => self.remove::<Secret>(&name).await?,
            }
            self.unused.remove(&(kind, name));
        }
        self.sweep = self.unused.values().min().map(|since| *since + UNUSED);
        Ok(())
    }
}

fn of_endpoints(objects: &BTreeMap<String, Plain>) -> impl Iterator<Item = (&String, Part<'_>)> {
    let objects = objects.iter();
    objects.map(|(name, data)| (name, Part::Endpoints(data)))
}

/// What is to go now: all where every proxy has moved on, and else what is old or too much, the oldest
/// first.
fn due(
    unused: &BTreeMap<(Kind, String), Instant>,
    moved_on: bool,
    now: Instant,
) -> Vec<(Kind, String)> {
    let mut oldest: Vec<(&Instant, &(Kind, String))> =
        unused.iter().map(|(key, since)| (since, key)).collect();
    oldest.sort();
    let too_many = oldest.len().saturating_sub(MOST_UNUSED);
    let due = oldest
        .into_iter()
        .enumerate()
        .filter(|(place, (since, _))| moved_on || *place < too_many || **since + UNUSED <= now);
    due.map(|(_, (_, key))| key.clone()).collect()
}

/// Ends when this process does not lead any more.
async fn lost(leads: &mut watch::Receiver<bool>) {
    if leads.wait_for(|leads| !leads).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_index_names_goes_when_all_have_moved_on_or_when_it_is_old_or_too_much() {
        let start = Instant::now();
        let number = MOST_UNUSED as u64 + 2;
        let one = |n: u64| {
            let since = start + Duration::from_millis(n);
            ((Kind::Secret, format!("shard-{:03}", number - n)), since)
        };
        let few: BTreeMap<_, _> = (0..2).map(one).collect();
        let names = |due: Vec<(Kind, String)>| -> Vec<String> {
            due.into_iter().map(|(_, name)| name).collect()
        };
        let first = |count: u64| -> Vec<String> { (0..count).map(|n| one(n).0.1).collect() };
        assert!(due(&few, false, start).is_empty());
        assert_eq!(names(due(&few, true, start)), first(2));
        assert_eq!(names(due(&few, false, start + UNUSED)), first(1));
        let many: BTreeMap<_, _> = (0..number).map(one).collect();
        assert_eq!(names(due(&many, false, start)), first(2));
    }
}
