//! Canary Ingresses → rules and shares of the main Ingress's routes.
//!
//! ingress-nginx knows one canary for a route; here any number may stand beside it. For one canary
//! the order is the same: header, then cookie, then weight. With several, the older one goes first
//! within each; what chooses a canary goes before what says `never`, so that one canary's `never`
//! does not hide another's `always`; and weights are shares of the same requests.

use super::action::annotation;
use super::ingress::Entry;
use super::routes::Routes;
use super::service::{Upstreams, Wish};
use crate::model::diagnostics::{Diagnostic, Origin, Severity, programmed, settings};
use crate::model::names::{HeaderValue, UpstreamName};
use crate::model::{Action, Share, Split, SplitField, SplitRule, ValueMatch};

/// Adds one canary entry to its main route.
pub fn add(
    entry: &Entry<'_>,
    routes: &mut Routes<'_>,
    upstreams: &mut Upstreams<'_>,
    findings: &mut Vec<Diagnostic>,
) {
    let Some(placed) = routes.main_of(entry, findings) else {
        findings.push(programmed::canary_without_primary(
            entry.origin.at(entry.origin.field.key("path")),
            &entry.host.to_string(),
            entry.path,
        ));
        return;
    };
    // Redirects and closed routes have nothing to choose from.
    let wish = Wish {
        without: "This canary is never chosen.",
        ..placed.wish
    };
    let Action::Forward(forward) = &mut placed.route.action else {
        return;
    };
    let at_backend = entry.origin.at(entry.origin.field.key("backend"));
    let namespace = &entry.claimed.name.namespace;
    // How the canary is spoken to is the main Ingress's affair; its other annotations do not count.
    let upstream = upstreams.of_backend(namespace, entry.backend, &at_backend, wish, findings);
    if let Some(upstream) = upstream {
        rules(entry, &upstream, &mut forward.split);
        share(entry, upstream, &mut forward.split, findings);
    }
}

fn rules(entry: &Entry<'_>, upstream: &UpstreamName, split: &mut Split) {
    let canary = &entry.claimed.settings.canary;
    let mut add = |field: SplitField, value: ValueMatch, to: &UpstreamName, origin: Origin| {
        let rule = SplitRule {
            field,
            value,
            upstream: to.clone(),
            origin,
        };
        let place = split
            .rules
            .partition_point(|r| rank(r, &split.primary) <= rank(&rule, &split.primary));
        split.rules.insert(place, rule);
    };
    let primary = split.primary.clone();
    if let Some(header) = &canary.header {
        let field = || SplitField::Header(header.clone());
        let origin = |name: &str| annotation(entry.claimed, name);
        match (&canary.header_value, &canary.header_pattern) {
            (Some(value), _) => {
                let origin = origin("canary-by-header-value");
                add(field(), ValueMatch::Exact(value.clone()), upstream, origin);
            }
            (None, Some(pattern)) => {
                let origin = origin("canary-by-header-pattern");
                add(
                    field(),
                    ValueMatch::Regex(pattern.clone()),
                    upstream,
                    origin,
                );
            }
            (None, None) => {
                add(
                    field(),
                    ValueMatch::Exact(HeaderValue::always()),
                    upstream,
                    origin("canary-by-header"),
                );
                add(
                    field(),
                    ValueMatch::Exact(HeaderValue::never()),
                    &primary,
                    origin("canary-by-header"),
                );
            }
        }
    }
    if let Some(cookie) = &canary.cookie {
        let field = || SplitField::Cookie(cookie.clone());
        let origin = || annotation(entry.claimed, "canary-by-cookie");
        add(
            field(),
            ValueMatch::Exact(HeaderValue::always()),
            upstream,
            origin(),
        );
        add(
            field(),
            ValueMatch::Exact(HeaderValue::never()),
            &primary,
            origin(),
        );
    }
}

/// Headers before cookies; in each, what chooses a canary before what refuses one.
fn rank(rule: &SplitRule, primary: &UpstreamName) -> (bool, bool) {
    (
        matches!(rule.field, SplitField::Cookie(_)),
        rule.upstream == *primary,
    )
}

fn share(
    entry: &Entry<'_>,
    upstream: UpstreamName,
    split: &mut Split,
    findings: &mut Vec<Diagnostic>,
) {
    let canary = &entry.claimed.settings.canary;
    // ingress-nginx reads a total of 100 or less as 100.
    let total = u64::from(canary.weight_total.unwrap_or(100).max(100));
    let weight = u64::from(canary.weight).min(total);
    let wanted = (weight * u64::from(Share::WHOLE) / total) as u32;
    if wanted == 0 {
        return;
    }
    let left = Share::WHOLE.saturating_sub(split.shares.iter().map(|share| share.parts).sum());
    let origin = annotation(entry.claimed, "canary-weight");
    if wanted > left {
        let key = "canary-weight";
        let finding = settings::unsupported_value(
            origin.clone(),
            key,
            &canary.weight.to_string(),
            "the canaries of this route ask for more than the whole together",
            "it gets what the older ones left",
            "Lower the weights, so that they sum up to the total at most.",
        );
        findings.push(finding.with_severity(Severity::Warning));
    }
    let parts = wanted.min(left);
    if parts > 0 {
        split.shares.push(Share {
            upstream,
            parts,
            origin,
        });
    }
}
