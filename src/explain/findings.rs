//! Which findings have to do with a request's way.

use std::collections::BTreeSet;

use super::{Explanation, Outcome};
use crate::diagnose;
use crate::model::diagnostics::{Code, Diagnostic, Kind, ObjectRef, Origin};
use crate::model::names::{HostMatch, UpstreamName};
use crate::snapshot::{ObjectName, Snapshot};

/// Findings on what the request meets: its route and that route's canaries, Services and
/// certificates. Where nothing takes it, those on every Ingress that names the host: one of them was
/// meant.
pub fn concerning(
    explanation: &Explanation,
    snapshot: &Snapshot,
    findings: &[Diagnostic],
    behind: &diagnose::Findings,
) -> Vec<Diagnostic> {
    if explanation.path.looked_up.is_none() {
        return Vec::new();
    }
    let host = &explanation.host.asked;
    let (met, naming) = (met(explanation), naming(snapshot, host));
    let astray = explanation.route.as_ref().is_none_or(|r| r.host.is_none());
    let concerns = |finding: &&Diagnostic| {
        let origin = &finding.origin;
        let named = match origin.object.kind {
            // Of the default backend, which is to take what goes astray.
            Kind::Option => astray,
            _ => naming.contains(&origin.object) && (astray || finding.code == Code::RH306),
        };
        let touched = || met.iter().any(|met| touches(origin, met));
        (named || touched()) && !is_of_other_tls(origin, snapshot, host)
    };
    let behind = upstreams(explanation)
        .into_iter()
        .filter_map(|name| behind.get(name))
        .flatten();
    findings
        .iter()
        .filter(concerns)
        .chain(behind)
        .cloned()
        .collect()
}

/// Where the request may go, over all redirects.
fn upstreams(explanation: &Explanation) -> BTreeSet<&UpstreamName> {
    let mut names = BTreeSet::new();
    if let Outcome::Forwarded(forwarded) = &explanation.outcome {
        names.extend(forwarded.ways.iter().map(|way| &way.name));
    }
    if let Some(then) = &explanation.then {
        names.extend(upstreams(then));
    }
    names
}

/// What an explanation speaks of.
fn met(explanation: &Explanation) -> BTreeSet<&Origin> {
    let mut met: BTreeSet<&Origin> = explanation.certificates.iter().collect();
    met.extend(explanation.route.iter().map(|route| &route.origin));
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

/// Whether it stands in an entry of spec.tls that speaks for other hosts.
fn is_of_other_tls(origin: &Origin, snapshot: &Snapshot, host: &str) -> bool {
    let rest = origin.field.as_str().strip_prefix("spec.tls[");
    let entry = || {
        let at: usize = rest?.split(']').next()?.parse().ok()?;
        let object = &origin.object;
        let name = ObjectName::new(&*object.namespace, &*object.name);
        let tls = snapshot.ingresses.get(&name)?.spec.as_ref()?.tls.as_ref()?;
        tls.get(at)?.hosts.as_ref()
    };
    entry().is_some_and(|hosts| !hosts.is_empty() && !hosts.iter().any(|raw| takes(raw, host)))
}

/// Whether a rule's host, as written, takes a name.
fn takes(raw: &str, host: &str) -> bool {
    match raw.parse() {
        Ok(HostMatch::Exact(name)) => name.as_str() == host,
        Ok(HostMatch::Wildcard(rest)) => host
            .split_once('.')
            .is_some_and(|(_, of_host)| of_host == rest.as_str()),
        Ok(HostMatch::Any) => true,
        Err(_) => raw.eq_ignore_ascii_case(host),
    }
}

/// Ingresses with a rule for the host, whoever serves them.
fn naming(snapshot: &Snapshot, host: &str) -> BTreeSet<ObjectRef> {
    let naming = snapshot.ingresses.iter().filter(|(_, ingress)| {
        let spec = ingress.spec.as_ref();
        let rules = spec.and_then(|spec| spec.rules.as_ref());
        rules
            .into_iter()
            .flatten()
            .any(|rule| takes(rule.host.as_deref().unwrap_or_default(), host))
    });
    naming
        .map(|(name, _)| ObjectRef::new(Kind::Ingress, &name.namespace, &name.name))
        .collect()
}
