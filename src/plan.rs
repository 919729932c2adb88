//! Old bundle and new bundle → what has to be done to the proxy. Pure data: applying a plan to the
//! old bundle gives exactly the new one (a law, tested), so nothing can be done or told that the plan
//! does not hold. It must never know which proxy runs: whether a change can be made live is asked of
//! its driver.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::model::names::{DnsName, UpstreamName};
use crate::model::{Endpoint, PrivatePem};
use crate::render::bundle::{
    Bundle, Content, FileName, Order, Pool, ProxyKind, RenderedRange, Table,
};

/// Everything in which two bundles differ, by what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What comes, goes, or is read as a whole. A proxy may need a reload for it.
    pub parts: Vec<Part>,
    /// Lines of tables that stay.
    pub tables: Vec<TableChange>,
    /// Private files that stay and have another content.
    pub certificates: Vec<CertificateChange>,
    /// Endpoints of pools that stay.
    pub endpoints: Vec<PoolChange>,
    /// Where lines come from, if that differs; no proxy sees it.
    pub origins: Option<Arc<[RenderedRange]>>,
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

/// Whole lines that stand in place of others; all else of the table is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    pub file: FileName,
    pub order: Order,
    /// Where it begins, in octets.
    pub at: usize,
    pub removed: String,
    pub added: String,
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
    /// Where the endpoints come from, in its new form: [`Pool::name`].
    pub name: Option<(DnsName, u16)>,
    pub added: Vec<Endpoint>,
    pub removed: Vec<Endpoint>,
}

impl TableChange {
    /// The lines that are only in the old table.
    pub fn gone(&self) -> Vec<&str> {
        without(&self.removed, &self.added)
    }

    /// The lines that are only in the new table.
    pub fn new_lines(&self) -> Vec<&str> {
        without(&self.added, &self.removed)
    }
}

/// Lines of `text` that are not in `other`.
fn without<'a>(text: &'a str, other: &str) -> Vec<&'a str> {
    let other: BTreeSet<&str> = other.lines().collect();
    text.lines().filter(|line| !other.contains(line)).collect()
}

impl Plan {
    /// Nothing that a proxy could notice.
    pub fn is_nothing(&self) -> bool {
        self.parts.is_empty()
            && self.tables.is_empty()
            && self.certificates.is_empty()
            && self.endpoints.is_empty()
    }

    /// The parts that force a reload of a proxy that `takes` the others as it runs. nginx's renderer
    /// stamps a structure's digest into a file of it, which changes with whatever else does,
    /// certificates too; it is never a reason of its own.
    pub fn reasons(&self, takes: impl Fn(&Part) -> bool) -> impl Iterator<Item = &Part> {
        let parts = self.parts.iter();
        parts.filter(move |part| !part.is_stamp() && !takes(part))
    }

    /// Files that have another text in `new`, the bundle that this plan leads to; those that went are
    /// named too.
    pub fn files<'a>(&'a self, new: &'a Bundle) -> BTreeSet<&'a str> {
        let parts = self.parts.iter().filter_map(|part| match part {
            Part::File { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let pools = self.parts.iter().any(|p| matches!(p, Part::Pool { .. }));
        let pools = (pools || !self.endpoints.is_empty()).then(|| {
            let all = new.structure.iter();
            all.filter(|(_, content)| matches!(content, Content::Pools))
                .map(|(name, _)| name.as_str())
        });
        parts
            .chain(self.tables.iter().map(|change| change.file.as_str()))
            .chain(self.certificates.iter().map(|change| change.file.as_str()))
            .chain(pools.into_iter().flatten())
            .collect()
    }

    /// What is changed, for people. `label` names an upstream.
    pub fn summary(&self, label: impl Fn(&UpstreamName) -> String) -> String {
        let parts = self.parts.iter().filter(|part| !part.is_stamp());
        let parts = parts.map(|part| match part {
            Part::Pool { name, change } => format!("upstream {} {}", label(name), change.verb()),
            _ => part.to_string(),
        });
        let tables = self.tables.iter().filter(|change| !is_stamp(&change.file));
        let tables = tables.map(|change| {
            let count = change.gone().len().max(change.new_lines().len());
            format!("{} of {}", counted(count, "line"), change.file)
        });
        let certificates = self.certificates.iter().map(|c| c.file.clone());
        let endpoints = self.endpoints.iter().map(|change| {
            let count = change.added.len() + change.removed.len();
            format!(
                "{} of {}",
                counted(count, "endpoint"),
                label(&change.upstream)
            )
        });
        let all = parts.chain(endpoints).chain(certificates).chain(tables);
        listed(all)
    }
}

/// The first of them, and how many more there are.
pub fn listed(all: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 3;
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    match (all.is_empty(), more) {
        (true, _) => "nothing".into(),
        (_, 0) => all.join(", "),
        _ => format!("{} and {more} more", all.join(", ")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn is_stamp(file: &str) -> bool {
    let file = file.rsplit('/').next().unwrap_or_default();
    file.starts_with("revision.")
}

impl Part {
    fn is_stamp(&self) -> bool {
        match self {
            Self::File { name, change } => is_stamp(name) && matches!(change, Change::Changed(_)),
            _ => false,
        }
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
    for (name, was, is) in pairs(&old.structure, &new.structure) {
        compare_files(name, was, is, &mut plan);
    }
    for (name, was, is) in pairs(&old.pools, &new.pools) {
        compare_pools(name, was, is, &mut plan);
    }
    plan.origins = (old.origins != new.origins).then(|| new.origins.clone());
    plan
}

/// Every key of two maps with both values, where these differ.
fn pairs<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let next = move || {
        let order = match (old.peek(), new.peek()) {
            (Some((was, _)), Some((is, _))) => was.cmp(is),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let was = old.next_if(|_| order.is_le());
        let is = new.next_if(|_| order.is_ge());
        let (key, _) = was.or(is)?;
        Some((key, was.map(|(_, was)| was), is.map(|(_, is)| is)))
    };
    std::iter::from_fn(next).filter(|(_, was, is)| was != is)
}

fn compare_files(name: &str, was: Option<&Content>, is: Option<&Content>, plan: &mut Plan) {
    let name = name.to_owned();
    let change = match (was, is) {
        (Some(Content::Private(_)), Some(Content::Private(pem))) => {
            let pem = pem.clone();
            return plan
                .certificates
                .push(CertificateChange { file: name, pem });
        }
        (Some(Content::Table(was)), Some(Content::Table(is))) if was.order == is.order => {
            return plan.tables.push(compare_tables(name, was, is));
        }
        (None, Some(content)) => Change::New(content.clone()),
        (_, Some(content)) => Change::Changed(content.clone()),
        (_, None) => Change::Gone,
    };
    plan.parts.push(Part::File { name, change });
}

/// The shortest run of whole lines that differs.
fn compare_tables(file: FileName, was: &Table, is: &Table) -> TableChange {
    let order = is.order;
    let (was, is) = (was.text.as_str(), is.text.as_str());
    let shorter = was.len().min(is.len());
    let begin = common_start(was.as_bytes(), is.as_bytes());
    let begin = was.as_bytes()[..begin].iter().rposition(|b| *b == b'\n');
    let begin = begin.map_or(0, |at| at + 1);
    let end = common_end(was.as_bytes(), is.as_bytes()).min(shorter - begin);
    // A line is whole where the one before it ends.
    let tail = &was.as_bytes()[was.len() - end..];
    let starts_line = |length: usize| {
        let starts = |text: &str| {
            let at = text.len() - length;
            at == begin || text.as_bytes().get(at.wrapping_sub(1)) == Some(&b'\n')
        };
        starts(was) && starts(is)
    };
    let end = if starts_line(end) {
        end
    } else {
        let line = tail.iter().position(|b| *b == b'\n');
        line.map_or(0, |at| end - at - 1)
    };
    TableChange {
        file,
        order,
        at: begin,
        removed: was[begin..was.len() - end].to_owned(),
        added: is[begin..is.len() - end].to_owned(),
    }
}

/// Octets that are compared at once: tables are long and differ in few lines.
const STEP: usize = 64;

fn common_start(one: &[u8], other: &[u8]) -> usize {
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let equal = STEP * steps.take_while(|(a, b)| a == b).count();
    let rest = one[equal..].iter().zip(&other[equal..]);
    equal + rest.take_while(|(a, b)| a == b).count()
}

fn common_end(one: &[u8], other: &[u8]) -> usize {
    let steps = one.rchunks_exact(STEP).zip(other.rchunks_exact(STEP));
    let equal = STEP * steps.take_while(|(a, b)| a == b).count();
    let rest = one[..one.len() - equal].iter().rev();
    let rest = rest.zip(other[..other.len() - equal].iter().rev());
    equal + rest.take_while(|(a, b)| a == b).count()
}

fn compare_pools(name: &UpstreamName, was: Option<&Pool>, is: Option<&Pool>, plan: &mut Plan) {
    let name = name.clone();
    let change = match (was, is) {
        (Some(was), Some(is)) if was.section == is.section => {
            let without = |from: &Pool, other: &Pool| {
                let kept = |e: &&Endpoint| other.endpoints.binary_search(e).is_err();
                from.endpoints.iter().filter(kept).copied().collect()
            };
            return plan.endpoints.push(PoolChange {
                upstream: name,
                name: is.name.clone(),
                added: without(is, was),
                removed: without(was, is),
            });
        }
        (None, Some(pool)) => Change::New(pool.clone()),
        (_, Some(pool)) => Change::Changed(pool.clone()),
        (_, None) => Change::Gone,
    };
    plan.parts.push(Part::Pool { name, change });
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
    for change in &plan.tables {
        if let Some(Content::Table(table)) = new.structure.get_mut(&change.file) {
            let replaced = change.at..change.at + change.removed.len();
            table.text.replace_range(replaced, &change.added);
        }
    }
    for change in &plan.certificates {
        let content = Content::Private(change.pem.clone());
        new.structure.insert(change.file.clone(), content);
    }
    for change in &plan.endpoints {
        if let Some(pool) = new.pools.get_mut(&change.upstream) {
            pool.name = change.name.clone();
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

fn set<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, change: &Change<V>) {
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
        let same = |p: &&Pool| p.name == pool.name && p.section == pool.section;
        if let Some(newer) = newer.pools.get(name).filter(same) {
            pool.endpoints = newer.endpoints.clone();
        }
    }
    merged
}

#[cfg(test)]
mod tests;
