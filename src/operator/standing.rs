//! What stands of one publication in our own namespace, as its watches say and as it was written: what
//! is equal is not written again, and what somebody deleted or edited is put back.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::Event;

use crate::api::PART_LABEL;
use crate::api::part::{ENDPOINTS, INDEX, SHARD};
use crate::model::PrivatePem;
use crate::render::wire::{Plain, Shard, is_intact};

use super::write::Part;

/// By kind and name.
#[derive(Debug, Default)]
pub struct Standing {
    objects: BTreeMap<Key, Object>,
    /// What a list under way has named so far; the rest is gone when it ends.
    listing: BTreeMap<Kind, BTreeMap<Key, Object>>,
    listed: BTreeMap<Kind, ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
}

type Key = (Kind, String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    version: u64,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Index(Plain),
    Endpoints(Plain),
    /// Whether it holds what its name says. The content itself is not kept.
    Shard {
        intact: bool,
    },
    /// It carries our labels and is none of ours.
    Foreign,
}

/// An object of our namespace, as a watch delivers it.
pub trait Stands {
    const KIND: Kind;
    fn metadata(&self) -> &ObjectMeta;
    fn content(self) -> Shard;
    fn is_immutable(&self) -> bool;

    /// Whether it is a shard of ours that holds what its name says.
    fn is_intact(&self) -> bool
    where
        Self: Clone,
    {
        let ((_, _), object) = read(self.clone());
        object.content == Content::Shard { intact: true }
    }
}

impl Stands for ConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn content(self) -> Shard {
        Shard::Plain(self.data.unwrap_or_default())
    }

    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

impl Stands for Secret {
    const KIND: Kind = Kind::Secret;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn content(self) -> Shard {
        let text = |ByteString(bytes): ByteString| {
            PrivatePem::new(String::from_utf8_lossy(&bytes).into_owned())
        };
        let data = self.data.unwrap_or_default().into_iter();
        Shard::Private(data.map(|(key, bytes)| (key, text(bytes))).collect())
    }

    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

impl Standing {
    /// Takes what a watch says. Says whether something is other than it was known to be.
    pub fn take<K: Stands>(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => {
                self.listing.insert(K::KIND, BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                let (key, object) = read(object);
                self.listing.entry(K::KIND).or_default().insert(key, object);
                false
            }
            Event::InitDone => self.list_ends(K::KIND),
            Event::Apply(object) => {
                let (key, object) = read(object);
                self.put(key, object)
            }
            Event::Delete(object) => {
                let (key, gone) = read(object);
                let known = self.objects.get(&key);
                let is_older = known.is_some_and(|known| known.version > gone.version);
                !is_older && self.objects.remove(&key).is_some()
            }
        }
    }

    fn list_ends(&mut self, kind: Kind) -> bool {
        let first = self.listed.insert(kind, ()).is_none();
        let listed = self.listing.remove(&kind).unwrap_or_default();
        let before = self.objects.len();
        self.objects
            .retain(|key, _| key.0 != kind || listed.contains_key(key));
        let mut changed = first || self.objects.len() != before;
        for (key, object) in listed {
            changed |= self.put(key, object);
        }
        changed
    }

    /// A watch may lag behind what was written.
    fn put(&mut self, key: Key, object: Object) -> bool {
        let known = self.objects.get(&key);
        if known.is_some_and(|known| known.version > object.version) {
            return false;
        }
        let changed = known.is_none_or(|known| known.content != object.content);
        self.objects.insert(key, object);
        changed
    }

    /// Takes what the API server answered to a write.
    pub fn wrote<K: Stands>(&mut self, object: K) {
        let (key, object) = read(object);
        self.put(key, object);
    }

    pub fn removed(&mut self, kind: Kind, name: &str) {
        self.objects.remove(&(kind, name.to_owned()));
    }

    /// Whether both kinds have been listed: before that nothing is known to be missing.
    pub fn is_known(&self) -> bool {
        self.listed.len() == 2
    }

    /// Whether an object stands as it is to.
    pub fn has(&self, name: &str, part: Part<'_>) -> bool {
        let kind = match part {
            Part::Shard(Shard::Private(_)) => Kind::Secret,
            Part::Shard(Shard::Plain(_)) | Part::Index(_) | Part::Endpoints(_) => Kind::ConfigMap,
        };
        let object = self.objects.get(&(kind, name.to_owned()));
        object.is_some_and(|object| match (&object.content, part) {
            (Content::Index(stands), Part::Index(data))
            | (Content::Endpoints(stands), Part::Endpoints(data)) => stands == data,
            // Its name says what it holds.
            (Content::Shard { intact }, Part::Shard(_)) => *intact,
            _ => false,
        })
    }

    /// All objects of endpoints, by name.
    pub fn endpoints(&self) -> BTreeMap<String, Plain> {
        let of_endpoints = self.objects.iter().filter_map(|((_, name), object)| {
            let Content::Endpoints(data) = &object.content else {
                return None;
            };
            Some((name.clone(), data.clone()))
        });
        of_endpoints.collect()
    }

    /// The names of all that is not the index.
    pub fn others(&self) -> impl Iterator<Item = (Kind, &str)> {
        let others = self.objects.iter();
        let others = others.filter(|(_, object)| !matches!(object.content, Content::Index(_)));
        others.map(|((kind, name), _)| (*kind, name.as_str()))
    }
}

fn read<K: Stands>(object: K) -> (Key, Object) {
    let metadata = object.metadata();
    let name = metadata.name.clone().unwrap_or_default();
    // The numbers of one resource can be compared (Kubernetes 1.35, and all before it in fact).
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    let version = version.parse().unwrap_or(u64::MAX);
    let labels = metadata.labels.as_ref();
    let part = labels.and_then(|labels| labels.get(PART_LABEL)).cloned();
    let immutable = object.is_immutable();
    let content = match (part.as_deref(), object.content()) {
        (Some(INDEX), Shard::Plain(data)) => Content::Index(data),
        (Some(ENDPOINTS), Shard::Plain(data)) => Content::Endpoints(data),
        (Some(SHARD), shard) => Content::Shard {
            intact: immutable && is_intact(&name, &shard),
        },
        _ => Content::Foreign,
    };
    ((K::KIND, name), Object { version, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, version: &str, text: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object.metadata.labels = Some([(PART_LABEL.to_owned(), INDEX.to_owned())].into());
        object.data = Some([("revision".to_owned(), text.to_owned())].into());
        object
    }

    fn has(standing: &Standing, text: &str) -> bool {
        let data = [("revision".to_owned(), text.to_owned())].into();
        standing.has("a", Part::Index(&data))
    }

    #[test]
    fn a_watch_that_lags_behind_a_write_takes_nothing_back() {
        let mut standing = Standing::default();
        standing.wrote(index("a", "7", "new"));
        assert!(!standing.take(Event::Apply(index("a", "6", "old"))));
        assert!(!standing.take(Event::Apply(index("a", "7", "new"))));
        assert!(!standing.take(Event::Delete(index("a", "6", "old"))));
        assert!(has(&standing, "new"));
    }

    #[test]
    fn what_somebody_edits_or_deletes_is_noticed() {
        let mut standing = Standing::default();
        standing.wrote(index("a", "7", "ours"));
        assert!(standing.take(Event::Apply(index("a", "8", "theirs"))));
        assert!(has(&standing, "theirs"));
        assert!(standing.take(Event::Delete(index("a", "9", "theirs"))));
        assert!(!has(&standing, "theirs"));
    }

    #[test]
    fn what_a_list_does_not_name_is_gone() {
        let mut standing = Standing::default();
        standing.wrote(index("a", "7", "ours"));
        standing.take(Event::<ConfigMap>::Init);
        standing.take(Event::InitApply(index("b", "8", "other")));
        assert!(has(&standing, "ours"));
        assert!(standing.take(Event::<ConfigMap>::InitDone));
        assert!(!has(&standing, "ours"));
        assert!(!standing.is_known(), "Secrets are not listed yet");
    }

    #[test]
    fn a_shard_that_is_not_what_its_name_says_does_not_stand() {
        let mut shard = index("vigie-nginx-0123", "3", "x");
        shard.metadata.labels = Some([(PART_LABEL.to_owned(), SHARD.to_owned())].into());
        shard.immutable = Some(true);
        let mut standing = Standing::default();
        standing.wrote(shard);
        let shard = Shard::Plain([("revision".to_owned(), "x".to_owned())].into());
        assert!(!standing.has("vigie-nginx-0123", Part::Shard(&shard)));
    }
}
