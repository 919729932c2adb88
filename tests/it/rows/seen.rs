//! What is told of a folder, by the pure half: all findings, and the status of a RouteHealth of each
//! Ingress.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use vigie::api::route_health::{
    ConditionStatus, Diagnosis, RouteHealth, RouteHealthStatus, Severity,
};
use vigie::conditions::{Claim, Proxy, Seen, Subject, ingress_ref, statuses};
use vigie::diagnose::diagnose;
use vigie::model::diagnostics::{Diagnostic, Kind, ObjectRef};
use vigie::snapshot::{Evidence, ObjectName, Snapshot};
use vigie::source::folder::Folder;
use vigie::translate::{tallies, translate};

use crate::case;

pub struct Sight {
    pub findings: Vec<Diagnostic>,
    pub statuses: BTreeMap<ObjectRef, RouteHealthStatus>,
}

impl Sight {
    /// Of all objects of a folder, as if they were all that there is, or a part.
    pub fn of(manifests: &str, evidence: Evidence) -> Self {
        let folder = case::of_text(manifests).folder;
        let snapshot = Snapshot {
            evidence,
            ..folder.snapshot.clone()
        };
        Self::through(&snapshot, &folder)
    }

    /// Without what a cluster makes.
    pub fn of_manifests(manifests: &str) -> Self {
        let folder = case::of_text(manifests).folder;
        let snapshot = Snapshot {
            pods: Default::default(),
            slices: Arc::new(written_by_hand(&folder.snapshot)),
            ..folder.snapshot.clone()
        };
        Self::through(&snapshot, &folder)
    }

    fn through(snapshot: &Snapshot, folder: &Folder) -> Self {
        let translation = translate(snapshot, &case::usual_options());
        let tallies = tallies(snapshot, &translation.model);
        let behind = diagnose(snapshot, &translation.model, &tallies);
        let mut findings = folder.diagnostics.clone();
        findings.extend(translation.diagnostics.iter().cloned());
        findings.extend(behind.values().flatten().cloned());
        findings.sort();
        findings.dedup();
        let subjects = snapshot.ingresses.iter().map(|(name, ingress)| {
            let since = Some(1);
            (
                ingress_ref(&name.namespace, &name.name),
                Subject { ingress, since },
            )
        });
        let subjects: BTreeMap<_, _> = subjects.collect();
        let proxy = Proxy {
            name: "proxy",
            build: Some(1),
            refusal: None,
        };
        let names: Vec<ObjectRef> = subjects.keys().cloned().collect();
        let seen = Seen {
            model: &translation.model,
            diagnostics: &translation.diagnostics,
            ingresses: subjects,
            tallies,
            behind,
            sees_pods: true,
            proxies: vec![proxy],
            now: Timestamp::from_second(1_780_000_000).expect("a moment"),
            trust_until: None,
        };
        let ours = names
            .iter()
            .filter(|name| seen.claim(name) != Claim::Others);
        let healths: BTreeMap<ObjectRef, RouteHealth> = ours.map(health).collect();
        let healths = healths.iter().map(|(name, health)| (name.clone(), health));
        Self {
            findings,
            statuses: statuses(&seen, &healths.collect()),
        }
    }
}

fn written_by_hand(
    snapshot: &Snapshot,
) -> BTreeMap<ObjectName, BTreeMap<String, Arc<EndpointSlice>>> {
    let mut all = (*snapshot.slices).clone();
    for slices in all.values_mut() {
        slices.retain(|_, slice| !is_made(slice.metadata.labels.as_ref()));
    }
    all.retain(|_, slices| !slices.is_empty());
    all
}

/// By the labels of a slice, whether a cluster has made it.
pub fn is_made(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| labels.contains_key("endpointslice.kubernetes.io/managed-by"))
}

fn health(ingress: &ObjectRef) -> (ObjectRef, RouteHealth) {
    let name = format!("{}-told", ingress.name);
    let health = serde_json::from_value(json!({
        "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
        "metadata": {"namespace": &*ingress.namespace, "name": name, "generation": 1},
        "spec": {"targetRef": {"name": &*ingress.name}},
    }));
    let object = ObjectRef::new(Kind::RouteHealth, &ingress.namespace, &name);
    (object, health.expect("a RouteHealth"))
}

/// What of a status is looked at: of all its rows together.
#[derive(Debug, PartialEq)]
pub struct Telling {
    pub healthy: (ConditionStatus, String),
    /// Type, reason and message of the stages of rows that are False.
    pub broken: Vec<(String, String, String)>,
    /// Those that are worth more than knowing, where nothing is asked for by its code.
    pub diagnoses: Vec<Diagnosis>,
}

impl Telling {
    pub fn healthy() -> Self {
        Self {
            healthy: (ConditionStatus::True, "Healthy".to_owned()),
            broken: Vec::new(),
            diagnoses: Vec::new(),
        }
    }

    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.diagnoses.iter().map(|diagnosis| &*diagnosis.code)
    }

    /// Whether its health is as these words, and it tells of no error.
    pub fn is(&self, words: &str) -> bool {
        let (status, reason) = &self.healthy;
        let errors = self
            .diagnoses
            .iter()
            .filter(|d| d.severity == Severity::Error);
        format!("{status:?} {reason}") == words && errors.count() == 0
    }
}

pub fn telling(status: &RouteHealthStatus) -> Telling {
    let healthy = status.conditions.iter().find(|c| c.type_ == "Healthy");
    let of_rows = status.routes.iter().flat_map(|row| &row.conditions);
    let broken = of_rows.filter(|c| c.type_ != "Healthy" && c.status == ConditionStatus::False);
    let broken = broken.map(|c| (c.type_.clone(), c.reason.clone(), c.message.clone()));
    let diagnoses = status.routes.iter().flat_map(|row| &row.diagnoses);
    Telling {
        healthy: healthy.map_or((ConditionStatus::Unknown, String::new()), |c| {
            (c.status, c.reason.clone())
        }),
        broken: broken.collect(),
        diagnoses: diagnoses.cloned().collect(),
    }
}
