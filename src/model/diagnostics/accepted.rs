//! 1xx: whether an object is taken at all.

use super::{Code, Diagnostic, FieldPath, ObjectRef, Origin};

/// The Ingress names a class of another controller, or none while no class is the default one.
pub fn target_not_ours(ingress: &ObjectRef, class: Option<&str>, served: &str) -> Diagnostic {
    let origin = Origin::new(ingress.clone(), FieldPath::new("spec.ingressClassName"));
    let message = match class {
        Some(class) => format!("It has class \"{class}\"; served here: {served}."),
        None => {
            format!("It names no class and no class is the default one; served here: {served}.")
        }
    };
    Diagnostic::new(
        Code::RH102,
        origin,
        message,
        format!(
            "Set spec.ingressClassName to one of {served}. An Ingress that no controller claims does nothing."
        ),
    )
}

/// The Ingress names no class, and the default one is another controller's.
pub fn default_class_not_ours(ingress: &ObjectRef, class: &str, served: &str) -> Diagnostic {
    let origin = Origin::new(ingress.clone(), FieldPath::new("spec.ingressClassName"));
    Diagnostic::new(
        Code::RH102,
        origin,
        format!(
            "It names no class, and the default class \"{class}\" is another controller's; served here: {served}."
        ),
        format!("Set spec.ingressClassName to one of {served} if it is meant for this controller."),
    )
}

/// A field that no route can be made of. `found` is a clause, `allowed` a sentence.
pub fn invalid(origin: Origin, found: impl AsRef<str>, allowed: impl Into<String>) -> Diagnostic {
    let message = format!(
        "{} is not valid: {}.",
        origin.field,
        found.as_ref().trim_end_matches('.')
    );
    Diagnostic::new(Code::RH105, origin, message, allowed)
}

pub fn regex_needs_implementation_specific(
    origin: Origin,
    path: &str,
    path_type: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH109,
        origin,
        format!(
            "Path {path} holds regular-expression characters, but its pathType is {path_type}."
        ),
        "Set pathType: ImplementationSpecific, and annotation use-regex: \"true\"; percent-encode characters that are meant literally.",
    )
}

pub fn ingress_class_not_found(ingress: &ObjectRef, class: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH210,
        Origin::new(ingress.clone(), FieldPath::new("spec.ingressClassName")),
        format!("IngressClass \"{class}\" does not exist."),
        "Install the controller's IngressClass, or correct the name.",
    )
}
