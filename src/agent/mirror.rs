//! A publication as it stands in the cluster, whole: an index and all that it names. It may hold keys, so
//! it has no debug output. What is the same in the next one is shared with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::wire::{
    EndpointsPart, Installation, Plain, ReadShard, Shard, WireError, contents, join, read_endpoints,
};

#[derive(Clone, Default)]
pub struct Mirror {
    pub index: Arc<Plain>,
    /// Those that the index names, by name.
    pub shards: BTreeMap<String, Arc<Shard>>,
    /// All that stand: those also that no index names yet are written ahead of it.
    pub endpoints: BTreeMap<String, Arc<Plain>>,
}

/// Reads one mirror after the other into bundles; what was read before is not read again.
pub struct Reader {
    /// The name of the index.
    name: String,
    index: Arc<Plain>,
    shards: BTreeMap<String, ReadShard>,
    endpoints: BTreeMap<String, Endpoints>,
    latest: Option<Arc<Bundle>>,
}

struct Endpoints {
    data: Arc<Plain>,
    part: Result<EndpointsPart, WireError>,
}

impl Reader {
    pub fn new(installation: &Installation, proxy: ProxyKind) -> Self {
        Self {
            name: installation.index(proxy),
            index: Arc::default(),
            shards: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            latest: None,
        }
    }

    /// The latest bundle that could be read, with the endpoints of the latest mirror.
    pub fn latest(&self) -> Option<&Arc<Bundle>> {
        self.latest.as_ref()
    }

    /// The bundle of a mirror. After an error the latest one goes on to have its endpoints.
    pub fn read(&mut self, mirror: &Mirror) -> Result<Arc<Bundle>, WireError> {
        self.read_endpoints(mirror);
        if let Some(latest) = &self.latest
            && self.index == mirror.index
        {
            return Ok(latest.clone());
        }
        let named = contents(&self.name, &mirror.index)?.shards;
        for (_, name) in &named {
            if let Some(shard) = mirror.shards.get(name)
                && !self.shards.contains_key(name)
            {
                self.shards
                    .insert(name.clone(), ReadShard::of(name, shard)?);
            }
        }
        let parts = self.endpoints.iter();
        let parts = parts.map(|(name, endpoints)| (name.as_str(), &endpoints.part));
        let bundle = join(&self.name, &mirror.index, &self.shards, &parts.collect())?;
        let is_named = |name: &String| named.iter().any(|(_, shard)| shard == name);
        self.shards.retain(|name, _| is_named(name));
        self.index = mirror.index.clone();
        let bundle = Arc::new(bundle);
        self.latest = Some(bundle.clone());
        Ok(bundle)
    }

    fn read_endpoints(&mut self, mirror: &Mirror) {
        self.endpoints
            .retain(|name, _| mirror.endpoints.contains_key(name));
        for (name, data) in &mirror.endpoints {
            let known = self.endpoints.get(name);
            if known.is_some_and(|known| Arc::ptr_eq(&known.data, data)) {
                continue;
            }
            let part = read_endpoints(name, data);
            if let (Some(latest), Ok(part)) = (&mut self.latest, &part) {
                take_endpoints(latest, part);
            }
            let data = data.clone();
            self.endpoints
                .insert(name.clone(), Endpoints { data, part });
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
