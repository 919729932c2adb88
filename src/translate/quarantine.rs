//! Objects that a proxy refused, and what is built instead of them: the last version of the object
//! that a proxy took, or nothing. Everyone else's objects are built as they are, and one that was set
//! aside is tried again as soon as it is another one.
//!
//! Where the proxy's words lead to an object, that one is set aside. Where they do not, all objects
//! that differ from what runs are held back, and then let in again, half by half, until those that
//! are refused stand alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::model::diagnostics::programmed::config_rejected;
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin};
use crate::snapshot::{ObjectName, Snapshot};

/// What is known of refused objects. It can be written down, so that a later process knows it too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Quarantine {
    aside: BTreeMap<ObjectRef, Aside>,
    /// Sets of objects that are held back until it is their turn to be tried.
    untried: Vec<Vec<ObjectRef>>,
}

/// Objects are no keys of JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    aside: Vec<(ObjectRef, Aside)>,
    untried: Vec<Vec<ObjectRef>>,
}

impl From<Quarantine> for Written {
    fn from(quarantine: Quarantine) -> Self {
        Self {
            aside: quarantine.aside.into_iter().collect(),
            untried: quarantine.untried,
        }
    }
}

impl From<Written> for Quarantine {
    fn from(written: Written) -> Self {
        Self {
            aside: written.aside.into_iter().collect(),
            untried: written.untried,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Aside {
    refused: Object,
    /// The version that is built instead.
    good: Option<Object>,
    /// None while it is only held back.
    verdict: Option<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Verdict {
    proxy: String,
    words: String,
    field: FieldPath,
}

/// The objects that structure is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Object {
    Ingress(Arc<Ingress>),
    Service(Arc<Service>),
    Secret(Arc<Secret>),
}

/// A build that a proxy refused.
pub struct Refused<'a> {
    /// As people name it: `nginx 1.30.6`.
    pub proxy: &'a str,
    pub words: &'a str,
    /// What the words lead to.
    pub origin: Option<&'a Origin>,
    /// What was built, after [`Quarantine::apply`].
    pub snapshot: &'a Snapshot,
    /// What runs, likewise; empty where nothing does.
    pub good: &'a Snapshot,
}

impl Quarantine {
    /// The objects to build from, and a finding for each that was set aside.
    pub fn apply<'a>(&self, snapshot: &'a Snapshot) -> (Cow<'a, Snapshot>, Vec<Diagnostic>) {
        let mut built = Cow::Borrowed(snapshot);
        let mut findings = Vec::new();
        for (object, aside) in &self.aside {
            if !aside.holds(object, snapshot) {
                continue;
            }
            put(built.to_mut(), object, aside.good.as_ref());
            if let Some(verdict) = &aside.verdict {
                let origin = Origin::new(object.clone(), verdict.field.clone());
                let (proxy, words) = (&verdict.proxy, &verdict.words);
                findings.push(config_rejected(origin, proxy, words, aside.good.is_some()));
            }
        }
        (built, findings)
    }

    /// The objects alone; the same snapshot where nothing is set aside.
    pub fn applied(&self, snapshot: &Arc<Snapshot>) -> Arc<Snapshot> {
        match self.apply(snapshot).0 {
            Cow::Borrowed(_) => snapshot.clone(),
            Cow::Owned(built) => Arc::new(built),
        }
    }

    /// Without what is another object by now, or gone.
    pub fn pruned(&self, snapshot: &Snapshot) -> Self {
        let mut pruned = self.clone();
        pruned
            .aside
            .retain(|object, aside| aside.holds(object, snapshot));
        pruned
    }

    /// Whether nothing is built of this Secret.
    pub fn leaves_out_secret(&self, secret: &ObjectName) -> bool {
        let object = ObjectRef::new(Kind::Secret, &secret.namespace, &secret.name);
        let aside = self.aside.get(&object);
        aside.is_some_and(|aside| aside.good.is_none())
    }

    /// The objects that a proxy refused.
    pub fn set_aside_objects(&self) -> impl Iterator<Item = &ObjectRef> {
        let convicted = self
            .aside
            .iter()
            .filter(|(_, aside)| aside.verdict.is_some());
        convicted.map(|(object, _)| object)
    }

    /// Whether there are objects that wait for their turn to be tried.
    pub fn holds_back(&self) -> bool {
        !self.untried.is_empty()
    }

    /// Learns of a refusal. Says whether another build is worth a try: no object that differs from
    /// what runs means that the refusal has another cause.
    #[must_use]
    pub fn refused(&mut self, refused: &Refused<'_>) -> bool {
        let mut suspects = differing(refused.good, refused.snapshot);
        let named = refused.origin.filter(|o| suspects.contains(&o.object));
        if let Some(origin) = named {
            self.set_aside(refused, &origin.object, Some(origin.field.clone()));
            return true;
        }
        if suspects.len() < 2 {
            suspects
                .iter()
                .for_each(|only| self.set_aside(refused, only, Some(FieldPath::default())));
            return !suspects.is_empty();
        }
        suspects
            .iter()
            .for_each(|suspect| self.set_aside(refused, suspect, None));
        let half = suspects.split_off(suspects.len() / 2);
        self.untried.extend([half, suspects]);
        true
    }

    /// Learns that the latest build runs. Says whether another one is due, with objects that were held
    /// back until now.
    #[must_use]
    pub fn loaded(&mut self) -> bool {
        let Some(next) = self.untried.pop() else {
            return false;
        };
        let held = |aside: &Aside| aside.verdict.is_none();
        for object in next {
            if self.aside.get(&object).is_some_and(held) {
                self.aside.remove(&object);
            }
        }
        true
    }

    fn set_aside(&mut self, refused: &Refused<'_>, object: &ObjectRef, field: Option<FieldPath>) {
        let Some(found) = find(refused.snapshot, object) else {
            return;
        };
        let verdict = field.map(|field| Verdict {
            proxy: refused.proxy.to_owned(),
            words: refused.words.to_owned(),
            field,
        });
        let aside = Aside {
            refused: found,
            good: find(refused.good, object),
            verdict,
        };
        self.aside.insert(object.clone(), aside);
    }
}

impl Aside {
    /// Whether the object is still the one that was refused.
    fn holds(&self, object: &ObjectRef, snapshot: &Snapshot) -> bool {
        find(snapshot, object).is_some_and(|now| now.means_the_same(&self.refused))
    }
}

impl Object {
    /// Whether two versions ask for the same. Status and book-keeping do not count; annotations do,
    /// which is why the generation does not tell.
    fn means_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ingress(a), Self::Ingress(b)) => {
                Arc::ptr_eq(a, b) || (same(&a.metadata, &b.metadata) && a.spec == b.spec)
            }
            (Self::Service(a), Self::Service(b)) => {
                Arc::ptr_eq(a, b) || (same(&a.metadata, &b.metadata) && a.spec == b.spec)
            }
            (Self::Secret(a), Self::Secret(b)) => {
                Arc::ptr_eq(a, b) || (same(&a.metadata, &b.metadata) && a.data == b.data)
            }
            _ => false,
        }
    }
}

fn same(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    a.uid == b.uid && a.annotations == b.annotations
}

fn name(object: &ObjectRef) -> ObjectName {
    ObjectName::new(&*object.namespace, &*object.name)
}

fn find(snapshot: &Snapshot, object: &ObjectRef) -> Option<Object> {
    let name = name(object);
    match object.kind {
        Kind::Ingress => snapshot.ingresses.get(&name).cloned().map(Object::Ingress),
        Kind::Service => snapshot.services.get(&name).cloned().map(Object::Service),
        Kind::Secret => snapshot.secrets.get(&name).cloned().map(Object::Secret),
        _ => None,
    }
}

fn put(snapshot: &mut Snapshot, object: &ObjectRef, good: Option<&Object>) {
    let name = name(object);
    match good.cloned() {
        Some(Object::Ingress(good)) => {
            drop(Arc::make_mut(&mut snapshot.ingresses).insert(name, good))
        }
        Some(Object::Service(good)) => {
            drop(Arc::make_mut(&mut snapshot.services).insert(name, good))
        }
        Some(Object::Secret(good)) => drop(Arc::make_mut(&mut snapshot.secrets).insert(name, good)),
        None => match object.kind {
            Kind::Ingress => drop(Arc::make_mut(&mut snapshot.ingresses).remove(&name)),
            Kind::Service => drop(Arc::make_mut(&mut snapshot.services).remove(&name)),
            Kind::Secret => drop(Arc::make_mut(&mut snapshot.secrets).remove(&name)),
            _ => {}
        },
    }
}

/// The objects that are in the newer snapshot and are others than in the older one.
fn differing(older: &Snapshot, newer: &Snapshot) -> Vec<ObjectRef> {
    let reference = |kind, name: &ObjectName| ObjectRef::new(kind, &name.namespace, &name.name);
    let ingresses = newer.ingresses.keys().map(|n| reference(Kind::Ingress, n));
    let services = newer.services.keys().map(|n| reference(Kind::Service, n));
    let secrets = newer.secrets.keys().map(|n| reference(Kind::Secret, n));
    let all: BTreeSet<ObjectRef> = ingresses.chain(services).chain(secrets).collect();
    let differs = |object: &ObjectRef| match (find(older, object), find(newer, object)) {
        (Some(was), Some(is)) => !was.means_the_same(&is),
        _ => true,
    };
    all.into_iter().filter(differs).collect()
}

#[cfg(test)]
mod tests;
