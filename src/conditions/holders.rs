//! Which RouteHealth speaks for which route: the most specific one, of equal ones the oldest, then the
//! first by name. Specs are never merged: the winner's is used whole.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Claim;
use super::entries::{Entry, entries};
use super::generated::is_generated;
use super::stages::{Index, Row};
use crate::api::route_health::check::violations;
use crate::api::route_health::{PathType, RouteHealth, RouteSelector};
use crate::model::diagnostics::ObjectRef;

/// What one RouteHealth is about, and what it holds of that.
#[derive(Default)]
pub struct Share<'a> {
    /// The Ingresses that it is about.
    pub targets: Vec<&'a ObjectRef>,
    /// It selects Ingresses of another controller too, which may be another installation.
    pub selects_others: bool,
    /// The routes that it holds.
    pub rows: Vec<Row<'a>>,
    /// The routes that another one holds, and which.
    pub lost: Vec<(String, &'a ObjectRef)>,
    /// Routes of its Ingresses that it did not ask for.
    pub others: Vec<String>,
}

/// One that is about an Ingress.
struct Candidate<'a> {
    name: &'a ObjectRef,
    health: &'a RouteHealth,
}

pub fn shares<'a>(
    index: &Index<'a>,
    healths: &'a BTreeMap<ObjectRef, &'a RouteHealth>,
) -> BTreeMap<&'a ObjectRef, Share<'a>> {
    let mut shares: BTreeMap<&ObjectRef, Share<'_>> = BTreeMap::new();
    for (ingress, mut candidates) in candidates(index, healths) {
        let subject = index.seen.ingresses[ingress];
        if index.claim(ingress) == Claim::Others {
            // Who names it asks about it; who selects it by labels may mean others.
            candidates.retain(|candidate| {
                let names_it = candidate.health.spec.target_ref.is_some();
                let share = shares.entry(candidate.name).or_default();
                share.selects_others |= !names_it;
                names_it
            });
        }
        for candidate in &candidates {
            let share = shares.entry(candidate.name).or_default();
            share.targets.push(ingress);
        }
        for entry in entries(subject.ingress) {
            let (asking, silent): (Vec<_>, Vec<_>) = candidates
                .iter()
                .map(|candidate| (level(candidate.health, &entry), candidate))
                .partition(|(level, _)| level.is_some());
            for (_, candidate) in silent {
                let share = shares.entry(candidate.name).or_default();
                share.others.push(entry.shown());
            }
            let winner = asking.iter().min_by_key(|(level, c)| (*level, c.rank()));
            let Some(holder) = winner.map(|(_, candidate)| candidate.name) else {
                continue;
            };
            for (_, candidate) in &asking {
                let share = shares.entry(candidate.name).or_default();
                if candidate.name != holder {
                    share.lost.push((entry.shown(), holder));
                }
            }
            let share = shares.entry(holder).or_default();
            share.rows.push(index.row(ingress, entry));
        }
    }
    shares
}

impl<'a> Candidate<'a> {
    fn rank(&self) -> (Option<&'a Time>, &'a ObjectRef) {
        (self.health.metadata.creation_timestamp.as_ref(), self.name)
    }
}

/// The RouteHealths that are about each Ingress.
fn candidates<'a>(
    index: &Index<'a>,
    healths: &'a BTreeMap<ObjectRef, &'a RouteHealth>,
) -> BTreeMap<&'a ObjectRef, Vec<Candidate<'a>>> {
    let ingresses = &index.seen.ingresses;
    let mut all: BTreeMap<&ObjectRef, Vec<Candidate<'_>>> = BTreeMap::new();
    // One that cannot be meant as it is holds nothing that another could.
    let valid = healths
        .iter()
        .filter(|(_, health)| violations(&health.spec).is_empty());
    for (name, health) in valid {
        let mut add = |ingress: &'a ObjectRef| {
            all.entry(ingress)
                .or_default()
                .push(Candidate { name, health })
        };
        if let Some(target) = &health.spec.target_ref {
            let target = super::ingress_ref(&name.namespace, &target.name);
            if let Some((ingress, _)) = ingresses.get_key_value(&target) {
                add(ingress);
            }
        } else {
            let from = super::ingress_ref(&name.namespace, "");
            let here = ingresses.range(from..);
            here.take_while(|(ingress, _)| ingress.namespace == name.namespace)
                .filter(|(_, subject)| selects(health, subject.ingress))
                .for_each(|(ingress, _)| add(ingress));
        }
    }
    all
}

fn selects(health: &RouteHealth, ingress: &Ingress) -> bool {
    let Some(selector) = &health.spec.target_selector else {
        return false;
    };
    let labels = ingress.metadata.labels.as_ref();
    let has = |(key, value): (&String, &String)| labels.and_then(|all| all.get(key)) == Some(value);
    !selector.match_labels.is_empty() && selector.match_labels.iter().all(has)
}

/// How specifically a RouteHealth asks for a route of an Ingress that it is about; less is more.
fn level(health: &RouteHealth, entry: &Entry) -> Option<u8> {
    let narrowed = &health.spec.routes;
    let generated = is_generated(health);
    let by_reference = health.spec.target_ref.is_some();
    if narrowed.is_empty() || entry.is_placeholder {
        return Some(match (generated, by_reference) {
            (true, _) => 6,
            (false, false) => 4,
            (false, true) => 3,
        });
    }
    let asking = narrowed.iter().filter(|selector| asks(selector, entry));
    let specific = |selector: &RouteSelector| match (&selector.host, &selector.path) {
        _ if !by_reference => 4,
        (Some(_), Some(_)) => 1,
        _ => 2,
    };
    asking.map(specific).min()
}

fn asks(selector: &RouteSelector, entry: &Entry) -> bool {
    let path_type = |wanted: PathType| match wanted {
        PathType::Exact => "Exact",
        PathType::Prefix => "Prefix",
        PathType::ImplementationSpecific => "ImplementationSpecific",
    };
    let host = selector.host.as_ref();
    let path = selector.path.as_ref();
    host.is_none_or(|host| *host == entry.host)
        && path.is_none_or(|path| *path == entry.path)
        && selector
            .path_type
            .is_none_or(|wanted| path_type(wanted) == entry.path_type)
}
