//! 1xx: what a RouteHealth is about.

use super::{Code, Diagnostic, FieldPath, ObjectRef, Origin};

fn at(health: &ObjectRef, field: &str) -> Origin {
    Origin::new(health.clone(), FieldPath::new(field))
}

/// `others` are Ingresses of the namespace.
pub fn target_not_found(health: &ObjectRef, ingress: &str, others: &[&str]) -> Diagnostic {
    let here = match others {
        [] => "there is none in this namespace".to_owned(),
        names => format!("Ingresses here: {}", names.join(", ")),
    };
    Diagnostic::new(
        Code::RH101,
        at(health, "spec.targetRef.name"),
        format!("No Ingress {ingress} in namespace {}.", health.namespace),
        format!("Create the Ingress or correct spec.targetRef.name; {here}."),
    )
}

/// `labels` as `app=shop,tier=web`.
pub fn selector_matches_nothing(health: &ObjectRef, labels: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH103,
        at(health, "spec.targetSelector"),
        format!("No Ingress of this controller in this namespace has labels {labels}."),
        "Correct spec.targetSelector, or label the Ingresses.",
    )
}

/// `wanted` are the selectors of spec.routes, `rules` the routes that there are.
pub fn no_matching_routes(health: &ObjectRef, wanted: &str, rules: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH103,
        at(health, "spec.routes"),
        format!("No rule has {wanted}; rules: {rules}."),
        "Copy host and path exactly from the Ingress rule.",
    )
}

/// `route` is one that another RouteHealth holds, as all others that were asked for.
pub fn conflicted(health: &ObjectRef, route: &str, holder: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH104,
        at(health, "spec"),
        format!("{route} is held by RouteHealth {holder}."),
        "Delete one of the two, or narrow one with spec.routes.",
    )
}

/// `kept` as `3 of 4 routes`.
pub fn partially_accepted(health: &ObjectRef, kept: &str, route: &str, holder: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH106,
        at(health, "spec"),
        format!("{kept}; {route} is held by RouteHealth {holder}."),
        "Delete one of the two, or narrow one with spec.routes.",
    )
}
