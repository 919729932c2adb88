//! The RouteHealths that Vigie writes itself, one for each Ingress that has none of its user's.

use crate::api::route_health::{RouteHealth, RouteHealthSpec, TargetRef};
use crate::api::{GENERATED_LABEL, INSTANCE_LABEL};

/// What no chart would call its own.
const SUFFIX: &str = ".auto";
/// Of names of objects in a cluster.
const LONGEST: usize = 253;

/// Its name: that of the Ingress and a suffix, with a hash in the middle where that is too long.
pub fn name(ingress: &str) -> String {
    if ingress.len() + SUFFIX.len() <= LONGEST {
        return format!("{ingress}{SUFFIX}");
    }
    let hash = blake3::hash(ingress.as_bytes()).to_hex();
    let end = LONGEST - SUFFIX.len() - 9;
    let kept = ingress.get(..end).unwrap_or_default();
    let kept = kept.trim_end_matches(['.', '-']);
    format!("{kept}-{}{SUFFIX}", &hash[..8])
}

/// What it asks for: a report, with everything found out.
pub fn spec(ingress: &str) -> RouteHealthSpec {
    RouteHealthSpec {
        target_ref: Some(TargetRef {
            group: "networking.k8s.io".to_owned(),
            kind: "Ingress".to_owned(),
            name: ingress.to_owned(),
        }),
        ..RouteHealthSpec::default()
    }
}

/// Whether Vigie has made it, whichever installation.
pub fn is_generated(health: &RouteHealth) -> bool {
    let labels = health.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(GENERATED_LABEL))
}

/// Whose a RouteHealth is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    User,
    /// This installation, and its spec is as it was written.
    Us,
    /// This installation, and somebody has changed its spec since: it is the user's by that.
    UserNow,
    /// Another installation; it is let alone.
    Others,
}

pub fn author(health: &RouteHealth, installation: &str) -> Author {
    let labels = health.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name).map(String::as_str));
    match (label(GENERATED_LABEL), label(INSTANCE_LABEL)) {
        (_, Some(instance)) if instance != installation => Author::Others,
        (Some("true"), Some(_)) => {
            let target = health.spec.target_ref.as_ref();
            match target.is_some_and(|target| health.spec == spec(&target.name)) {
                true => Author::Us,
                false => Author::UserNow,
            }
        }
        _ => Author::User,
    }
}
