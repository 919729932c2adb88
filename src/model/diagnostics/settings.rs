//! 107 and 9xx: annotations and other settings that are not honoured as they stand.

use super::{Code, Diagnostic, Origin, Severity};

/// `found` is a clause, `kept` says what holds instead, as "60 is used".
pub fn unsupported_value(
    origin: Origin,
    key: &str,
    value: &str,
    found: &str,
    kept: &str,
    allowed: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH107,
        origin,
        format!(
            "{key}: {} cannot be used: {}; {kept}.",
            super::super::names::shown(value),
            found.trim_end_matches('.')
        ),
        allowed,
    )
}

/// `near` is a known key that resembles the unknown one; `guards` whether it was meant to guard access.
pub fn unknown_annotation(
    origin: Origin,
    key: &str,
    near: Option<&str>,
    guards: bool,
) -> Diagnostic {
    let (message, fix, severity) = match near {
        Some(near) => (
            format!("{key} is not read; did you mean {near}?"),
            format!("Rename it to {near}."),
            Severity::Warning,
        ),
        None => (
            format!("{key} is not read: no such annotation is known."),
            "Remove it.".to_owned(),
            Severity::Info,
        ),
    };
    let severity = if guards { Severity::Error } else { severity };
    Diagnostic::new(Code::RH908, origin, message, fix).with_severity(severity)
}

/// An annotation that ingress-nginx never or no longer read.
pub fn annotation_does_nothing(origin: Origin, key: &str, instead: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH908,
        origin,
        format!("{key} does nothing; ingress-nginx does not read it either."),
        instead,
    )
    .with_severity(Severity::Warning)
}

/// `what` names the feature, `proxy` the proxy with its version.
pub fn not_supported_by_proxy(
    origin: Origin,
    what: &str,
    proxy: &str,
    consequence: &str,
    fix: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH909,
        origin,
        format!(
            "{proxy} cannot do {what}; {}.",
            consequence.trim_end_matches('.')
        ),
        fix,
    )
}

/// `closes`: the annotation guards access, so the route answers 503 instead of standing open.
pub fn not_yet_honoured(origin: Origin, key: &str, closes: bool) -> Diagnostic {
    if closes {
        Diagnostic::new(
            Code::RH910,
            origin,
            format!("{key} guards access and is not honoured by this release; the route answers 503 instead of standing open."),
            "Remove the annotation if the route may be open, or keep this route on another controller.",
        )
        .with_severity(Severity::Error)
    } else {
        Diagnostic::new(
            Code::RH910,
            origin,
            format!(
                "{key} is known, but not honoured by this release; the route works without it."
            ),
            "Remove it if the route does not need it.",
        )
    }
}

/// `setting` is the field with its value.
pub fn service_setting_ignored(origin: Origin, service: &str, setting: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH911,
        origin,
        format!(
            "{setting} of Service {service} is not honoured: the proxy chooses among all endpoints by itself."
        ),
        "Nothing needs to be done unless the application relies on it.",
    )
}

/// `said` is the port's appProtocol, which ingress-nginx does not read either.
pub fn app_protocol_ignored(origin: Origin, service: &str, said: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH911,
        origin,
        format!(
            "appProtocol {said} of Service {service} is not honoured in a class of ingress-nginx: HTTP is spoken to its endpoints."
        ),
        "Annotate the Ingress with backend-protocol if they speak another protocol.",
    )
}
