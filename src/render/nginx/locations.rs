//! Which `location`s a host has, and what takes the requests of each.
//!
//! nginx takes an exact location first, then the longest prefix, unless there are expressions, which
//! it tries in the order of the file before any prefix. A `location /x/` that forwards makes nginx
//! answer `/x` with a redirect of its own; an explicit `location = /x` keeps it from that.

use std::collections::BTreeMap;

use super::words::{Literal, as_pattern};
use crate::model::names::RoutePath;
use crate::model::{Action, Host, PathMatch, Route};

/// One `location` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// Empty for a prefix; ends with a space otherwise.
    pub modifier: &'static str,
    pub pattern: Literal,
}

impl Matcher {
    fn exact(path: &str) -> Self {
        Self {
            modifier: "= ",
            pattern: Literal::new(path),
        }
    }

    fn prefix(path: &str) -> Self {
        Self {
            modifier: "",
            pattern: Literal::new(path),
        }
    }

    fn expression(path: &PathMatch) -> Self {
        let modifier = match path {
            PathMatch::Regex(regex) if regex.ignores_case() => "~* ",
            _ => "~ ",
        };
        Self {
            modifier,
            pattern: Literal::new(&expression(path)),
        }
    }
}

/// The expression that matches as a path does, from the start.
pub fn expression(path: &PathMatch) -> String {
    match path {
        PathMatch::Regex(regex) => regex.anchored(),
        PathMatch::Exact(path) => format!("^{}$", as_pattern(path.as_str())),
        PathMatch::Prefix(path) if path.is_root() => "^/".into(),
        PathMatch::Prefix(path) => format!("^{}(?:/|$)", as_pattern(path.as_str())),
        PathMatch::PlainPrefix(path) => format!("^{}", as_pattern(path.as_str())),
    }
}

/// The locations of one route, or of what takes the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub matchers: Vec<Matcher>,
    /// None for what no route takes.
    pub route: Option<&'a Route>,
}

/// In the order of the routes; what takes the rest comes last.
pub fn of(host: &Host) -> Vec<Place<'_>> {
    match host.is_ordered() {
        true => ordered(host),
        false => by_longest(host),
    }
}

fn ordered(host: &Host) -> Vec<Place<'_>> {
    let routes = host.routes.iter();
    let mut places: Vec<Place> = routes
        .map(|route| Place {
            matchers: vec![Matcher::expression(&route.path)],
            route: Some(route),
        })
        .collect();
    places.push(Place {
        matchers: vec![Matcher::prefix("/")],
        route: None,
    });
    places
}

/// Routes by their number in the host.
#[derive(Default)]
struct Tables {
    exact: BTreeMap<String, Option<usize>>,
    prefixes: BTreeMap<String, Option<usize>>,
}

impl Tables {
    fn of(host: &Host) -> Self {
        let mut tables = Self::default();
        let each = || host.routes.iter().enumerate();
        for (number, route) in each() {
            if let PathMatch::Exact(path) = &route.path {
                tables
                    .exact
                    .entry(path.as_str().into())
                    .or_insert(Some(number));
            }
        }
        for (number, route) in each() {
            if let PathMatch::Prefix(path) = &route.path {
                let slashed = format!("{}/", path.as_str().trim_end_matches('/'));
                tables.prefixes.entry(slashed).or_insert(Some(number));
                if !path.is_root() {
                    tables
                        .exact
                        .entry(path.as_str().into())
                        .or_insert(Some(number));
                }
            }
        }
        for (number, route) in each() {
            if let PathMatch::PlainPrefix(path) = &route.path {
                tables
                    .prefixes
                    .entry(path.as_str().into())
                    .or_insert(Some(number));
            }
        }
        tables
            .prefixes
            .entry(RoutePath::root().to_string())
            .or_insert(None);
        tables
    }

    fn longest_prefix(&self, path: &str) -> Option<usize> {
        let fitting = self
            .prefixes
            .iter()
            .filter(|(p, _)| path.starts_with(p.as_str()));
        fitting
            .max_by_key(|(p, _)| p.len())
            .and_then(|(_, route)| *route)
    }

    /// Names what nginx would redirect by itself.
    fn forbid_redirects(&mut self, host: &Host) {
        let forwards = |number: &Option<usize>| {
            let route = number.and_then(|n| host.routes.get(n));
            route.is_none_or(|route| matches!(route.action, Action::Forward(_)))
        };
        let all = self.exact.iter().chain(&self.prefixes);
        let bare: Vec<String> = all
            .filter(|(path, route)| path.len() > 1 && forwards(route))
            .filter_map(|(path, _)| path.strip_suffix('/'))
            .filter(|path| !self.exact.contains_key(*path))
            .map(str::to_owned)
            .collect();
        for path in bare {
            let route = self.longest_prefix(&path);
            self.exact.insert(path, route);
        }
    }
}

fn by_longest(host: &Host) -> Vec<Place<'_>> {
    let mut tables = Tables::of(host);
    tables.forbid_redirects(host);
    let mut matchers: BTreeMap<Option<usize>, Vec<Matcher>> = BTreeMap::new();
    for (path, route) in &tables.exact {
        matchers
            .entry(*route)
            .or_default()
            .push(Matcher::exact(path));
    }
    for (path, route) in &tables.prefixes {
        matchers
            .entry(*route)
            .or_default()
            .push(Matcher::prefix(path));
    }
    let rest = matchers.remove(&None);
    let mut places: Vec<Place> = matchers
        .into_iter()
        .map(|(number, matchers)| Place {
            matchers,
            route: number.and_then(|n| host.routes.get(n)),
        })
        .collect();
    places.extend(rest.map(|matchers| Place {
        matchers,
        route: None,
    }));
    places
}
