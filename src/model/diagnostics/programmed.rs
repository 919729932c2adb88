//! 3xx: what keeps an accepted route from working as it was asked for.

use super::{Code, Diagnostic, Origin, Severity};
use crate::model::names::shown;

/// `holder` is what has the host and path.
pub fn route_shadowed(origin: Origin, host: &str, path: &str, holder: &Origin) -> Diagnostic {
    let message = match holder.object == origin.object {
        true => format!(
            "{host}{path} is served by {} of the same object.",
            holder.field
        ),
        false => format!(
            "{host}{path} is served by {}, which goes first.",
            holder.object
        ),
    };
    Diagnostic::new(
        Code::RH306,
        origin,
        message,
        "Change one of the two paths, or remove one rule. The older object goes first, then the first by namespace and name.",
    )
}

/// `holder` has the default backend for what no host takes.
pub fn default_backend_shadowed(origin: Origin, holder: &Origin) -> Diagnostic {
    Diagnostic::new(
        Code::RH306,
        origin,
        format!(
            "What no rule takes is served by {}, which goes first.",
            holder.object
        ),
        "Remove one of the two default backends. The older object goes first, then the first by namespace and name.",
    )
}

pub fn canary_without_primary(origin: Origin, host: &str, path: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH311,
        origin,
        format!("No other Ingress has {host}{path}, so this canary is never chosen."),
        "Create the main Ingress, or remove the canary annotations.",
    )
}

pub fn path_never_matches(origin: Origin, path: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH312,
        origin,
        format!(
            "{} is taken literally; it matches only requests whose path begins with exactly that.",
            shown(path)
        ),
        format!(
            "Write {}.",
            match path.trim_end_matches('*').trim_end_matches('/') {
                "" => "/".to_owned(),
                rest => shown(rest),
            }
        ),
    )
}

/// Of a path that only use-regex would make an expression of.
pub fn regex_taken_literally(origin: Origin, path: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH109,
        origin,
        format!(
            "Path {path} holds regular-expression characters, but without use-regex it is taken literally."
        ),
        "Set annotation use-regex: \"true\", or percent-encode characters that are meant literally.",
    )
    .with_severity(Severity::Warning)
}

/// `regex_owner` is the Ingress whose annotation turns the host's paths into regular expressions.
pub fn regex_host_wide(origin: Origin, host: &str, path: &str, regex_owner: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH314,
        origin,
        format!(
            "{regex_owner} uses a regular expression on {host}, so {path} here is matched as the prefix ^{path}, ignoring case."
        ),
        "Use another host, or path semantics strict.",
    )
}

pub fn rewrite_collapses_paths(origin: Origin, target: &str, path: &str) -> Diagnostic {
    let base = path.trim_end_matches('/');
    Diagnostic::new(
        Code::RH315,
        origin,
        format!("rewrite-target {target} sends every path below {path} to {target}."),
        format!(
            "To keep what follows, use path {base}(/|$)(.*) of pathType ImplementationSpecific and rewrite-target {}/$2.",
            target.trim_end_matches('/')
        ),
    )
}

pub fn rewrite_group_missing(origin: Origin, group: u8, path: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH316,
        origin,
        format!(
            "The target uses ${group}, but path {path} has no such group; nothing is put in its place."
        ),
        format!(
            "Use a path such as {}(/|$)(.*) with use-regex: \"true\", and ${group} only for a group that it has.",
            literal_start(path)
        ),
    )
}

pub fn redirect_loop_risk(origin: Origin) -> Diagnostic {
    Diagnostic::new(
        Code::RH317,
        origin,
        "force-ssl-redirect is on, no certificate for this host ends here, and forwarded headers are not trusted; where TLS ends in front of the proxy, every request is redirected for ever.",
        "Give the addresses in front as trusted proxies, or remove the redirect.",
    )
}

/// `words` are the proxy's own; `is_kept` where an earlier version of the object is served instead.
pub fn config_rejected(origin: Origin, proxy: &str, words: &str, is_kept: bool) -> Diagnostic {
    let instead = match is_kept {
        true => "its last version that was accepted stays in use",
        false => "it is left out",
    };
    Diagnostic::new(
        Code::RH302,
        origin,
        format!(
            "{proxy} refuses this object: {words}. It is set aside: {instead}. All others are served."
        ),
        "Correct what these words point at. The object is tried again when it changes.",
    )
}

/// What of a path stands before the first regular-expression character, without a '/' at its end.
fn literal_start(path: &str) -> &str {
    let end = path.find(['(', '[', '{', '.', '*', '?', '+', '^', '$', '|', '\\']);
    path.get(..end.unwrap_or(path.len()))
        .unwrap_or(path)
        .trim_end_matches('/')
}
