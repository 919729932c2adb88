//! Which Secrets are kept: those that something refers to, and those with a certificate and its key.
//! All others are dropped as they come, unseen.
//!
//! Secrets are listed when Ingresses have been, so the list can be sifted at once. Where an Ingress
//! comes to refer to a Secret that was dropped, that one is looked up by itself.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;

use crate::api::{ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX};
use crate::snapshot::{Object, ObjectName};

use super::index::Change;

/// How the names of annotations end that name a Secret, as `namespace/name` or `name`.
const SUFFIX: &str = "-secret";

/// What is referred to, and what is known of it.
#[derive(Debug, Default)]
pub struct Secrets {
    /// How many Ingresses refer to each.
    referred: BTreeMap<ObjectName, usize>,
    looked_up: BTreeMap<ObjectName, LookUp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookUp {
    Asked,
    /// By an answer or, sooner, by the watch.
    Answered,
}

impl Secrets {
    /// `always` are kept whoever refers to them.
    pub fn new(always: impl IntoIterator<Item = ObjectName>) -> Self {
        Self {
            referred: always.into_iter().map(|name| (name, 1)).collect(),
            looked_up: BTreeMap::new(),
        }
    }

    /// Follows a changed Ingress; gives the Secrets that nothing refers to any more.
    pub fn follow(&mut self, change: &Change) -> Vec<ObjectName> {
        for name in references(change.after.as_ref()) {
            *self.referred.entry(name).or_default() += 1;
        }
        let mut released = Vec::new();
        for name in references(change.before.as_ref()) {
            let Some(count) = self.referred.get_mut(&name) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.referred.remove(&name);
                self.looked_up.remove(&name);
                released.push(name);
            }
        }
        released
    }

    pub fn keeps(&self, name: &ObjectName, secret: &Secret) -> bool {
        self.referred.contains_key(name) || has_certificate(secret)
    }

    /// The watch has said how this Secret stands: what was looked up before is older.
    pub fn told(&mut self, name: &ObjectName) {
        if let Some(look_up) = self.looked_up.get_mut(name) {
            *look_up = LookUp::Answered;
        }
    }

    /// A list begins: it will be sifted by all that is referred to now.
    pub fn list_begins(&mut self, covers: impl Fn(&ObjectName) -> bool) {
        for name in self.referred.keys().filter(|name| covers(name)) {
            self.looked_up.insert(name.clone(), LookUp::Answered);
        }
    }

    /// A list has ended. What was asked for meanwhile is asked again: the answer may be older than the
    /// list, and the list was sifted before anybody asked.
    pub fn list_ends(&mut self, covers: impl Fn(&ObjectName) -> bool) {
        let asked =
            |name: &ObjectName, look_up: &mut LookUp| *look_up == LookUp::Asked && covers(name);
        self.looked_up.retain(|name, look_up| !asked(name, look_up));
    }

    /// The Secrets to look up: referred to, not known, and not asked for yet.
    pub fn ask(&mut self, known: impl Fn(&ObjectName) -> bool) -> Vec<ObjectName> {
        let new = |name: &&ObjectName| !self.looked_up.contains_key(*name) && !known(name);
        let names: Vec<ObjectName> = self.referred.keys().filter(new).cloned().collect();
        for name in &names {
            self.looked_up.insert(name.clone(), LookUp::Asked);
        }
        names
    }

    /// Whether the answer to a look-up is still the newest word.
    pub fn answer(&mut self, name: &ObjectName) -> bool {
        match self.looked_up.get_mut(name) {
            Some(look_up) => std::mem::replace(look_up, LookUp::Answered) == LookUp::Asked,
            None => false,
        }
    }
}

fn has_certificate(secret: &Secret) -> bool {
    let has = |key: &str| secret.data.as_ref().is_some_and(|d| d.contains_key(key));
    has("tls.crt") && has("tls.key")
}

/// The Secrets that an Ingress names, also where the value turns out not to be used.
fn references(object: Option<&Object>) -> BTreeSet<ObjectName> {
    let Some(Object::Ingress(ingress)) = object else {
        return BTreeSet::new();
    };
    let own = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let of_tls = of_tls(ingress).map(|name| ObjectName::new(own, name));
    let of_annotations = of_annotations(ingress).map(|value| match value.split_once('/') {
        Some((namespace, name)) => ObjectName::new(namespace, name),
        None => ObjectName::new(own, value),
    });
    let all = of_tls.chain(of_annotations);
    all.filter(|name| !name.name.is_empty()).collect()
}

fn of_tls(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let tls = ingress
        .spec
        .iter()
        .flat_map(|spec| spec.tls.iter().flatten());
    tls.filter_map(|tls| tls.secret_name.as_deref())
}

fn of_annotations(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let names_a_secret = |name: &str| {
        let ours = name.starts_with(ANNOTATION_PREFIX) || name.starts_with(NGINX_ANNOTATION_PREFIX);
        ours && name.ends_with(SUFFIX)
    };
    let annotations = ingress.metadata.annotations.iter().flatten();
    let named = annotations.filter(move |(name, _)| names_a_secret(name));
    named.map(|(_, value)| value.trim())
}
