//! What nginx cannot do: asked by the renderer, which leaves it out, and told as findings.

use super::splits;
use super::upstreams;
use crate::model::diagnostics::settings::not_supported_by_proxy;
use crate::model::diagnostics::{Diagnostic, Origin, Severity};
use crate::model::names::StatusCode;
use crate::model::{Action, Model, PathMatch, Route};
use crate::render::Capabilities;

/// Whether an expression may name a group: nginx would make a variable of it, and a name of our own
/// would be overwritten by what the client sent.
pub fn names_a_group(source: &str) -> bool {
    let mut rest = source;
    while let Some(at) = rest.find("(?") {
        rest = &rest[at + 2..];
        let named = rest.strip_prefix('P').unwrap_or(rest);
        let look_behind = named.starts_with("<=") || named.starts_with("<!");
        if (named.starts_with('<') && !look_behind) || named.starts_with('\'') {
            return true;
        }
    }
    false
}

/// Whether a route answers 503 because it cannot be expressed.
pub fn closes(route: &Route) -> bool {
    matches!(&route.path, PathMatch::Regex(regex) if names_a_group(regex.source()))
}

fn has_location(code: StatusCode) -> bool {
    matches!(code.get(), 301 | 302 | 303 | 307 | 308)
}

/// A code with which nginx sends a Location.
pub fn redirect_code(code: StatusCode) -> u16 {
    match has_location(code) {
        true => code.get(),
        false => StatusCode::FOUND.get(),
    }
}

/// What of a model this proxy does not do, sorted.
pub fn unsupported(model: &Model, capabilities: &Capabilities) -> Vec<Diagnostic> {
    let proxy = capabilities.to_string();
    let upstreams = upstreams::protocols(model);
    let routes = model.hosts.values().flat_map(|host| &host.routes);
    let mut findings = Vec::new();
    for route in routes.chain(&model.fallback) {
        let add = |origin: &Origin, what: &str, consequence: &str, fix: &str| {
            not_supported_by_proxy(origin.clone(), what, &proxy, consequence, fix)
        };
        if closes(route) {
            let finding = add(
                &route.origin,
                "named groups in a path",
                "the route answers 503",
                "Use groups without names; $1 is the first.",
            );
            findings.push(finding.with_severity(Severity::Error));
        }
        match &route.action {
            Action::Redirect(redirect) if !has_location(redirect.code) => findings.push(add(
                &route.origin,
                &format!("redirects with the code {}", redirect.code),
                "302 is used",
                "Use 301, 302, 303, 307 or 308.",
            )),
            Action::Forward(forward) => {
                for lack in splits::lacks(&forward.split, &upstreams) {
                    findings.push(add(lack.origin, lack.what, lack.consequence, lack.fix));
                }
            }
            _ => {}
        }
    }
    findings.sort();
    findings.dedup();
    findings
}
