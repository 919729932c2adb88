//! The cluster's side of bundles: the index and the endpoints of our own namespace are watched, shards
//! that are new are fetched, and what is whole is handed over. What is not there changes nothing: the
//! latest that was whole stays until there is a next one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::api::part::{ENDPOINTS, INDEX};
use crate::api::{INSTANCE_LABEL, PART_LABEL, PROXY_LABEL};
use crate::model::PrivatePem;
use crate::moment::until;
use crate::render::bundle::ProxyKind;
use crate::render::wire::{Contents, Installation, Plain, Shard, WireError, contents, is_intact};
use crate::telemetry::chain;
use crate::watching::watching;

use super::mirror::Mirror;

/// Shards that are fetched at the same time.
const AT_ONCE: usize = 16;
/// What one may take.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How following stands, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The first list has come.
    pub listed: bool,
    /// There is an index.
    pub published: bool,
    /// Why there is nothing newer than what is at hand; None where there is nothing to say.
    pub problem: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("cannot fetch {object}")]
    Fetch {
        object: String,
        source: Box<kube::Error>,
    },
    #[error("cannot fetch {object}: no answer within {} s", PATIENCE.as_secs())]
    Slow { object: String },
    #[error("{object} does not hold what its name says")]
    Altered { object: String },
}

/// Which publication is followed.
#[derive(Clone, Debug)]
pub struct Followee {
    pub namespace: String,
    pub installation: Installation,
    pub proxy: ProxyKind,
}

struct Follower {
    client: Client,
    of: Followee,
    index: Arc<Plain>,
    shards: BTreeMap<String, Arc<Shard>>,
    /// Those also that no index names yet: they are written ahead of it.
    endpoints: BTreeMap<String, Arc<Plain>>,
    /// Endpoints that are gone and were needed when they went; they stay until they are not.
    gone: BTreeSet<String>,
    listed: bool,
    /// The latest that was whole, with the endpoints that are published now.
    latest: Option<Mirror>,
    /// What a list under way has named so far.
    listing: Vec<ConfigMap>,
}

/// Follows until nobody listens any more.
pub async fn follow(
    client: Client,
    of: Followee,
    mirrors: watch::Sender<Option<Mirror>>,
    followed: watch::Sender<Followed>,
) {
    let (instance, proxy) = (&of.installation, of.proxy);
    let labels = format!(
        "{INSTANCE_LABEL}={instance},{PROXY_LABEL}={proxy},{PART_LABEL} in ({INDEX},{ENDPOINTS})"
    );
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &of.namespace);
    let config = watcher::Config::default().labels(&labels);
    let mut objects = pin!(watching(api, config));
    let mut follower = Follower::new(client, of);
    let (mut pause, mut retry) = (FIRST_PAUSE, None);
    loop {
        let due = tokio::select! {
            () = mirrors.closed() => return,
            () = until(retry) => true,
            Some(event) = objects.next() => match event {
                Ok(event) => follower.take(event),
                Err(error) => {
                    let words = chain(&error);
                    tracing::warn!(error = %words, "watching what is published failed");
                    tell(&followed, &follower, Some(words));
                    false
                }
            },
        };
        if !due {
            continue;
        }
        let completed = follower.complete().await;
        // Endpoints go on changing also while an index is not whole.
        if let Some(latest) = &follower.latest {
            mirrors.send_replace(Some(latest.clone()));
        }
        retry = match completed {
            Ok(()) => {
                pause = FIRST_PAUSE;
                tell(&followed, &follower, None);
                None
            }
            Err(error) => {
                let words = chain(&error);
                tracing::warn!(error = %words, "what is published is not whole");
                tell(&followed, &follower, Some(words));
                let moment = Instant::now() + pause;
                pause = (2 * pause).min(LONGEST_PAUSE);
                Some(moment)
            }
        };
    }
}

fn tell(followed: &watch::Sender<Followed>, follower: &Follower, problem: Option<String>) {
    let now = Followed {
        listed: follower.listed,
        published: !follower.index.is_empty(),
        problem,
    };
    followed.send_if_modified(|known| {
        let changed = *known != now;
        *known = now;
        changed
    });
}

impl Follower {
    fn new(client: Client, of: Followee) -> Self {
        Self {
            client,
            of,
            index: Arc::default(),
            shards: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            gone: BTreeSet::new(),
            listed: false,
            latest: None,
            listing: Vec::new(),
        }
    }

    /// Takes what the watch says. Says whether something may be new.
    fn take(&mut self, event: Event<ConfigMap>) -> bool {
        match event {
            Event::Init => {
                self.listing.clear();
                false
            }
            Event::InitApply(object) => {
                self.listing.push(object);
                false
            }
            Event::InitDone => {
                self.listed = true;
                self.gone = self.endpoints.keys().cloned().collect();
                let listed = std::mem::take(&mut self.listing).into_iter();
                listed.for_each(|object| self.put(object));
                true
            }
            Event::Apply(object) => {
                self.put(object);
                self.listed
            }
            // What is gone is put back by whoever published it, or named by no index any more.
            Event::Delete(object) => {
                self.gone.insert(object.name_any());
                false
            }
        }
    }

    /// The name of the index.
    fn name(&self) -> String {
        self.of.installation.index(self.of.proxy)
    }

    fn put(&mut self, object: ConfigMap) {
        let name = object.name_any();
        let data = object.data.unwrap_or_default();
        if name == self.name() {
            self.index = Arc::new(data);
            return;
        }
        self.gone.remove(&name);
        let known = self.endpoints.get(&name);
        if known.is_none_or(|known| **known != data) {
            self.endpoints.insert(name, Arc::new(data));
        }
    }

    /// Fetches what the index names and we lack. What is whole then is the latest.
    async fn complete(&mut self) -> Result<(), FollowError> {
        if let Some(latest) = &mut self.latest {
            latest.endpoints.clone_from(&self.endpoints);
            if latest.index == self.index {
                return Ok(());
            }
        }
        if self.index.is_empty() {
            return Ok(());
        }
        let named = self.fetch().await?;
        let missing = |name: &&String| !self.endpoints.contains_key(*name);
        if let Some(object) = named.endpoints.iter().find(missing) {
            return Err(FollowError::Wire(WireError::Missing {
                object: object.clone(),
                named_by: self.name(),
            }));
        }
        let shards: BTreeSet<&String> = named.shards.iter().map(|(_, shard)| shard).collect();
        self.shards.retain(|name, _| shards.contains(name));
        let gone = std::mem::take(&mut self.gone);
        let is_of_use = |name: &String| named.endpoints.contains(name) || !gone.contains(name);
        self.endpoints.retain(|name, _| is_of_use(name));
        let gone = gone.into_iter();
        self.gone = gone.filter(|name| named.endpoints.contains(name)).collect();
        self.latest = Some(Mirror {
            index: self.index.clone(),
            shards: self.shards.clone(),
            endpoints: self.endpoints.clone(),
        });
        Ok(())
    }

    async fn fetch(&mut self) -> Result<Contents, FollowError> {
        let contents = contents(&self.name(), &self.index)?;
        let known = &self.shards;
        let missing = contents.shards.iter();
        let missing = missing.filter(|(_, name)| !known.contains_key(name));
        let fetches: Vec<_> = missing
            .map(|(kind, name)| self.fetch_one(kind, name))
            .collect();
        let fetched: Vec<_> = stream::iter(fetches)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failed = None;
        for outcome in fetched {
            match outcome {
                Ok((name, shard)) => {
                    self.shards.insert(name, Arc::new(shard));
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(contents), Err)
    }

    async fn fetch_one(&self, kind: &str, name: &str) -> Result<(String, Shard), FollowError> {
        let failed = |source| FollowError::Fetch {
            object: format!("{kind} {name}"),
            source: Box::new(source),
        };
        let fetch = async {
            if kind == "Secret" {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.of.namespace);
                let data = api
                    .get(name)
                    .await
                    .map_err(failed)?
                    .data
                    .unwrap_or_default();
                let text = |ByteString(bytes): ByteString| {
                    PrivatePem::new(String::from_utf8_lossy(&bytes).into_owned())
                };
                let data = data.into_iter().map(|(key, bytes)| (key, text(bytes)));
                return Ok::<_, FollowError>(Shard::Private(data.collect()));
            }
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.of.namespace);
            let object = api.get(name).await.map_err(failed)?;
            Ok(Shard::Plain(object.data.unwrap_or_default()))
        };
        let object = format!("{kind} {name}");
        match timeout(PATIENCE, fetch).await {
            // What is kept is not fetched again: nothing is that somebody has put in its place.
            Ok(Ok(shard)) if !is_intact(name, &shard) => Err(FollowError::Altered { object }),
            Ok(shard) => Ok((name.to_owned(), shard?)),
            Err(_) => Err(FollowError::Slow { object }),
        }
    }
}
