//! What guards a route: the objects that its annotations name are there, whether or not a release honours
//! the annotations, since whoever asks for a guard wants it to work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use super::class::Claimed;
use crate::api::{ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX};
use crate::model::diagnostics::{Diagnostic, FieldPath, Origin, references};
use crate::model::names::near::near_names;
use crate::model::names::shown;
use crate::snapshot::{ObjectName, Snapshot};

/// The key of a Secret that holds htpasswd lines.
const FILE_KEY: &str = "auth";
/// How names of a cluster's Services end, as `auth.shop.svc.cluster.local`.
const SERVICE_SUFFIXES: [&str; 2] = [".svc", ".svc.cluster.local"];

/// Findings on the auth Secret and on the Service that is asked.
pub fn check(snapshot: &Snapshot, claimed: &Claimed<'_>) -> Vec<Diagnostic> {
    let annotations = claimed.ingress.metadata.annotations.as_ref();
    let Some(annotations) = annotations else {
        return Vec::new();
    };
    let given = |name: &str| given(annotations, name);
    let mut findings = Vec::new();
    if let Some((key, value)) = given("auth-secret") {
        let is_map = given("auth-secret-type").is_some_and(|(_, how)| how == "auth-map");
        let origin = Origin::new(claimed.object.clone(), FieldPath::annotation(&key));
        findings.extend(secret(snapshot, claimed, origin, value, is_map));
    }
    if let Some((key, value)) = given("auth-url") {
        let origin = Origin::new(claimed.object.clone(), FieldPath::annotation(&key));
        findings.extend(service(snapshot, claimed, origin, value));
    }
    findings
}

/// The key and the value of an annotation, by the prefix that decides.
fn given<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<(String, &'a str)> {
    let prefixes = [ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX];
    let mut keys = prefixes.iter().map(|prefix| format!("{prefix}{name}"));
    keys.find_map(|key| {
        let value = annotations.get(&key)?.trim();
        Some((key, value))
    })
}

fn secret(
    snapshot: &Snapshot,
    claimed: &Claimed<'_>,
    origin: Origin,
    value: &str,
    is_map: bool,
) -> Option<Diagnostic> {
    let own = &claimed.name.namespace;
    let name = match value.split_once('/') {
        Some((namespace, name)) if namespace == own => name,
        // Of another namespace nothing may be read.
        Some(_) => return None,
        None => value,
    };
    let shown_name = format!("{own}/{}", shown(name));
    let Some(secret) = snapshot.secrets.get(&ObjectName::new(own.clone(), name)) else {
        return Some(references::auth_secret_not_found(origin, &shown_name));
    };
    let why = unusable(secret, is_map)?;
    Some(references::auth_secret_invalid(origin, &shown_name, &why))
}

/// A sentence that says why nobody could pass.
fn unusable(secret: &Secret, is_map: bool) -> Option<String> {
    let empty = BTreeMap::new();
    let data = secret.data.as_ref().unwrap_or(&empty);
    if is_map {
        return data
            .is_empty()
            .then(|| "It has no key, so no user.".to_owned());
    }
    let Some(file) = data.get(FILE_KEY) else {
        let keys: Vec<String> = data.keys().take(5).map(|key| shown(key)).collect();
        return Some(match keys.as_slice() {
            [] => "It has no key auth; it is empty.".to_owned(),
            keys => format!("It has no key auth; keys found: {}.", keys.join(", ")),
        });
    };
    let text = String::from_utf8_lossy(&file.0);
    let mut lines = text.lines().map(str::trim);
    let is_user = |line: &str| {
        let parts = line.split_once(':');
        parts.is_some_and(|(user, hash)| !user.is_empty() && !hash.is_empty())
    };
    let has_user = lines.any(is_user);
    (!has_user).then(|| "Its key auth holds no line of the form user:hash.".to_owned())
}

fn service(
    snapshot: &Snapshot,
    claimed: &Claimed<'_>,
    origin: Origin,
    url: &str,
) -> Option<Diagnostic> {
    let rest = url
        .strip_prefix("http://")
        .or(url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut suffixes = SERVICE_SUFFIXES.iter();
    let named = suffixes.find_map(|suffix| host.strip_suffix(suffix))?;
    let (name, namespace) = named.split_once('.')?;
    let wanted = ObjectName::new(namespace, name);
    // Who watches some namespaces alone does not know what others have.
    let is_seen =
        *namespace == *claimed.name.namespace || snapshot.service_names(namespace).next().is_some();
    if namespace.contains('.') || snapshot.services.contains_key(&wanted) || !is_seen {
        return None;
    }
    let near = near_names(name, snapshot.service_names(namespace));
    let shown_name = format!("{namespace}/{name}");
    Some(references::auth_service_not_found(
        origin,
        &shown(&shown_name),
        &near,
    ))
}
