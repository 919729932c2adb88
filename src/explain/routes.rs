//! Which route of a host takes a path, and why the others do not.

use std::cmp::Reverse;

use serde::Serialize;

use super::path::PathStep;
use crate::model::diagnostics::Origin;
use crate::model::{Host, PathMatch};

/// More candidates than that are for `vigie run`'s table.
const NEAREST: usize = 5;

/// A route of the host, held against the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub kind: &'static str,
    pub path: String,
    pub origin: Origin,
    pub place: Place,
    /// Why it does or does not take the path, as a clause.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It takes the path.
    Taken,
    /// It matches, and another one goes first.
    Behind,
    /// It does not match.
    Apart,
}

#[derive(Default)]
pub struct Table {
    /// The route that takes the path, by its number in the host.
    pub taken: Option<usize>,
    pub candidates: Vec<Candidate>,
    pub others: usize,
}

/// Holds all routes of a host against a path.
pub fn table(host: Option<&Host>, path: &PathStep) -> Table {
    let (Some(host), Some(_)) = (host, &path.looked_up) else {
        return Table::default();
    };
    let text = path.text.as_str();
    let routes = host.routes.iter();
    let held: Vec<Held> = routes
        .map(|route| Held::of(&route.path, &path.octets, text))
        .collect();
    let matching = || held.iter().enumerate().filter(|(_, held)| held.matches);
    let taken = match host.is_ordered() {
        true => matching().map(|(at, _)| at).next(),
        false => matching()
            .max_by_key(|(at, held)| (held.reach, Reverse(*at)))
            .map(|(at, _)| at),
    };
    let mut chosen: Vec<usize> = (0..held.len()).collect();
    chosen.sort_by_key(|at| {
        let nearness = held.get(*at).map(|h| (h.matches, h.common));
        (Some(*at) != taken, Reverse(nearness), *at)
    });
    chosen.truncate(NEAREST);
    // In the order of precedence.
    chosen.sort_by_key(|at| {
        let reach = held.get(*at).map_or(0, |held| held.reach);
        (!host.is_ordered() as usize * (usize::MAX - reach), *at)
    });
    let candidate = |at: &usize| {
        let (route, held) = (host.routes.get(*at)?, held.get(*at)?);
        let (place, why) = held.place(&route.path, text, *at, taken, host.is_ordered());
        Some(Candidate {
            kind: route.path.kind(),
            path: route.path.to_string(),
            origin: route.origin.clone(),
            place,
            why,
        })
    };
    let candidates: Vec<Candidate> = chosen.iter().filter_map(candidate).collect();
    Table {
        taken,
        others: held.len() - candidates.len(),
        candidates,
    }
}

/// A route's path, held against a request's.
struct Held {
    matches: bool,
    /// Of those that match, the highest takes the request where paths are literal: an exact path
    /// goes before any prefix, a longer prefix before a shorter one, and of equal lengths the one of
    /// whole elements, which has the '/' at its end for itself.
    reach: usize,
    /// How much of both begins alike.
    common: usize,
    /// An expression that asks for more steps than are allowed.
    gave_up: bool,
}

impl Held {
    fn of(route: &PathMatch, octets: &[u8], text: &str) -> Self {
        let mut gave_up = false;
        let (matches, reach, literal) = match route {
            PathMatch::Exact(path) => {
                let matches = octets == path.as_str().as_bytes();
                (matches, usize::MAX, path.as_str())
            }
            PathMatch::Prefix(path) => {
                let bare = path.as_str().trim_end_matches('/');
                let rest = octets.strip_prefix(bare.as_bytes());
                let matches = rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
                (matches, bare.len() + 1, path.as_str())
            }
            PathMatch::PlainPrefix(path) => {
                let matches = octets.starts_with(path.as_str().as_bytes());
                (matches, path.as_str().len(), path.as_str())
            }
            PathMatch::Regex(regex) => {
                let matches = regex.is_match(text);
                gave_up = matches.is_none();
                (matches == Some(true), 0, regex.source())
            }
        };
        let alike = literal.bytes().zip(octets).take_while(|(a, b)| a == *b);
        Self {
            matches,
            reach,
            common: alike.count(),
            gave_up,
        }
    }

    fn place(
        &self,
        route: &PathMatch,
        text: &str,
        at: usize,
        taken: Option<usize>,
        ordered: bool,
    ) -> (Place, String) {
        if taken == Some(at) {
            return (Place::Taken, why_taken(route).to_owned());
        }
        if self.matches {
            let why = match ordered {
                true => "it matches too, but comes later",
                false => "it matches too, but says less of the path",
            };
            return (Place::Behind, why.to_owned());
        }
        (Place::Apart, self.why_apart(route, text))
    }

    fn why_apart(&self, route: &PathMatch, text: &str) -> String {
        let literal = match route {
            PathMatch::Regex(_) if self.gave_up => {
                return "it takes too many steps for this path".to_owned();
            }
            PathMatch::Regex(_) => return "it does not match from the start".to_owned(),
            PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::PlainPrefix(path) => {
                path.as_str()
            }
        };
        let begins = |text: &str| text.starts_with(literal);
        match route {
            _ if begins_ignoring_case(text, literal) && !begins(text) => {
                "the case of letters differs".to_owned()
            }
            PathMatch::Exact(_) if begins(text) => "it takes that path only".to_owned(),
            PathMatch::Prefix(_) if begins(text) => {
                format!("it takes {literal} and what follows {literal}/")
            }
            PathMatch::Exact(_) => "it is another path".to_owned(),
            _ => "the path does not begin with it".to_owned(),
        }
    }
}

fn begins_ignoring_case(text: &str, literal: &str) -> bool {
    let start = text.get(..literal.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(literal))
}

fn why_taken(route: &PathMatch) -> &'static str {
    match route {
        PathMatch::Exact(_) => "it is the path itself",
        PathMatch::Prefix(path) if path.is_root() => "it takes every path",
        PathMatch::Prefix(_) | PathMatch::PlainPrefix(_) => "the longest prefix of the path",
        PathMatch::Regex(_) => "the first that matches",
    }
}
