//! Entries → routes of hosts: who holds a path, what happens to its requests, and in which order the
//! paths of a host are tried.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::action::{action, annotation, default_action};
use super::class::Claimed;
use super::ingress::{Entry, PathType};
use super::memo::Regexes;
use super::service::{PortRef, Upstreams, Wish};
use super::tls::{Tls, rule_hosts};
use super::{Options, PathSemantics, policy};
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin, programmed};
use crate::model::names::{HostMatch, RouteId, RoutePath, StatusCode, Template, TemplatePart};
use crate::model::{Action, Forward, Host, PathMatch, Redirect, Route};

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
    tls: &'o Tls,
    regexes: &'o mut Regexes,
    /// Hosts whose paths are regular expressions, with the annotation's Ingress.
    ordered: BTreeMap<HostMatch, Origin>,
    hosts: BTreeMap<HostMatch, Claims>,
}

impl<'o> Routes<'o> {
    pub fn new<'e>(
        tls: &'o Tls,
        regexes: &'o mut Regexes,
        entries: impl Iterator<Item = &'e Entry<'e>>,
    ) -> Self {
        let mut ordered = BTreeMap::new();
        for entry in entries.filter(|entry| entry.wants_regex()) {
            ordered
                .entry(entry.host.clone())
                .or_insert_with(|| entry.origin.clone());
        }
        Self {
            tls,
            regexes,
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
        let owner = self.ordered.get(&entry.host);
        let Some(path) = entry.path_match(owner, self.regexes, findings) else {
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
        let policy = policy::policy(self.tls, host, claimed);
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
                    &holder.origin,
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
        let owner = self.ordered.get(&entry.host);
        let path = entry.path_match(owner, self.regexes, findings)?;
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
            let action = Action::Redirect(Redirect {
                location: root.clone(),
                code: StatusCode::FOUND,
            });
            let origin = annotation(entry.claimed, "app-root");
            let path = self.in_host(&entry.host, PathMatch::Exact(RoutePath::root()));
            let route = self.route(&entry.host, path, action, entry.claimed, origin);
            // An exact root of the same Ingress gives way.
            match self.own(&entry.host, &route) {
                Some(own) => *own = route,
                None => self.claim(
                    &entry.host,
                    route,
                    entry.claimed,
                    "/",
                    PathType::Exact,
                    findings,
                ),
            }
        }
    }

    /// The route of the same object that has the same path.
    fn own(&mut self, host: &HostMatch, route: &Route) -> Option<&mut Route> {
        let claims = self.hosts.get_mut(host)?;
        let at = *claims.by_path.get(&route.path)?;
        let held = &mut claims.placed.get_mut(at)?.route;
        (held.origin.object == route.origin.object).then_some(held)
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
        for host in rule_hosts(claimed) {
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
    fn in_host(&mut self, host: &HostMatch, path: PathMatch) -> PathMatch {
        if !self.ordered.contains_key(host) {
            return path;
        }
        let source = match &path {
            PathMatch::Exact(_) => r"/\z",
            _ => "/",
        };
        let regex = self.regexes.heeding_case(source);
        regex.map_or(path, PathMatch::Regex)
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

/// Keeps the oldest default backend that stands alone; the others are told.
pub fn hold_fallback(held: &mut Option<Route>, route: Route, findings: &mut Vec<Diagnostic>) {
    match held {
        None => *held = Some(route),
        Some(holder) => {
            findings.push(programmed::default_backend_shadowed(
                route.origin,
                &holder.origin,
            ));
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
        without: "What no route takes is answered 404.",
    };
    let upstream = upstreams.of_service(service, &port, &origin, wish, findings)?;
    let path = PathMatch::Prefix(RoutePath::root());
    Some(Route {
        id: RouteId::new("*", path.kind(), "default-backend"),
        path,
        action: Action::Forward(Forward::to(upstream)),
        policy: policy::unset(),
        origin,
    })
}
