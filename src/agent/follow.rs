//! The cluster's side of bundles: the index and the endpoints of our own namespace are watched, shards
//! that are new are fetched, and what can be read as a whole is handed over. What cannot be read, or is
//! not there, changes nothing: the last bundle stays until there is a next one.

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
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::wire::{
    Contents, EndpointsPart, Installation, Plain, ReadShard, Shard, WireError, contents, join,
    read_endpoints,
};
use crate::telemetry::chain;
use crate::watching::watching;

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
    /// Why there is no newer bundle than the one at hand; None where there is nothing to say.
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
    index: Plain,
    shards: BTreeMap<String, ReadShard>,
    /// Those also that no index names yet: they are written ahead of it.
    endpoints: BTreeMap<String, Result<EndpointsPart, WireError>>,
    /// Endpoints that are gone and were needed when they went; they stay until they are not.
    gone: BTreeSet<String>,
    listed: bool,
    /// The latest bundle that could be read, with the endpoints that are published now.
    latest: Option<Arc<Bundle>>,
    /// Whether the index is another one than that of the latest bundle.
    stale: bool,
    /// What a list under way has named so far.
    listing: Vec<ConfigMap>,
}

/// Follows until nobody listens any more.
pub async fn follow(
    client: Client,
    of: Followee,
    bundles: watch::Sender<Option<Arc<Bundle>>>,
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
            () = bundles.closed() => return,
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
        retry = match follower.assemble().await {
            Ok(bundle) => {
                pause = FIRST_PAUSE;
                tell(&followed, &follower, None);
                if let Some(bundle) = bundle {
                    hand_over(&bundles, bundle);
                }
                None
            }
            Err(error) => {
                let words = chain(&error);
                tracing::warn!(error = %words, "what is published cannot be read");
                tell(&followed, &follower, Some(words));
                // Endpoints go on changing meanwhile.
                if let Some(latest) = follower.latest.clone() {
                    hand_over(&bundles, latest);
                }
                let moment = Instant::now() + pause;
                pause = (2 * pause).min(LONGEST_PAUSE);
                Some(moment)
            }
        };
    }
}

fn hand_over(bundles: &watch::Sender<Option<Arc<Bundle>>>, bundle: Arc<Bundle>) {
    bundles.send_if_modified(|known| {
        let changed = known.as_ref() != Some(&bundle);
        *known = Some(bundle);
        changed
    });
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
            index: Plain::new(),
            shards: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            gone: BTreeSet::new(),
            listed: false,
            latest: None,
            stale: false,
            listing: Vec::new(),
        }
    }

    /// Takes what the watch says. Says whether a bundle may come of it.
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
            if self.index != data {
                self.index = data;
                self.stale = true;
            }
            return;
        }
        let part = read_endpoints(&name, &data);
        if let (Some(latest), Ok(part)) = (&mut self.latest, &part) {
            take_endpoints(latest, part);
        }
        self.gone.remove(&name);
        self.endpoints.insert(name, part);
    }

    /// The bundle of what is published now; None while nothing is.
    async fn assemble(&mut self) -> Result<Option<Arc<Bundle>>, FollowError> {
        if !self.stale || self.index.is_empty() {
            return Ok(self.latest.clone());
        }
        let begun = Instant::now();
        let name = self.name();
        let contents = contents(&name, &self.index)?;
        self.fetch(&contents).await?;
        let bundle = Arc::new(join(&name, &self.index, &self.shards, &self.endpoints)?);
        tracing::debug!(took = ?begun.elapsed(), "read");
        let (shards, endpoints) = (&contents.shards, &contents.endpoints);
        let named: BTreeSet<&String> = shards.iter().map(|(_, shard)| shard).collect();
        self.shards.retain(|name, _| named.contains(name));
        let gone = std::mem::take(&mut self.gone);
        let is_of_use = |name: &String| endpoints.contains(name) || !gone.contains(name);
        self.endpoints.retain(|name, _| is_of_use(name));
        let still = gone.into_iter().filter(|name| endpoints.contains(name));
        self.gone = still.collect();
        self.latest = Some(bundle.clone());
        self.stale = false;
        Ok(Some(bundle))
    }

    async fn fetch(&mut self, contents: &Contents) -> Result<(), FollowError> {
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
                    self.shards.insert(name, shard);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What has been read is not fetched again: it holds what its name says.
    async fn fetch_one(&self, kind: &str, name: &str) -> Result<(String, ReadShard), FollowError> {
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
        match timeout(PATIENCE, fetch).await {
            Ok(shard) => Ok((name.to_owned(), ReadShard::of(name, &shard?)?)),
            Err(_) => Err(FollowError::Slow {
                object: format!("{kind} {name}"),
            }),
        }
    }
}

/// Only the endpoints of this object can differ from those at hand.
fn take_endpoints(latest: &mut Arc<Bundle>, part: &EndpointsPart) {
    let differs = part.pools.iter().any(|(upstream, endpoints)| {
        let pool = latest.pools.get(upstream);
        pool.is_some_and(|pool| pool.endpoints != *endpoints)
    });
    if !differs {
        return;
    }
    let bundle = Arc::make_mut(latest);
    for (upstream, endpoints) in &part.pools {
        if let Some(pool) = bundle.pools.get_mut(upstream) {
            pool.endpoints.clone_from(endpoints);
        }
    }
}
