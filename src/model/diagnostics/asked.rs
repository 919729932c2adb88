//! 2xx and 3xx: what is told of one URL that was asked for, and of no route by itself.

use super::{Code, Diagnostic, Origin};

/// `nearest` are hosts that rules have.
pub fn no_rule_for_host(origin: Origin, host: &str, nearest: &[String]) -> Diagnostic {
    let near = match nearest {
        [] => String::new(),
        names => format!("; nearest: {}", names.join(", ")),
    };
    let wildcard = match nearest.iter().any(|name| name.starts_with("*.")) {
        true => " A wildcard covers exactly one label.",
        false => "",
    };
    let fix = match nearest {
        [] => format!("Add a rule for {host}."),
        [first, ..] => format!("Add a rule for {host}, or ask for {first}."),
    };
    Diagnostic::new(
        Code::RH313,
        origin,
        format!("No rule has host {host}{near}.{wildcard}"),
        fix,
    )
}

/// `nearest` is a rule of the host, as `/shop (exact)`.
pub fn no_rule_for_path(
    origin: Origin,
    host: &str,
    path: &str,
    nearest: Option<&str>,
) -> Diagnostic {
    let near = nearest.map(|near| format!("; nearest: {near}"));
    Diagnostic::new(
        Code::RH313,
        origin,
        format!(
            "No rule of {host} takes {path}{}.",
            near.unwrap_or_default()
        ),
        format!("Add a path that covers {path}, or ask for one that is there."),
    )
}

pub fn exact_takes_no_subpath(origin: Origin, exact: &str, asked: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH309,
        origin,
        format!("Exact {exact} does not match {asked}."),
        "Use pathType Prefix to take what lies below it.",
    )
}

pub fn no_tls_for_host(origin: Origin, host: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH212,
        origin,
        format!(
            "{host} has no certificate of its own; the default certificate is served, which browsers do not trust."
        ),
        "Add an entry to spec.tls if https is wanted.",
    )
}
