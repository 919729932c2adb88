//! 1xx: what a RouteHealth is about.

use super::{Code, Diagnostic, FieldPath, ObjectRef, Origin};

fn at(health: &ObjectRef, field: &str) -> Origin {
    Origin::new(health.clone(), FieldPath::new(field))
}

/// A spec that no definition of this version takes. `field` as `spec.probe`, `rule` says what is allowed.
pub fn invalid(health: &ObjectRef, field: &str, rule: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH105,
        at(health, field),
        format!("{field} is not valid: {rule}."),
        "Correct the field, and bring the definition of RouteHealth up to date: a newer one refuses this at once.",
    )
}

/// Annotations of an Ingress whose health a RouteHealth decides.
pub fn annotations_overridden(health: &ObjectRef, keys: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH108,
        at(health, "spec"),
        format!(
            "RouteHealth {} decides; annotations {keys} of the Ingress are ignored.",
            health.name
        ),
        "Remove one of the two.",
    )
}

/// `omitted` routes are healthy or repeat what others say.
pub fn status_truncated(health: &ObjectRef) -> Diagnostic {
    Diagnostic::new(
        Code::RH809,
        at(health, "status"),
        "Not all is shown: this status would be larger than 128 KiB.",
        "Narrow the object with spec.routes, or spread the routes over several Ingresses; `vigie explain` and `vigie status` show all.",
    )
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
