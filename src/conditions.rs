//! (model, findings) → the conditions that each Ingress should show. Pure; time is an argument where
//! it will be needed. What takes a report of a proxy (Programmed and what follows) is not decided
//! here yet.
//!
//! It must never know a client or a clock.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::diagnostics::{Code, Diagnostic, Kind, ObjectRef, Stage};
use crate::model::names::UpstreamName;
use crate::model::{Action, Model, Route};

/// One condition of an object, without its transition time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: ConditionType,
    pub status: Status,
    pub reason: &'static str,
    pub message: String,
}

/// In the order of a request's way; the first that is False is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ConditionType {
    /// We take the object.
    Accepted,
    /// All that it refers to exists and can be used.
    ResolvedRefs,
}

impl ConditionType {
    pub const ALL: [Self; 2] = [Self::Accepted, Self::ResolvedRefs];

    fn stage(self) -> Stage {
        match self {
            Self::Accepted => Stage::Accepted,
            Self::ResolvedRefs => Stage::ResolvedRefs,
        }
    }

    /// The reason while it is True.
    fn good(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Status {
    True,
    False,
}

/// The conditions of every Ingress that has a route or a finding.
pub fn conditions(
    model: &Model,
    diagnostics: &[Diagnostic],
) -> BTreeMap<ObjectRef, Vec<Condition>> {
    let mut routes: BTreeMap<&ObjectRef, Vec<&Route>> = BTreeMap::new();
    let all = model
        .hosts
        .values()
        .flat_map(|host| &host.routes)
        .chain(&model.fallback);
    for route in all.filter(|route| route.origin.object.kind == Kind::Ingress) {
        routes.entry(&route.origin.object).or_default().push(route);
    }
    let mut findings: BTreeMap<&ObjectRef, Vec<&Diagnostic>> = BTreeMap::new();
    for finding in diagnostics
        .iter()
        .filter(|d| d.origin.object.kind == Kind::Ingress)
    {
        findings
            .entry(&finding.origin.object)
            .or_default()
            .push(finding);
    }
    let objects: BTreeSet<&ObjectRef> = routes.keys().chain(findings.keys()).copied().collect();
    let of = |object: &ObjectRef| {
        let routes = routes.get(object).map(Vec::as_slice).unwrap_or_default();
        let findings = findings.get(object).map(Vec::as_slice).unwrap_or_default();
        ConditionType::ALL
            .map(|kind| condition(kind, object, routes, findings))
            .to_vec()
    };
    objects
        .into_iter()
        .map(|object| (object.clone(), of(object)))
        .collect()
}

fn condition(
    kind: ConditionType,
    object: &ObjectRef,
    routes: &[&Route],
    findings: &[&Diagnostic],
) -> Condition {
    match findings
        .iter()
        .find(|finding| breaks(finding, kind.stage()))
    {
        Some(finding) => Condition {
            kind,
            status: Status::False,
            reason: finding.code.reason(),
            message: finding.message.clone(),
        },
        None => Condition {
            kind,
            status: Status::True,
            reason: kind.good(),
            message: match kind {
                ConditionType::Accepted => {
                    format!("{} of {object}.", count(routes.len(), "route"))
                }
                ConditionType::ResolvedRefs => {
                    format!("{}.", count(upstreams(routes).len(), "Service port"))
                }
            },
        },
    }
}

/// An Ingress that is not ours is not accepted, however little that matters to us.
fn breaks(finding: &Diagnostic, stage: Stage) -> bool {
    finding.code.stage() == stage && (finding.is_error() || finding.code == Code::RH102)
}

fn upstreams<'r>(routes: &[&'r Route]) -> BTreeSet<&'r UpstreamName> {
    let mut names = BTreeSet::new();
    for route in routes {
        if let Action::Forward(forward) = &route.action {
            names.insert(&forward.split.primary);
            names.extend(forward.split.rules.iter().map(|rule| &rule.upstream));
            names.extend(forward.split.shares.iter().map(|share| &share.upstream));
        }
    }
    names
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
