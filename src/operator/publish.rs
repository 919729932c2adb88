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
/// How long old shards stay where no proxy says that it has moved on.
const UNUSED: Duration = Duration::from_secs(60);

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
    /// When shards that nobody is known to use may go.
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
            self.sweep = Some(Instant::now() + UNUSED);
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

    /// Removes what the index does not name, once every proxy runs what it does name, or where none
    /// says anything for a while.
    async fn sweep(
        &mut self,
        publication: &Publication,
        revision: &Revision,
        proxies: &Proxies,
    ) -> Result<(), WriteError> {
        let mut revisions = proxies.revisions(self.proxy).peekable();
        let unused = match revisions.peek() {
            Some(_) => revisions.all(|runs| runs == Some(revision.as_str())),
            None => self.sweep.is_some_and(|moment| moment <= Instant::now()),
        };
        if !unused {
            // Proxies that never move on keep what they might still read; whoever moves wakes us.
            self.sweep = self.sweep.filter(|moment| *moment > Instant::now());
            self.sweep.get_or_insert_with(|| Instant::now() + UNUSED);
            return Ok(());
        }
        let of_shards = publication.shards.keys().map(String::as_str);
        let of_endpoints = publication.endpoints.keys().map(String::as_str);
        let named: BTreeSet<&str> = of_shards.chain(of_endpoints).collect();
        let others = self.standing.others();
        let unnamed = others.filter(|(_, name)| !named.contains(name));
        let unnamed: Vec<(Kind, String)> = unnamed.map(|(k, name)| (k, name.to_owned())).collect();
        for (kind, name) in unnamed {
            match kind {
                Kind::ConfigMap => self.remove::<ConfigMap>(&name).await?,
                Kind::Secret => self.remove::<Secret>(&name).await?,
            }
        }
        self.sweep = None;
        Ok(())
    }
}

fn of_endpoints(objects: &BTreeMap<String, Plain>) -> impl Iterator<Item = (&String, Part<'_>)> {
    let objects = objects.iter();
    objects.map(|(name, data)| (name, Part::Endpoints(data)))
}

/// Ends when this process does not lead any more.
async fn lost(leads: &mut watch::Receiver<bool>) {
    if leads.wait_for(|leads| !leads).await.is_err() {
        std::future::pending().await
    }
}
