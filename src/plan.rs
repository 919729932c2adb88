//! Old bundle and new bundle → what has to be done to the proxy. Pure data: applying a plan to the
//! old bundle gives exactly the new one (a law, tested), so nothing can be done or told that the plan
//! does not hold. It must never know which proxy runs: whether a change can be made live is asked of
//! its driver.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fmt;

use crate::model::names::UpstreamName;
use crate::model::{Endpoint, PrivatePem};
use crate::render::bundle::{Bundle, Content, FileName, Pool, ProxyKind, RenderedRange};

/// Everything in which two bundles differ, by what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What only a reload brings in: each one is a reason for it.
    pub parts: Vec<Part>,
    /// Private files that stay and have another content.
    pub certificates: Vec<CertificateChange>,
    /// Endpoints of pools that stay.
    pub endpoints: Vec<PoolChange>,
    /// Where lines come from, if that differs; no proxy sees it.
    pub origins: Option<Vec<RenderedRange>>,
}

/// A part of the structure in its new form; None where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Format(u32),
    Proxy(ProxyKind),
    File {
        name: FileName,
        change: Change<Content>,
    },
    Pool {
        name: UpstreamName,
        change: Change<Pool>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    New(T),
    Changed(T),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateChange {
    pub file: FileName,
    pub pem: PrivatePem,
}

/// What comes and goes in a pool; both sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolChange {
    pub upstream: UpstreamName,
    pub added: Vec<Endpoint>,
    pub removed: Vec<Endpoint>,
}

impl Plan {
    /// Nothing that a proxy could notice.
    pub fn is_nothing(&self) -> bool {
        self.parts.is_empty() && self.certificates.is_empty() && self.endpoints.is_empty()
    }

    /// The parts that force a reload. Both renderers stamp a structure's digest into a file of it,
    /// which changes with whatever else does, certificates too; it is never a reason of its own.
    pub fn reasons(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.is_stamp())
    }

    /// What is changed, for people: reasons of a reload first. `label` names an upstream.
    pub fn summary(&self, label: impl Fn(&UpstreamName) -> String) -> String {
        const SHOWN: usize = 3;
        let certificates = self.certificates.iter().map(|c| c.file.clone());
        let endpoints = self.endpoints.iter().map(|change| {
            let count = change.added.len() + change.removed.len();
            let noun = if count == 1 { "endpoint" } else { "endpoints" };
            format!("{count} {noun} of {}", label(&change.upstream))
        });
        let mut all: Vec<String> = self.reasons().map(Part::to_string).collect();
        all.extend(certificates);
        all.extend(endpoints);
        let more = all.len().saturating_sub(SHOWN);
        all.truncate(SHOWN);
        match (all.is_empty(), more) {
            (true, _) => "nothing".into(),
            (_, 0) => all.join(", "),
            _ => format!("{} and {more} more", all.join(", ")),
        }
    }
}

impl Part {
    fn is_stamp(&self) -> bool {
        let Self::File { name, change } = self else {
            return false;
        };
        let file = name.rsplit('/').next().unwrap_or_default();
        file.starts_with("revision.") && matches!(change, Change::Changed(_))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, verb) = match self {
            Self::Format(format) => return write!(f, "format {format}"),
            Self::Proxy(proxy) => return write!(f, "proxy {proxy}"),
            Self::File { name, change } => (format!("structure of {name}"), change.verb()),
            Self::Pool { name, change } => (format!("upstream {name}"), change.verb()),
        };
        write!(f, "{what} {verb}")
    }
}

impl<T> Change<T> {
    fn verb(&self) -> &'static str {
        match self {
            Self::New(_) => "is new",
            Self::Changed(_) => "changed",
            Self::Gone => "is gone",
        }
    }
}

/// Compares two bundles.
pub fn plan(old: &Bundle, new: &Bundle) -> Plan {
    let mut plan = Plan::default();
    if old.format != new.format {
        plan.parts.push(Part::Format(new.format));
    }
    if old.proxy != new.proxy {
        plan.parts.push(Part::Proxy(new.proxy));
    }
    compare_files(old, new, &mut plan);
    compare_pools(old, new, &mut plan);
    plan.origins = (old.origins != new.origins).then(|| new.origins.clone());
    plan
}

fn compare_files(old: &Bundle, new: &Bundle, plan: &mut Plan) {
    let names: BTreeSet<_> = old.structure.keys().chain(new.structure.keys()).collect();
    for name in names {
        let change = match (old.structure.get(name), new.structure.get(name)) {
            (was, is) if was == is => continue,
            (Some(Content::Private(_)), Some(Content::Private(pem))) => {
                plan.certificates.push(CertificateChange {
                    file: name.clone(),
                    pem: pem.clone(),
                });
                continue;
            }
            (None, Some(content)) => Change::New(content.clone()),
            (_, Some(content)) => Change::Changed(content.clone()),
            (_, None) => Change::Gone,
        };
        let name = name.clone();
        plan.parts.push(Part::File { name, change });
    }
}

fn compare_pools(old: &Bundle, new: &Bundle, plan: &mut Plan) {
    let names: BTreeSet<_> = old.pools.keys().chain(new.pools.keys()).collect();
    for name in names {
        let change = match (old.pools.get(name), new.pools.get(name)) {
            (was, is) if was == is => continue,
            (Some(was), Some(is)) if was.name == is.name && was.line == is.line => {
                let without = |from: &Pool, other: &Pool| {
                    let kept = |e: &&Endpoint| other.endpoints.binary_search(e).is_err();
                    from.endpoints.iter().filter(kept).copied().collect()
                };
                plan.endpoints.push(PoolChange {
                    upstream: name.clone(),
                    added: without(is, was),
                    removed: without(was, is),
                });
                continue;
            }
            (None, Some(pool)) => Change::New(pool.clone()),
            (_, Some(pool)) => Change::Changed(pool.clone()),
            (_, None) => Change::Gone,
        };
        let name = name.clone();
        plan.parts.push(Part::Pool { name, change });
    }
}

/// The new bundle, made of the old one and a plan.
pub fn apply(old: &Bundle, plan: &Plan) -> Bundle {
    let mut new = old.clone();
    for part in &plan.parts {
        match part {
            Part::Format(format) => new.format = *format,
            Part::Proxy(proxy) => new.proxy = *proxy,
            Part::File { name, change } => set(&mut new.structure, name, change),
            Part::Pool { name, change } => set(&mut new.pools, name, change),
        }
    }
    for change in &plan.certificates {
        let content = Content::Private(change.pem.clone());
        new.structure.insert(change.file.clone(), content);
    }
    for change in &plan.endpoints {
        if let Some(pool) = new.pools.get_mut(&change.upstream) {
            pool.endpoints
                .retain(|e| change.removed.binary_search(e).is_err());
            pool.endpoints.extend(&change.added);
            pool.endpoints.sort();
        }
    }
    if let Some(origins) = &plan.origins {
        new.origins = origins.clone();
    }
    new
}

fn set<K: Ord + Clone, V: Clone>(
    map: &mut std::collections::BTreeMap<K, V>,
    key: &K,
    change: &Change<V>,
) {
    match change {
        Change::New(value) | Change::Changed(value) => map.insert(key.clone(), value.clone()),
        Change::Gone => map.remove(key),
    };
}

/// The running bundle with the endpoints that a newer one has for the same pools: what may still be
/// loaded when the newer structure is refused, so that a refusal never freezes endpoints.
pub fn endpoints_only(running: &Bundle, newer: &Bundle) -> Bundle {
    let mut merged = running.clone();
    for (name, pool) in &mut merged.pools {
        let same = |p: &&Pool| p.name == pool.name && p.line == pool.line;
        if let Some(newer) = newer.pools.get(name).filter(same) {
            pool.endpoints = newer.endpoints.clone();
        }
    }
    merged
}

#[cfg(test)]
mod tests;
