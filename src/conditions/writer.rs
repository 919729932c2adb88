//! Verdicts → the words of a status, within the bounds of its definition.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::stages::{DECISIVE, Row};
use super::status::{healthy, tally};
use super::words::cut;
use super::{ConditionType, Verdict};
use crate::api::route_health::{
    Condition, ConditionStatus, Diagnosis, EndpointCounts, RouteHealth, RouteHealthStatus,
    RouteStatus, Severity,
};
use crate::model::diagnostics::{self, Diagnostic, ObjectRef, targets};

const MOST_DIAGNOSES: usize = 5;
const LONGEST_MESSAGE: usize = 512;
const LONGEST_ADVICE: usize = 384;
/// Of a status, in octets: etcd and whoever watches have more to carry.
const LARGEST: usize = 128 * 1024;
const SHORT_MESSAGE: usize = 160;

/// Writes verdicts down; the moment of the last change is that of the standing status where nothing
/// has changed.
pub struct Writer<'s> {
    now: Time,
    generation: Option<i64>,
    pub standing: Option<&'s RouteHealthStatus>,
}

impl<'s> Writer<'s> {
    pub fn new(now: Timestamp, health: &'s RouteHealth) -> Self {
        // What is written has whole seconds, and must be equal when it is read back.
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            now: Time(seconds),
            generation: health.metadata.generation,
            standing: health.status.as_ref(),
        }
    }

    pub(super) fn condition(
        &self,
        kind: ConditionType,
        verdict: &Verdict,
        standing: &[Condition],
    ) -> Condition {
        let before = standing.iter().find(|c| c.type_ == kind.as_str());
        let same = before.filter(|before| before.status == verdict.status);
        Condition {
            type_: kind.as_str().to_owned(),
            status: verdict.status,
            observed_generation: self.generation,
            last_transition_time: same.map_or(&self.now, |c| &c.last_transition_time).clone(),
            reason: verdict.reason.to_owned(),
            message: cut(&verdict.message, LONGEST_MESSAGE),
        }
    }

    pub fn row(&self, row: &Row<'_>) -> RouteStatus {
        let mut told = RouteStatus {
            ingress: row.ingress.name.to_string(),
            host: cut(&row.entry.host, 253),
            path: cut(&row.entry.path, 1024),
            path_type: cut(&row.entry.path_type, 32),
            backend: cut(&row.entry.backend, 300),
            ..RouteStatus::default()
        };
        let same = |other: &&RouteStatus| {
            (&other.ingress, &other.host, &other.path, &other.path_type)
                == (&told.ingress, &told.host, &told.path, &told.path_type)
        };
        let before = self
            .standing
            .and_then(|status| status.routes.iter().find(same));
        let before = before.map_or(&[][..], |row| &row.conditions);
        let healthy = healthy(row);
        let mut conditions = vec![self.condition(ConditionType::Healthy, &healthy, before)];
        // What is Unknown of every route is told once, above.
        for (place, kind) in ConditionType::STAGES.into_iter().enumerate() {
            let verdict = row.verdict(kind);
            let tells = verdict.is_false()
                || verdict.status == ConditionStatus::Unknown && place < DECISIVE;
            if tells {
                conditions.push(self.condition(kind, verdict, before));
            }
        }
        told.conditions = conditions;
        told.endpoints = endpoint_counts(row);
        let findings = row.findings.iter().take(MOST_DIAGNOSES);
        told.diagnoses = findings.map(diagnosis).collect();
        told
    }
}

fn endpoint_counts(row: &Row<'_>) -> Option<EndpointCounts> {
    let tally = tally(std::slice::from_ref(row));
    (tally.total() > 0).then(|| EndpointCounts {
        ready: clamp(tally.ready),
        not_ready: clamp(tally.not_ready),
        terminating: clamp(tally.terminating),
        ..EndpointCounts::default()
    })
}

fn diagnosis(finding: &Diagnostic) -> Diagnosis {
    Diagnosis {
        code: finding.code.as_str().to_owned(),
        severity: match finding.severity {
            diagnostics::Severity::Error => Severity::Error,
            diagnostics::Severity::Warning => Severity::Warning,
            diagnostics::Severity::Info => Severity::Info,
        },
        reason: finding.code.reason().to_owned(),
        message: cut(&finding.message, LONGEST_ADVICE),
        fix: cut(&finding.fix, LONGEST_ADVICE),
    }
}

pub fn clamp(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// First the messages of rows are cut, then rows are left out from the end: broken ones stand first.
pub fn fit(status: &mut RouteHealthStatus, health: &ObjectRef) {
    let size = |status: &RouteHealthStatus| serde_json::to_string(status).map_or(0, |s| s.len());
    if size(status) <= LARGEST {
        return;
    }
    if let Some(first) = status.routes.first_mut() {
        first.diagnoses.truncate(MOST_DIAGNOSES - 1);
        first
            .diagnoses
            .push(diagnosis(&targets::status_truncated(health)));
    }
    for row in &mut status.routes {
        for condition in &mut row.conditions {
            condition.message = cut(&condition.message, SHORT_MESSAGE);
        }
        for diagnosis in &mut row.diagnoses {
            diagnosis.message = cut(&diagnosis.message, SHORT_MESSAGE);
            diagnosis.fix = cut(&diagnosis.fix, SHORT_MESSAGE);
        }
    }
    while size(status) > LARGEST && status.routes.pop().is_some() {
        status.routes_omitted += 1;
    }
}
