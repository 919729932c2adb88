//! What objects decide of the route that takes a request, stage by stage, as its RouteHealth tells it.

use super::{Built, made_by};
use crate::api::route_health::{ConditionStatus, RouteHealth};
use crate::cli::judged::seen;
use crate::conditions::{ConditionType, Verdict, stages};
use crate::explain::Explanation;
use crate::model::Endpoints;
use crate::model::diagnostics::Kind;
use crate::model::tally::Tally;

/// A stage and what there is to say of it.
pub struct Line {
    pub label: &'static str,
    pub status: ConditionStatus,
    pub words: String,
}

impl Line {
    /// `good` is what there is to say where it is True.
    fn of(
        kind: ConditionType,
        status: ConditionStatus,
        (reason, message): (&str, &str),
        good: impl FnOnce() -> String,
    ) -> Self {
        Self {
            label: kind.as_str(),
            status,
            words: match status {
                ConditionStatus::True => good(),
                _ => format!("{reason}: {message}"),
            },
        }
    }
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
    let told = told.into_iter().filter_map(|(kind, verdict)| {
        let is_false = verdict.status == ConditionStatus::False;
        match kind {
            ConditionType::Programmed if !is_false => {
                programmed(built, &object.namespace, &object.name)
            }
            ConditionType::ProbePassing | ConditionType::PrefixServed if !is_false => None,
            ConditionType::EndpointsReady if is_false => {
                Some(meant(built, last).unwrap_or_else(|| line(built, last, kind, &verdict)))
            }
            _ => Some(line(built, last, kind, &verdict)),
        }
    });
    told.collect()
}

fn line(built: &Built, explanation: &Explanation, kind: ConditionType, told: &Verdict) -> Line {
    let words = (told.reason, told.message.as_str());
    Line::of(kind, told.status, words, || match kind {
        ConditionType::Accepted => accepted(explanation),
        ConditionType::ResolvedRefs => resolved(explanation),
        ConditionType::EndpointsReady => endpoints(built, explanation),
        _ => told.reason.to_owned(),
    })
}

fn accepted(explanation: &Explanation) -> String {
    match &explanation.route {
        Some(route) => format!("{}, {}", route.origin.object, route.origin.field),
        None => String::new(),
    }
}

fn resolved(explanation: &Explanation) -> String {
    let ways = explanation.outcome.ways().iter();
    let mut parts: Vec<String> = ways
        .filter_map(|way| way.upstream.as_ref())
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
    let ways = explanation.outcome.ways().iter();
    let mut all = Tally::default();
    ways.filter_map(|way| built.tallies.get(&way.name))
        .for_each(|tally| all.add(*tally));
    match all.total() {
        0 => "no endpoints are needed".to_owned(),
        total => format!("{} of {total} endpoints are ready", all.ready),
    }
}

/// The pods that come when these manifests are applied.
fn meant(built: &Built, explanation: &Explanation) -> Option<Line> {
    let mut makers = Vec::new();
    for way in explanation.outcome.ways() {
        makers.extend_from_slice(built.expected.get(&way.name)?);
    }
    (!makers.is_empty()).then(|| Line {
        label: ConditionType::EndpointsReady.as_str(),
        status: ConditionStatus::Unknown,
        words: format!("not known from manifests; {}", made_by(&makers)),
    })
}

/// What the controller has said of the proxies, where it is known.
fn programmed(built: &Built, namespace: &str, ingress: &str) -> Option<Line> {
    let names_it = |health: &&RouteHealth| {
        let target = health.spec.target_ref.as_ref();
        health.metadata.namespace.as_deref() == Some(namespace)
            && target.is_some_and(|target| target.name == ingress)
    };
    let healths = built.statuses.route_healths.values();
    let health = healths.map(AsRef::as_ref).find(names_it)?;
    let kind = ConditionType::Programmed;
    let conditions = &health.status.as_ref()?.conditions;
    let told = conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())?;
    let words = (told.reason.as_str(), told.message.as_str());
    let good = || told.message.clone();
    Some(Line::of(kind, told.status, words, good))
}
