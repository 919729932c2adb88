//! What happens to the requests of an entry: where its annotations and its backend send them.

use k8s_openapi::api::networking::v1::IngressBackend;

use super::class::Claimed;
use super::ingress::{Entry, PathType};
use super::service::{Upstreams, Wish};
use crate::model::diagnostics::{Diagnostic, FieldPath, Origin, programmed};
use crate::model::names::{HeaderValue, StatusCode, Template, TemplatePart};
use crate::model::{Action, Forward, PathMatch, Redirect, Refusal, Split};

/// The origin of an annotation, by whichever prefix it was given.
pub fn annotation(claimed: &Claimed<'_>, name: &str) -> Origin {
    let own = format!("{}{name}", crate::api::ANNOTATION_PREFIX);
    let given = claimed.ingress.metadata.annotations.as_ref();
    let key = match given.is_some_and(|all| all.contains_key(&own)) {
        true => own,
        false => format!("{}{name}", crate::api::NGINX_ANNOTATION_PREFIX),
    };
    Origin::new(claimed.object.clone(), FieldPath::annotation(&key))
}

pub fn action(
    entry: &Entry<'_>,
    path: &PathMatch,
    upstreams: &mut Upstreams<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Action {
    let settings = &entry.claimed.settings;
    if settings.closed {
        return Action::Refuse(Refusal::GuardNotHonoured);
    }
    // A temporal redirect wins over a permanent one, as in ingress-nginx.
    if let Some(location) = &settings.temporal_redirect {
        let code = settings.temporal_redirect_code.unwrap_or(StatusCode::FOUND);
        return Action::Redirect(Redirect {
            location: location.clone(),
            code,
        });
    }
    if let Some(location) = &settings.permanent_redirect {
        let code = settings
            .permanent_redirect_code
            .unwrap_or(StatusCode::MOVED_PERMANENTLY);
        return Action::Redirect(Redirect {
            location: location.clone(),
            code,
        });
    }
    let rewrite = settings
        .rewrite_target
        .as_ref()
        .filter(|_| entry.rewrites());
    if let Some(target) = rewrite {
        advise_rewrite(entry, path, target, findings);
        if target.is_url() {
            let code = StatusCode::FOUND;
            return Action::Redirect(Redirect {
                location: with_query(target),
                code,
            });
        }
    }
    let at_backend = entry.origin.at(entry.origin.field.key("backend"));
    let namespace = &entry.claimed.name.namespace;
    let wish = Wish::of(entry.claimed);
    match upstreams.of_backend(namespace, entry.backend, &at_backend, wish, findings) {
        Some(primary) => Action::Forward(Forward {
            split: Split::to(primary),
            rewrite: rewrite.cloned(),
            forwarded_prefix: settings.forwarded_prefix.clone(),
            upstream_host: upstream_host(entry),
        }),
        None => Action::Refuse(Refusal::BackendNotFound),
    }
}

/// nginx appends the query to the target of a rewrite, unless the target has one of its own.
fn with_query(target: &Template) -> Template {
    let mut parts = target.parts().to_vec();
    let has_query = parts.iter().any(|part| match part {
        TemplatePart::Literal(text) => text.contains('?'),
        part => *part == TemplatePart::RequestUri,
    });
    if !has_query {
        parts.push(TemplatePart::QuerySuffix);
    }
    Template::of(parts)
}

fn advise_rewrite(
    entry: &Entry<'_>,
    path: &PathMatch,
    target: &Template,
    findings: &mut Vec<Diagnostic>,
) {
    let groups = match path {
        PathMatch::Regex(regex) => regex.groups(),
        _ => 0,
    };
    let highest = target.highest_group();
    if usize::from(highest) > groups {
        let origin = annotation(entry.claimed, "rewrite-target");
        findings.push(programmed::rewrite_group_missing(
            origin, highest, entry.path,
        ));
    } else if highest == 0 && entry.path_type != PathType::Exact && !target.is_url() {
        let origin = annotation(entry.claimed, "rewrite-target");
        let target = target.to_string();
        findings.push(programmed::rewrite_collapses_paths(
            origin, &target, entry.path,
        ));
    }
}

/// Puts the backend's names into upstream-vhost.
fn upstream_host(entry: &Entry<'_>) -> Option<HeaderValue> {
    let raw = entry.claimed.settings.upstream_vhost.as_ref()?;
    let service = entry.backend.service.as_ref()?;
    let port = service.port.as_ref();
    let port = match port.map(|port| (port.number, port.name.as_deref())) {
        Some((Some(number), _)) => number.to_string(),
        Some((None, Some(name))) => name.to_owned(),
        _ => String::new(),
    };
    raw.replace("$service_name", &service.name)
        .replace("$service_port", &port)
        .replace("$namespace", &entry.claimed.name.namespace)
        .parse()
        .ok()
}

/// What a default backend does.
pub fn default_action(
    claimed: &Claimed<'_>,
    backend: &IngressBackend,
    origin: &Origin,
    upstreams: &mut Upstreams<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Action {
    if claimed.settings.closed {
        return Action::Refuse(Refusal::GuardNotHonoured);
    }
    let wish = Wish::of(claimed);
    match upstreams.of_backend(&claimed.name.namespace, backend, origin, wish, findings) {
        Some(primary) => Action::Forward(Forward::to(primary)),
        None => Action::Refuse(Refusal::BackendNotFound),
    }
}
