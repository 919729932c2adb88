//! Which findings have to do with a request's way.

use std::collections::BTreeSet;

use super::{Explanation, Outcome};
use crate::model::diagnostics::{Code, Diagnostic, Kind, ObjectRef, Origin};
use crate::model::names::HostMatch;
use crate::snapshot::Snapshot;

/// Findings on what the request meets: its route and that route's canaries, Services and
/// certificates. Where nothing takes it, those on every Ingress that names the host: one of them was
/// meant.
pub fn concerning(
    explanation: &Explanation,
    snapshot: &Snapshot,
    findings: &[Diagnostic],
) -> Vec<Diagnostic> {
    let met = met(explanation);
    let naming = naming(snapshot, &explanation.host.asked);
    let astray = explanation.rule.as_ref().is_none_or(|r| r.host.is_none());
    let concerns = |finding: &&Diagnostic| {
        let named = naming.contains(&finding.origin.object);
        let lost = finding.code == Code::RH306;
        named && (astray || lost) || met.iter().any(|origin| touches(&finding.origin, origin))
    };
    findings.iter().filter(concerns).cloned().collect()
}

/// What an explanation speaks of.
fn met(explanation: &Explanation) -> BTreeSet<&Origin> {
    let mut met: BTreeSet<&Origin> = explanation.certificates.iter().collect();
    met.extend(explanation.rule.iter().map(|rule| &rule.origin));
    if let Outcome::Forwarded(forwarded) = &explanation.outcome {
        met.extend(forwarded.rules.iter().map(|rule| &rule.origin));
        let ways = &forwarded.ways;
        met.extend(ways.iter().filter_map(|way| way.canary.as_ref()));
        let upstreams = ways.iter().filter_map(|way| way.upstream.as_ref());
        met.extend(upstreams.map(|upstream| &upstream.origin));
    }
    if let Some(then) = &explanation.then {
        met.extend(self::met(then));
    }
    met
}

/// A finding on an object's other rules does not touch this one.
fn touches(finding: &Origin, met: &Origin) -> bool {
    let both = (rule(finding.field.as_str()), rule(met.field.as_str()));
    finding.object == met.object
        && match both {
            (Some(found), Some(met)) => found.starts_with(met) || met.starts_with(found),
            _ => true,
        }
}

/// `spec.rules[0].http.paths[1]` of a field in it, or `spec.rules[0]`.
fn rule(field: &str) -> Option<&str> {
    if !field.starts_with("spec.rules[") {
        return None;
    }
    let end = field.match_indices(']').nth(1).map(|(at, _)| at);
    let end = end.or_else(|| field.find(']'));
    end.and_then(|at| field.get(..=at))
}

/// Ingresses with a rule for the host, whoever serves them.
fn naming(snapshot: &Snapshot, host: &str) -> BTreeSet<ObjectRef> {
    let takes = |raw: &str| match raw.parse() {
        Ok(HostMatch::Exact(name)) => name.as_str() == host,
        Ok(HostMatch::Wildcard(rest)) => host
            .split_once('.')
            .is_some_and(|(_, of_host)| of_host == rest.as_str()),
        Ok(HostMatch::Any) => true,
        Err(_) => raw.eq_ignore_ascii_case(host),
    };
    let naming = snapshot.ingresses.iter().filter(|(_, ingress)| {
        let spec = ingress.spec.as_ref();
        let rules = spec.and_then(|spec| spec.rules.as_ref());
        rules
            .into_iter()
            .flatten()
            .any(|rule| takes(rule.host.as_deref().unwrap_or_default()))
    });
    naming
        .map(|(name, _)| ObjectRef::new(Kind::Ingress, &name.namespace, &name.name))
        .collect()
}
