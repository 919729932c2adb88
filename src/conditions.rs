//! (model, findings, what the proxies run) → the status that each RouteHealth should show. Pure: time is
//! an argument, and of a standing status only the moments of its changes are taken over.
//!
//! A RouteHealth *holds* routes: of all that are about a route, one speaks for it ([`holders`]). Each
//! route has a verdict for each stage of a request ([`stages`]); the first that is False is the answer.
//! What probes would tell is not decided here yet: those two stages are Unknown and lower nothing.
//!
//! It must never know a client or a clock.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod entries;
pub mod generated;
mod holders;
mod programmed;
mod stages;
mod status;
mod words;
mod writer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::Ingress;

use crate::api::route_health::{ConditionStatus, RouteHealth, RouteHealthStatus};
use crate::model::Model;
use crate::model::diagnostics::{Code, Diagnostic, Kind, ObjectRef, Severity, Stage};
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;

use stages::Index;

/// What a build and the proxies have to say.
pub struct Seen<'a> {
    pub model: &'a Model,
    /// Sorted, as a translation gives them.
    pub diagnostics: &'a [Diagnostic],
    pub ingresses: BTreeMap<ObjectRef, Subject<'a>>,
    pub tallies: BTreeMap<UpstreamName, Tally>,
    /// What is wrong behind upstreams.
    pub behind: BTreeMap<UpstreamName, Vec<Diagnostic>>,
    /// Pods and what makes them may be looked at; otherwise `behind` is empty for want of rights.
    pub sees_pods: bool,
    pub proxies: Vec<Proxy<'a>>,
    pub now: Timestamp,
    /// Until then a proxy that says nothing is believed to run what a standing status says that it
    /// runs: who has just begun to write knows less than who wrote.
    pub trust_until: Option<Timestamp>,
}

/// An Ingress, and the build in which it first stood as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub ingress: &'a Ingress,
    pub since: Option<u64>,
}

/// What a proxy is known to run.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    pub name: &'a str,
    pub build: Option<u64>,
    /// In its own words, why it does not take what is published.
    pub refusal: Option<&'a str>,
}

/// Whose an Ingress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    Ours,
    /// No controller can serve it: its class does not exist, or it names none and none is the default.
    Nobodys,
    Others,
}

impl Seen<'_> {
    /// By the findings on it.
    pub fn claim(&self, ingress: &ObjectRef) -> Claim {
        let from = self
            .diagnostics
            .partition_point(|finding| finding.origin.object < *ingress);
        let of_ingress = self.diagnostics[from..]
            .iter()
            .take_while(|finding| finding.origin.object == *ingress);
        claim_of(of_ingress)
    }
}

fn claim_of<'d>(findings: impl Iterator<Item = &'d Diagnostic>) -> Claim {
    let mut claim = Claim::Ours;
    for finding in findings {
        match (finding.code, finding.severity) {
            (Code::RH210, _) => claim = Claim::Nobodys,
            (Code::RH102, Severity::Info) => claim = Claim::Others,
            (Code::RH102, _) => claim = Claim::Nobodys,
            _ => {}
        }
    }
    claim
}

/// In the order of a request's way; Healthy is the verdict over all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    Healthy,
    /// We take the object.
    Accepted,
    /// All that it refers to exists and can be used.
    ResolvedRefs,
    /// Every proxy runs it as it is.
    Programmed,
    EndpointsReady,
    ProbePassing,
    PrefixServed,
}

impl ConditionType {
    pub const STAGES: [Self; 6] = [
        Self::Accepted,
        Self::ResolvedRefs,
        Self::Programmed,
        Self::EndpointsReady,
        Self::ProbePassing,
        Self::PrefixServed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::EndpointsReady => "EndpointsReady",
            Self::ProbePassing => "ProbePassing",
            Self::PrefixServed => "PrefixServed",
        }
    }

    /// Where findings make it False.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Accepted => Some(Stage::Accepted),
            Self::ResolvedRefs => Some(Stage::ResolvedRefs),
            Self::Programmed => Some(Stage::Programmed),
            Self::EndpointsReady => Some(Stage::EndpointsReady),
            Self::ProbePassing => Some(Stage::ProbePassing),
            Self::Healthy | Self::PrefixServed => None,
        }
    }
}

/// What is said of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: ConditionStatus,
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    fn good(reason: &'static str) -> Self {
        Self {
            status: ConditionStatus::True,
            reason,
            message: String::new(),
        }
    }

    fn bad(finding: &Diagnostic) -> Self {
        Self {
            status: ConditionStatus::False,
            reason: finding.code.reason(),
            message: finding.message.clone(),
        }
    }

    fn unknown(reason: &'static str, message: &str) -> Self {
        Self {
            status: ConditionStatus::Unknown,
            reason,
            message: message.to_owned(),
        }
    }

    fn is_false(&self) -> bool {
        self.status == ConditionStatus::False
    }
}

/// The status of every RouteHealth that is ours to write; `healths` are all that are not another
/// installation's. One whose Ingresses are another controller's is left out while its status tells
/// what that one made of it.
pub fn statuses(
    seen: &Seen<'_>,
    healths: &BTreeMap<ObjectRef, &RouteHealth>,
) -> BTreeMap<ObjectRef, RouteHealthStatus> {
    let index = Index::new(seen);
    let mut shares = holders::shares(&index, healths);
    let mut wanted = BTreeMap::new();
    for (name, health) in healths {
        let share = shares.remove(name).unwrap_or_default();
        if let Some(status) = status::status(&index, name, health, share) {
            wanted.insert(name.clone(), status);
        }
    }
    wanted
}

/// What is wrong with RouteHealths themselves: they are about nothing, cannot be meant as they are, or
/// others hold what they are about.
pub fn objections(seen: &Seen<'_>, healths: &BTreeMap<ObjectRef, &RouteHealth>) -> Vec<Diagnostic> {
    let index = Index::new(seen);
    let mut shares = holders::shares(&index, healths);
    let mut findings = Vec::new();
    for (name, health) in healths {
        let mut share = shares.remove(name).unwrap_or_default();
        findings.extend(status::objections(&index, name, health, &mut share));
    }
    findings
}

/// The stages of one route, which stands in this field of an Ingress; empty where there is none. What
/// proxies run is not asked.
pub fn stages(seen: &Seen<'_>, ingress: &ObjectRef, field: &str) -> Vec<(ConditionType, Verdict)> {
    let index = Index::new(seen);
    let Some((ingress, subject)) = seen.ingresses.get_key_value(ingress) else {
        return Vec::new();
    };
    let mut entries = entries::entries(subject.ingress).into_iter();
    let Some(entry) = entries.find(|entry| entry.field == field) else {
        return Vec::new();
    };
    let row = index.row(ingress, entry);
    ConditionType::STAGES.into_iter().zip(row.stages).collect()
}

/// How an Ingress is named among findings.
pub fn ingress_ref(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Ingress, namespace, name)
}

#[cfg(test)]
mod tests;
