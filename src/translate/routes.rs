//! Entries → routes of hosts: who holds a path, what happens to its requests, and in which order the
//! paths of a host are tried.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::class::Claimed;
use super::ingress::{Entry, PathType};
use super::service::{PortRef, Upstreams, Wish};
use super::tls::{Tls, speaks_for};
use super::{Options, PathSemantics};
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin, programmed};
use crate::model::names::{
    HeaderValue, HostMatch, PathRegex, RouteId, RoutePath, StatusCode, Template, TemplatePart,
};
use crate::model::{
    Action, BodyLimit, Forward, Host, Hsts, HttpsRedirect, PathMatch, Policy, Redirect, Refusal,
    Route, Split, Timeouts,
};

/// One year, as ingress-nginx sends it.
const HSTS_SECONDS: u64 = 31_536_000;

/// A route with what decides its place in an ordered host.
pub struct Placed {
    pub route: Route,
    /// How its Ingress wants Services to be spoken to.
    pub wish: Wish,
    /// The path as written.
    raw: String,
    exact: bool,
}

/// The routes of one host, while they are claimed.
#[derive(Default)]
struct Claims {
    by_path: BTreeMap<PathMatch, usize>,
    placed: Vec<Placed>,
}

/// Builds hosts out of entries, the oldest first.
pub struct Routes<'o> {
    options: &'o Options,
    tls: &'o Tls,
    /// Hosts whose paths are regular expressions, with the annotation's Ingress.
    ordered: BTreeMap<HostMatch, Origin>,
    hosts: BTreeMap<HostMatch, Claims>,
}

impl<'o> Routes<'o> {
    pub fn new<'e>(
        options: &'o Options,
        tls: &'o Tls,
        entries: impl Iterator<Item = &'e Entry<'e>>,
    ) -> Self {
        let mut ordered = BTreeMap::new();
        for entry in entries.filter(|entry| entry.wants_regex()) {
            ordered
                .entry(entry.host.clone())
                .or_insert_with(|| entry.origin.clone());
        }
        Self {
            options,
            tls,
            ordered,
            hosts: BTreeMap::new(),
        }
    }

    /// Takes one entry of a main Ingress.
    pub fn add(
        &mut self,
        entry: &Entry<'_>,
        upstreams: &mut Upstreams<'_>,
        findings: &mut Vec<Diagnostic>,
    ) {
        let Some(path) = entry.path_match(self.ordered.get(&entry.host), findings) else {
            return;
        };
        let action = action(entry, &path, upstreams, findings);
        let route = self.route(
            &entry.host,
            path,
            action,
            entry.claimed,
            entry.origin.clone(),
        );
        self.claim(
            &entry.host,
            route,
            entry.claimed,
            entry.path,
            entry.path_type,
            findings,
        );
    }

    fn route(
        &self,
        host: &HostMatch,
        path: PathMatch,
        action: Action,
        claimed: &Claimed<'_>,
        origin: Origin,
    ) -> Route {
        let id = RouteId::new(&host.to_string(), path.kind(), &id_of(&path));
        let policy = self.policy(host, claimed);
        Route {
            id,
            path,
            action,
            policy,
            origin,
        }
    }

    /// The first to claim a host and path holds it; the others are told who does.
    fn claim(
        &mut self,
        host: &HostMatch,
        route: Route,
        claimed: &Claimed<'_>,
        raw: &str,
        path_type: PathType,
        findings: &mut Vec<Diagnostic>,
    ) {
        let claims = self.hosts.entry(host.clone()).or_default();
        if let Some(&holder) = claims.by_path.get(&route.path) {
            let holder = &claims.placed[holder].route;
            // Paths such as /x and /x/ of one Ingress mean the same; nobody loses by it.
            let same = holder.origin.object == route.origin.object && holder.action == route.action;
            if !same {
                findings.push(programmed::route_shadowed(
                    route.origin.at(route.origin.field.key("path")),
                    &host.to_string(),
                    raw,
                    &holder.origin.object.to_string(),
                ));
            }
            return;
        }
        claims
            .by_path
            .insert(route.path.clone(), claims.placed.len());
        let exact = path_type == PathType::Exact;
        let wish = Wish::of(claimed);
        claims.placed.push(Placed {
            route,
            wish,
            raw: raw.to_owned(),
            exact,
        });
    }

    /// The route that a canary's entry stands beside.
    pub fn main_of(
        &mut self,
        entry: &Entry<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<&mut Placed> {
        let path = entry.path_match(self.ordered.get(&entry.host), findings)?;
        let claims = self.hosts.get_mut(&entry.host)?;
        let at = match claims.by_path.get(&path) {
            Some(at) => *at,
            // The main Ingress may give another type to the same path.
            None => claims
                .placed
                .iter()
                .position(|placed| placed.raw == entry.path)?,
        };
        claims.placed.get_mut(at)
    }

    /// The routes that annotations and defaults of an Ingress add to its hosts: app-root before all,
    /// the rest where nobody claimed the path.
    pub fn add_app_root(&mut self, entries: &[Entry<'_>], findings: &mut Vec<Diagnostic>) {
        for entry in entries {
            let Some(root) = &entry.claimed.settings.app_root else {
                continue;
            };
            if self.claimed_by(&entry.host, "/", &entry.claimed.object) {
                continue;
            }
            let action = Action::Redirect(Redirect {
                location: root.clone(),
                code: StatusCode::FOUND,
            });
            let origin = annotation(entry.claimed, "app-root");
            let path = self.in_host(&entry.host, PathMatch::Exact(RoutePath::root()));
            let route = self.route(&entry.host, path, action, entry.claimed, origin);
            self.claim(
                &entry.host,
                route,
                entry.claimed,
                "/",
                PathType::Exact,
                findings,
            );
        }
    }

    fn claimed_by(
        &self,
        host: &HostMatch,
        path: &str,
        object: &crate::model::diagnostics::ObjectRef,
    ) -> bool {
        self.hosts.get(host).is_some_and(|claims| {
            claims
                .placed
                .iter()
                .any(|p| p.exact && p.raw == path && p.route.origin.object == *object)
        })
    }

    /// ingress-nginx answers `/x` with 301 where only `/x/` is a path.
    pub fn add_trailing_slash(&mut self, entry: &Entry<'_>) {
        let compatible = entry.claimed.semantics == PathSemantics::IngressNginx;
        let literal = entry.path_type != PathType::ImplementationSpecific;
        let without = entry.path.strip_suffix('/').filter(|rest| !rest.is_empty());
        let Some(path) = without.and_then(|rest| rest.parse::<RoutePath>().ok()) else {
            return;
        };
        if !compatible || !literal || self.ordered.contains_key(&entry.host) {
            return;
        }
        let exact = PathMatch::Exact(path.clone());
        let Some(claims) = self.hosts.get(&entry.host) else {
            return;
        };
        // Another path entry may take /x by itself, as Exact /x or Prefix /x.
        let taken = claims.by_path.contains_key(&exact)
            || claims.placed.iter().any(|p| p.raw == path.as_str());
        let held = claims.placed.iter().any(|p| p.route.origin == entry.origin);
        if taken || !held {
            return;
        }
        let location = Template::of(vec![
            TemplatePart::Literal(format!("{}/", path.encoded())),
            TemplatePart::QuerySuffix,
        ]);
        let action = Action::Redirect(Redirect {
            location,
            code: StatusCode::MOVED_PERMANENTLY,
        });
        let route = self.route(
            &entry.host,
            exact,
            action,
            entry.claimed,
            entry.origin.clone(),
        );
        let raw = path.as_str();
        self.claim(
            &entry.host,
            route,
            entry.claimed,
            raw,
            PathType::Exact,
            &mut Vec::new(),
        );
    }

    /// spec.defaultBackend beside rules: takes what no path of these hosts takes.
    pub fn add_default(
        &mut self,
        claimed: &Claimed<'_>,
        hosts: BTreeSet<HostMatch>,
        upstreams: &mut Upstreams<'_>,
        findings: &mut Vec<Diagnostic>,
    ) {
        let spec = claimed.ingress.spec.as_ref();
        let Some(backend) = spec.and_then(|spec| spec.default_backend.as_ref()) else {
            return;
        };
        let origin = Origin::new(
            claimed.object.clone(),
            FieldPath::new("spec.defaultBackend"),
        );
        let mut action = None;
        for host in hosts {
            let path = self.in_host(&host, PathMatch::Prefix(RoutePath::root()));
            let claims = self.hosts.entry(host.clone()).or_default();
            let taken = claims
                .placed
                .iter()
                .any(|placed| placed.raw == "/" && !placed.exact || placed.route.path == path);
            if taken {
                continue;
            }
            let action = action.get_or_insert_with(|| {
                default_action(claimed, backend, &origin, upstreams, findings)
            });
            let route = self.route(&host, path, action.clone(), claimed, origin.clone());
            self.claim(&host, route, claimed, "/", PathType::Prefix, findings);
        }
    }

    /// spec.defaultBackend alone: takes what no host takes.
    pub fn alone(
        &self,
        claimed: &Claimed<'_>,
        upstreams: &mut Upstreams<'_>,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Route> {
        let backend = claimed.ingress.spec.as_ref()?.default_backend.as_ref()?;
        let origin = Origin::new(
            claimed.object.clone(),
            FieldPath::new("spec.defaultBackend"),
        );
        let action = default_action(claimed, backend, &origin, upstreams, findings);
        let path = PathMatch::Prefix(RoutePath::root());
        Some(self.route(&HostMatch::Any, path, action, claimed, origin))
    }

    /// A literal path as its host holds it.
    fn in_host(&self, host: &HostMatch, path: PathMatch) -> PathMatch {
        if !self.ordered.contains_key(host) {
            return path;
        }
        let source = match &path {
            PathMatch::Exact(_) => r"/\z",
            _ => "/",
        };
        PathRegex::heeding_case(source).map_or(path, PathMatch::Regex)
    }

    fn policy(&self, host: &HostMatch, claimed: &Claimed<'_>) -> Policy {
        let settings = &claimed.settings;
        let compatible = claimed.semantics == PathSemantics::IngressNginx;
        let wanted = settings.ssl_redirect.unwrap_or(true) && self.has_tls(host, claimed);
        let https_redirect = (settings.force_ssl_redirect || wanted).then_some(HttpsRedirect {
            code: StatusCode::PERMANENT_REDIRECT,
            strip_trailing_slash: compatible,
        });
        let hsts = compatible.then_some(Hsts {
            max_age: HSTS_SECONDS,
            include_subdomains: true,
            preload: false,
        });
        Policy {
            https_redirect,
            hsts,
            timeouts: settings.timeouts.clone(),
            body_limit: settings.body_limit.clone(),
            access: settings.access.clone(),
        }
    }

    /// The redirect follows spec.tls, whether or not the Secret can be used. In compatible classes
    /// any entry of spec.tls speaks for all rules of its Ingress, as ingress-nginx has it.
    fn has_tls(&self, host: &HostMatch, claimed: &Claimed<'_>) -> bool {
        let spec = claimed.ingress.spec.as_ref();
        let entries = spec
            .and_then(|spec| spec.tls.as_deref())
            .unwrap_or_default();
        let own = match claimed.semantics {
            PathSemantics::IngressNginx => !entries.is_empty(),
            PathSemantics::Strict => entries
                .iter()
                .any(|entry| speaks_for(entry.hosts.as_deref().unwrap_or_default(), host)),
        };
        own || self.tls.of_host.contains_key(host)
    }

    /// Whether a redirect to https could loop: TLS may end in front, and we would not know.
    pub fn advise_redirect_loop(&self, entries: &[Entry<'_>], findings: &mut Vec<Diagnostic>) {
        let listeners = self.options;
        if listeners.proxy_protocol || !listeners.trusted_proxies.is_empty() {
            return;
        }
        let risky = entries.iter().find(|entry| {
            entry.claimed.settings.force_ssl_redirect && !self.has_tls(&entry.host, entry.claimed)
        });
        if let Some(entry) = risky {
            let origin = annotation(entry.claimed, "force-ssl-redirect");
            findings.push(programmed::redirect_loop_risk(origin));
        }
    }

    /// The finished hosts, each in the order in which its paths are tried.
    pub fn finish(self) -> BTreeMap<HostMatch, Host> {
        let ordered = self.ordered;
        let tls = self.tls;
        let finished = |(name, mut claims): (HostMatch, Claims)| {
            if ordered.contains_key(&name) {
                // As ingress-nginx sorts locations: longer first, then in reverse; Exact before all.
                claims.placed.sort_by(|a, b| {
                    let key = |p: &Placed| (Reverse(p.exact_first()), Reverse(p.raw.len()));
                    key(a).cmp(&key(b)).then_with(|| b.raw.cmp(&a.raw))
                });
            } else {
                claims
                    .placed
                    .sort_by(|a, b| a.route.path.cmp(&b.route.path));
            }
            let certificates = tls.of_host.get(&name).cloned().unwrap_or_default();
            let routes = claims
                .placed
                .into_iter()
                .map(|placed| placed.route)
                .collect();
            (
                name,
                Host {
                    certificates,
                    routes,
                },
            )
        };
        self.hosts.into_iter().map(finished).collect()
    }
}

impl Placed {
    /// A compatible Exact path is a prefix like any other in an ordered host.
    fn exact_first(&self) -> bool {
        matches!(&self.route.path, PathMatch::Regex(regex) if self.exact && !regex.ignores_case())
    }
}

/// What a path is hashed by: regular expressions that differ in case rules are different paths.
fn id_of(path: &PathMatch) -> String {
    match path {
        PathMatch::Regex(regex) if regex.ignores_case() => format!("(?i){regex}"),
        other => other.to_string(),
    }
}

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

fn action(
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

fn default_action(
    claimed: &Claimed<'_>,
    backend: &k8s_openapi::api::networking::v1::IngressBackend,
    origin: &Origin,
    upstreams: &mut Upstreams<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Action {
    if claimed.settings.closed {
        return Action::Refuse(Refusal::GuardNotHonoured);
    }
    let wish = Wish::of(claimed);
    match upstreams.of_backend(&claimed.name.namespace, backend, origin, wish, findings) {
        Some(primary) => Action::Forward(Forward {
            split: Split::to(primary),
            rewrite: None,
            forwarded_prefix: None,
            upstream_host: None,
        }),
        None => Action::Refuse(Refusal::BackendNotFound),
    }
}

/// Keeps the oldest default backend that stands alone; the others are told.
pub fn hold_fallback(held: &mut Option<Route>, route: Route, findings: &mut Vec<Diagnostic>) {
    match held {
        None => *held = Some(route),
        Some(holder) => {
            let holder = holder.origin.object.to_string();
            findings.push(programmed::route_shadowed(route.origin, "*", "/", &holder));
        }
    }
}

/// The default backend of the class, given as an option.
pub fn class_default(
    options: &Options,
    upstreams: &mut Upstreams<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Route> {
    let (service, port) = options.default_backend.as_ref()?;
    let object = ObjectRef::new(Kind::Option, "", "default-backend");
    let origin = Origin::new(object, FieldPath::default());
    let port = match port {
        None => PortRef::Only,
        Some(port) => port
            .parse()
            .map_or_else(|_| PortRef::Name(port.clone()), PortRef::Number),
    };
    let wish = Wish {
        protocol: None,
        cluster_ip: false,
        semantics: PathSemantics::Strict,
    };
    let upstream = upstreams.of_service(service, &port, &origin, wish, findings)?;
    let path = PathMatch::Prefix(RoutePath::root());
    Some(Route {
        id: RouteId::new("*", path.kind(), "default-backend"),
        path,
        action: Action::Forward(Forward {
            split: Split::to(upstream),
            rewrite: None,
            forwarded_prefix: None,
            upstream_host: None,
        }),
        policy: Policy {
            https_redirect: None,
            hsts: None,
            timeouts: Timeouts::default(),
            body_limit: BodyLimit::default(),
            access: None,
        },
        origin,
    })
}
