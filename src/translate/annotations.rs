//! Annotations: raw key and value → typed [`Settings`], and a finding for all that is not honoured.
//!
//! [`table`] is the one table; parser, findings and the reference in docs/annotations.md come from
//! it. Both prefixes are read alike; where both give one key, `vigie.dev/` decides.

mod agic;
mod health;
mod parse;
mod table;

use std::collections::BTreeMap;

use crate::api::route_health::RouteHealthSpec;
use crate::api::{ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX};
use crate::model::diagnostics::{
    Diagnostic, FieldPath, ObjectRef, Origin, Severity, accepted, settings,
};
use crate::model::names::{HeaderName, HeaderValue, StatusCode, Template, ValueRegex};
use crate::model::{AccessList, BodyLimit, Protocol, Timeouts};

pub use table::{Annotation, Handling, TABLE};

/// What the annotations of one Ingress ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub rewrite_target: Option<Template>,
    pub use_regex: bool,
    pub forwarded_prefix: Option<HeaderValue>,
    pub app_root: Option<Template>,
    /// None: where the host has TLS.
    pub ssl_redirect: Option<bool>,
    pub force_ssl_redirect: bool,
    pub permanent_redirect: Option<Template>,
    pub permanent_redirect_code: Option<StatusCode>,
    pub temporal_redirect: Option<Template>,
    pub temporal_redirect_code: Option<StatusCode>,
    pub protocol: Option<Protocol>,
    pub timeouts: Timeouts,
    pub body_limit: BodyLimit,
    /// As written; `$service_name`, `$namespace` and `$service_port` are put in for each backend.
    pub upstream_vhost: Option<String>,
    pub service_upstream: bool,
    pub access: Option<AccessList>,
    pub canary: Canary,
    /// What is asked for its routes' health, as a RouteHealth would.
    pub health: Option<Box<RouteHealthSpec>>,
    /// Something that guards access cannot be honoured: every route answers 503.
    pub closed: bool,
}

/// The canary annotations of one Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    pub enabled: bool,
    pub header: Option<HeaderName>,
    pub header_value: Option<HeaderValue>,
    pub header_pattern: Option<ValueRegex>,
    pub cookie: Option<HeaderName>,
    pub weight: u32,
    /// None: 100.
    pub weight_total: Option<u32>,
}

/// Why a value cannot be used.
#[derive(Debug)]
pub struct Problem {
    /// A clause: "it is not a number".
    found: String,
    /// What holds instead, as a clause.
    kept: &'static str,
}

/// Reads the annotations of an Ingress.
pub fn settings(
    ingress: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    reads_agic: bool,
) -> (Settings, Vec<Diagnostic>) {
    let mut settings = Settings::default();
    let mut findings = Vec::new();
    for (key, value) in annotations {
        let (own, name) = match (
            key.strip_prefix(ANNOTATION_PREFIX),
            key.strip_prefix(NGINX_ANNOTATION_PREFIX),
        ) {
            (Some(name), _) => (true, name),
            (_, Some(name)) => (false, name),
            (None, None) => {
                let alias = key.strip_prefix(agic::PREFIX).and_then(agic::alias);
                let origin = || Origin::new(ingress.clone(), FieldPath::annotation(key));
                match alias {
                    Some(agic::Alias::Of(name)) if reads_agic => {
                        let own = format!("{ANNOTATION_PREFIX}{name}");
                        if !annotations.contains_key(&own) {
                            read(
                                &mut settings,
                                &mut findings,
                                origin(),
                                key,
                                (true, name),
                                value,
                            );
                        }
                    }
                    Some(alias) => findings.push(alias.finding(origin(), key, reads_agic)),
                    None => {}
                }
                continue;
            }
        };
        let origin = Origin::new(ingress.clone(), FieldPath::annotation(key));
        if !own && annotations.contains_key(&format!("{ANNOTATION_PREFIX}{name}")) {
            findings.push(settings::unsupported_value(
                origin,
                key,
                value,
                &format!("{ANNOTATION_PREFIX}{name} is given too"),
                "that one decides",
                "Keep one of the two.",
            ));
            continue;
        }
        read(
            &mut settings,
            &mut findings,
            origin,
            key,
            (own, name),
            value,
        );
    }
    parse::join(&mut settings);
    for (name, why) in health::join(&mut settings) {
        let key = given_as(annotations, name);
        let value = annotations.get(&key).map_or("", String::as_str);
        let origin = Origin::new(ingress.clone(), FieldPath::annotation(&key));
        let allowed = table::find(name).map_or("", |entry| entry.allowed);
        let kept = "it is not used";
        findings.push(settings::unsupported_value(
            origin, &key, value, &why, kept, allowed,
        ));
    }
    (settings, findings)
}

/// Reads one annotation by its entry in the table.
fn read(
    settings: &mut Settings,
    findings: &mut Vec<Diagnostic>,
    origin: Origin,
    key: &str,
    (own, name): (bool, &str),
    value: &str,
) {
    let is_of_prefix =
        |entry: &&Annotation| own || !matches!(entry.handling, Handling::Health { .. });
    let Some(entry) = table::find(name).filter(is_of_prefix) else {
        findings.push(unknown(origin, key, name));
        return;
    };
    match entry.handling {
        Handling::Honoured {
            read,
            guards,
            steers,
        } => {
            let before = settings.body_limit.octets;
            match read(settings, value.trim()) {
                Ok(()) if settings.body_limit.octets != before => {
                    settings.body_limit.origin = Some(origin);
                }
                Ok(()) => {}
                // An access list that cannot be read would leave the route open: close it.
                Err(problem) if guards => {
                    settings.closed = true;
                    findings.push(accepted::invalid(
                        origin,
                        format!("{} {}", crate::model::names::shown(value), problem.found),
                        format!(
                            "The route answers 503 until it is corrected. {}",
                            entry.allowed
                        ),
                    ));
                }
                Err(Problem { found, kept }) => {
                    let finding = settings::unsupported_value(
                        origin,
                        key,
                        value,
                        &found,
                        kept,
                        entry.allowed,
                    );
                    // Where a request goes is not a detail: without it the route does another thing.
                    let severity = if steers {
                        Severity::Error
                    } else {
                        Severity::Warning
                    };
                    findings.push(finding.with_severity(severity));
                }
            }
        }
        Handling::Health { read } => {
            if let Err(Problem { found, kept }) = read(settings, value.trim()) {
                findings.push(settings::unsupported_value(
                    origin,
                    key,
                    value,
                    &found,
                    kept,
                    entry.allowed,
                ));
            }
        }
        Handling::NotYet { guards, inert } => {
            if !inert
                .iter()
                .any(|off| value.trim().eq_ignore_ascii_case(off))
            {
                settings.closed |= guards;
                findings.push(settings::not_yet_honoured(origin, key, guards));
            }
        }
        Handling::Nothing { instead } => {
            findings.push(settings::annotation_does_nothing(origin, key, instead));
        }
    }
}

/// The key by which a field of health is given.
fn given_as(annotations: &BTreeMap<String, String>, name: &str) -> String {
    let own = format!("{ANNOTATION_PREFIX}{name}");
    let mut keys = annotations.keys();
    let is_alias = |key: &&String| {
        let alias = key.strip_prefix(agic::PREFIX).and_then(agic::alias);
        matches!(alias, Some(agic::Alias::Of(of)) if of == name)
    };
    match annotations.contains_key(&own) {
        true => own,
        false => keys.find(is_alias).cloned().unwrap_or(own),
    }
}

fn unknown(origin: Origin, key: &str, name: &str) -> Diagnostic {
    let near = table::nearest(name);
    let guards = near.is_some_and(Annotation::guards)
        || ["auth-", "limit-"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    let prefix = key.strip_suffix(name).unwrap_or_default();
    let near = near.map(|entry| match entry.handling {
        Handling::Health { .. } => format!("{ANNOTATION_PREFIX}{}", entry.name),
        _ => format!("{prefix}{}", entry.name),
    });
    settings::unknown_annotation(origin, key, near.as_deref(), guards)
}

#[cfg(test)]
mod tests;
