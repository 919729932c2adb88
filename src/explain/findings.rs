//! Which findings have to do with a request's way.

use std::collections::BTreeSet;

use super::{Explanation, Outcome, Place};
use crate::diagnose;
use crate::model::diagnostics::{Code, Diagnostic, FieldPath, Kind, ObjectRef, Origin, asked};
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
    let astray = is_astray(explanation);
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
    let found = findings.iter().filter(concerns).chain(behind).cloned();
    let found: Vec<Diagnostic> = found.collect();
    let mut all = asked(explanation);
    // What is known of an Ingress that was meant says it better.
    if matches!(explanation.outcome, Outcome::NoRoute) && found.is_empty() {
        all.push(no_route(explanation));
    }
    all.extend(found);
    all
}

/// What is to say of this URL and of no route by itself.
fn asked(explanation: &Explanation) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let host = &explanation.host;
    // Exact paths above the one that is asked for.
    let exact = explanation.candidates.iter().find(|candidate| {
        let below = explanation.path.text.strip_prefix(&candidate.path);
        candidate.place == Place::Apart
            && candidate.kind == "exact"
            && below.is_some_and(|rest| rest.starts_with('/') || candidate.path.ends_with('/'))
    });
    let is_astray = is_astray(explanation);
    if let Some(exact) = exact.filter(|_| is_astray) {
        let (origin, path) = (exact.origin.clone(), &explanation.path.text);
        findings.push(asked::exact_takes_no_subpath(origin, &exact.path, path));
    }
    if let Some(route) = explanation.route.as_ref().filter(|_| !is_astray)
        && explanation.url.starts_with("https:")
        && explanation.certificates.is_empty()
    {
        let at_tls = route.origin.at(FieldPath::new("spec.tls"));
        findings.push(asked::no_tls_for_host(at_tls, &host.asked));
    }
    let then = explanation.then.as_deref().map(asked);
    findings.extend(then.into_iter().flatten());
    findings
}

/// No route takes the request, or only the default backend does.
fn is_astray(explanation: &Explanation) -> bool {
    let route = explanation.route.as_ref();
    route.is_none_or(|route| route.host.is_none())
}

fn no_route(explanation: &Explanation) -> Diagnostic {
    let host = &explanation.host;
    let nowhere = || {
        Origin::new(
            ObjectRef::new(Kind::Option, "", "URL"),
            FieldPath::default(),
        )
    };
    match (&host.taken, explanation.candidates.first()) {
        (None, _) => {
            let nearest: Vec<String> = host.nearest.iter().map(ToString::to_string).collect();
            asked::no_rule_for_host(nowhere(), &host.asked, &nearest)
        }
        (Some(taken), first) => {
            let origin = first.map_or_else(nowhere, |first| first.origin.clone());
            let near = first.map(|first| format!("{} ({})", first.path, first.kind));
            let path = &explanation.path.text;
            asked::no_rule_for_path(origin, &taken.to_string(), path, near.as_deref())
        }
    }
}

/// Where the request may go, over all redirects.
fn upstreams(explanation: &Explanation) -> BTreeSet<&UpstreamName> {
    let ways = explanation.outcome.ways().iter();
    let mut names: BTreeSet<&UpstreamName> = ways.map(|way| &way.name).collect();
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
