//! What objects decide of the route that takes a request, stage by stage, as its RouteHealth tells it.

use std::collections::BTreeMap;

use super::Built;
use crate::api::route_health::{ConditionStatus, RouteHealth};
use crate::cli::judged::seen;
use crate::conditions::{ConditionType, Stage, stages};
use crate::explain::Explanation;
use crate::model::Endpoints;
use crate::model::diagnostics::Kind;

/// A stage and what there is to say of it.
pub struct Line {
    pub label: &'static str,
    /// None where it is not known.
    pub good: Option<bool>,
    pub words: String,
}

/// Empty where no route of an Ingress takes the request.
pub fn lines(built: &Built, explanation: &Explanation) -> Vec<Line> {
    let last = explanation.then.as_deref().unwrap_or(explanation);
    let Some(route) = &last.route else {
        return Vec::new();
    };
    let object = &route.origin.object;
    if object.kind != Kind::Ingress {
        return Vec::new();
    }
    let seen = seen(
        &built.snapshot,
        &built.model,
        &built.diagnostics,
        built.tallies.clone(),
        built.behind.clone(),
    );
    let told = stages(&seen, object, route.origin.field.as_str());
    let told = told.into_iter().filter_map(|stage| match stage.kind {
        ConditionType::Programmed if stage.status != ConditionStatus::False => {
            programmed(built, &object.namespace, &object.name)
        }
        ConditionType::ProbePassing | ConditionType::PrefixServed
            if stage.status != ConditionStatus::False =>
        {
            None
        }
        ConditionType::EndpointsReady if stage.status == ConditionStatus::False => {
            Some(meant(built, last).unwrap_or_else(|| line(built, last, &stage)))
        }
        _ => Some(line(built, last, &stage)),
    });
    told.collect()
}

fn line(built: &Built, explanation: &Explanation, stage: &Stage) -> Line {
    let good = match stage.status {
        ConditionStatus::True => Some(true),
        ConditionStatus::False => Some(false),
        ConditionStatus::Unknown => None,
    };
    let words = match (good, stage.kind) {
        (Some(true), ConditionType::Accepted) => accepted(explanation),
        (Some(true), ConditionType::ResolvedRefs) => resolved(built, explanation),
        (Some(true), ConditionType::EndpointsReady) => endpoints(built, explanation),
        (Some(true), _) => stage.reason.to_owned(),
        _ => format!("{}: {}", stage.reason, stage.message),
    };
    Line {
        label: stage.kind.as_str(),
        good,
        words,
    }
}

fn accepted(explanation: &Explanation) -> String {
    match &explanation.route {
        Some(route) => format!("{}, {}", route.origin.object, route.origin.field),
        None => String::new(),
    }
}

fn resolved(built: &Built, explanation: &Explanation) -> String {
    let upstreams = super::upstreams(explanation);
    let upstreams = upstreams.filter_map(|name| built.model.upstreams.get(name));
    let mut parts: Vec<String> = upstreams
        .map(|upstream| match (upstream.port, &upstream.endpoints) {
            (_, Endpoints::Name { name, .. }) => format!("Service {} is {name}", upstream.label),
            (Some(port), _) => format!("Service {} -> targetPort {port}", upstream.label),
            (None, _) => format!("Service {} -> a named targetPort", upstream.label),
        })
        .collect();
    let certificates = explanation.certificates.iter();
    parts.extend(certificates.map(|origin| origin.object.to_string()));
    match parts.as_slice() {
        [] => "no Service is needed".to_owned(),
        parts => parts.join("; "),
    }
}

fn endpoints(built: &Built, explanation: &Explanation) -> String {
    let tallies = super::upstreams(explanation).filter_map(|name| built.tallies.get(name));
    let (mut ready, mut all) = (0, 0);
    for tally in tallies {
        ready += tally.ready;
        all += tally.total();
    }
    match all {
        0 => "no endpoints are needed".to_owned(),
        _ => format!("{ready} of {all} endpoints are ready"),
    }
}

/// The pods that come when these manifests are applied.
fn meant(built: &Built, explanation: &Explanation) -> Option<Line> {
    let mut makers = Vec::new();
    for name in super::upstreams(explanation) {
        makers.extend(built.expected.get(name)?.iter().map(ToString::to_string));
    }
    (!makers.is_empty()).then(|| Line {
        label: ConditionType::EndpointsReady.as_str(),
        good: None,
        words: format!(
            "not known from manifests; {} makes the pods",
            makers.join(", ")
        ),
    })
}

/// What the controller has said of the proxies, where it is known.
fn programmed(built: &Built, namespace: &str, ingress: &str) -> Option<Line> {
    let names_it = |health: &&RouteHealth| {
        let target = health.spec.target_ref.as_ref();
        health.metadata.namespace.as_deref() == Some(namespace)
            && target.is_some_and(|target| target.name == ingress)
    };
    let health = built.healths.values().map(AsRef::as_ref).find(names_it)?;
    let label = ConditionType::Programmed.as_str();
    let conditions = &health.status.as_ref()?.conditions;
    let told = conditions
        .iter()
        .find(|condition| condition.type_ == label)?;
    let good = match told.status {
        ConditionStatus::True => Some(true),
        ConditionStatus::False => Some(false),
        ConditionStatus::Unknown => None,
    };
    let words = match good {
        Some(true) => told.message.clone(),
        _ => format!("{}: {}", told.reason, told.message),
    };
    Some(Line { label, good, words })
}

/// RouteHealths with their statuses, by namespace and name.
pub type Healths = BTreeMap<crate::snapshot::ObjectName, std::sync::Arc<RouteHealth>>;
