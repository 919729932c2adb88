//! What earlier builds found out about single objects, so that the next one need not do it again.
//!
//! Each result is kept with all that it was made of and is a pure function of that: a build gives the
//! same with any memo. What a build does not ask for is forgotten at its end, so that a memo never
//! holds more than one snapshot asks for. Why not the whole model by its objects: routes of a host
//! depend on each other, and putting them together anew is cheap.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use super::endpoints::FromSlices;
use super::tls;
use crate::model::Certificate;
use crate::model::names::{NameError, PathRegex};
use crate::snapshot::ObjectName;

/// Not to be printed: it holds private keys.
#[derive(Default)]
pub struct Memo {
    pub(super) certificates: Certificates,
    pub(super) regexes: Regexes,
    /// Of the latest build.
    pub(super) from_slices: FromSlices,
}

impl Memo {
    pub(super) fn forget_unused(&mut self) {
        self.certificates.0.forget_unused();
        self.regexes.ignoring_case.forget_unused();
        self.regexes.heeding_case.forget_unused();
    }
}

/// What Secrets hold.
#[derive(Default)]
pub struct Certificates(Kept<ObjectName, (Arc<Secret>, Result<Certificate, String>)>);

impl Certificates {
    pub fn of(&mut self, name: &ObjectName, secret: &Arc<Secret>) -> Result<Certificate, String> {
        let same = |(known, _): &(Arc<Secret>, _)| Arc::ptr_eq(known, secret) || known == secret;
        let read = || (secret.clone(), tls::of_secret(name, secret));
        self.0.get(name, same, read).1.clone()
    }
}

/// Regular expressions that were judged.
#[derive(Default)]
pub struct Regexes {
    ignoring_case: Kept<String, Result<PathRegex, NameError>>,
    heeding_case: Kept<String, Result<PathRegex, NameError>>,
}

impl Regexes {
    pub fn ignoring_case(&mut self, raw: &str) -> Result<PathRegex, NameError> {
        let judge = || PathRegex::ignoring_case(raw);
        self.ignoring_case.get(raw, |_| true, judge).clone()
    }

    pub fn heeding_case(&mut self, raw: &str) -> Result<PathRegex, NameError> {
        let judge = || PathRegex::heeding_case(raw);
        self.heeding_case.get(raw, |_| true, judge).clone()
    }
}

/// Values by key.
struct Kept<K, V>(BTreeMap<K, Held<V>>);

struct Held<V> {
    value: V,
    /// Whether this build has asked for it.
    used: bool,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Kept<K, V> {
    /// The value of a key; made where there is none, or not of the same.
    fn get<Q>(&mut self, key: &Q, same: impl FnOnce(&V) -> bool, make: impl FnOnce() -> V) -> &V
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        let known = self.0.get(key).is_some_and(|held| same(&held.value));
        if !known {
            let value = make();
            self.0.insert(key.to_owned(), Held { value, used: true });
        }
        let held = self.0.get_mut(key).expect("it is there or was just made");
        held.used = true;
        &held.value
    }

    fn forget_unused(&mut self) {
        self.0.retain(|_, held| std::mem::take(&mut held.used));
    }
}

#[cfg(test)]
mod tests;
