//! Which host takes a name: the exact one, then one label before a wildcard, then rules without a
//! host. A host that is taken is the only one whose paths are looked at.

use std::cmp::Reverse;

use serde::Serialize;

use crate::model::Model;
use crate::model::names::HostMatch;

/// More names than that are no help.
const NEAREST: usize = 3;

/// Names that are less alike are not what was meant.
const ALIKE: f64 = 0.8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostStep {
    /// As it is looked up: lower case, without port and final dot.
    pub asked: String,
    pub taken: Option<HostMatch>,
    /// In the order in which they are looked up.
    pub tried: Vec<TriedHost>,
    /// Where no rule names the host: those that do name one like it.
    pub nearest: Vec<HostMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriedHost {
    /// A name, `*.name`, or `*` for rules without a host.
    pub host: String,
    pub state: HostState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    Taken,
    /// No rule has it.
    Absent,
    /// Rules have it, but one before it is taken.
    Behind,
}

pub fn step(model: &Model, asked: &str) -> HostStep {
    let mut taken = None;
    let mut tried = Vec::new();
    for (host, name) in names(asked) {
        let known = name.filter(|name| model.hosts.contains_key(name));
        let state = match (known, &taken) {
            (None, _) => HostState::Absent,
            (Some(_), Some(_)) => HostState::Behind,
            (Some(name), None) => {
                taken = Some(name);
                HostState::Taken
            }
        };
        tried.push(TriedHost { host, state });
    }
    let nearest = match taken {
        None | Some(HostMatch::Any) => nearest(model, asked),
        Some(_) => Vec::new(),
    };
    HostStep {
        asked: asked.to_owned(),
        taken,
        tried,
        nearest,
    }
}

/// The names under which rules for a host can stand. A name that no rule can hold, such as an
/// address of IPv6, is only tried in words.
fn names(asked: &str) -> Vec<(String, Option<HostMatch>)> {
    let exact = asked.parse().ok().map(HostMatch::Exact);
    let mut names = vec![(asked.to_owned(), exact)];
    if let Some((label, rest)) = asked.split_once('.')
        && !label.is_empty()
    {
        let wildcard = rest.parse().ok().map(HostMatch::Wildcard);
        names.push((format!("*.{rest}"), wildcard));
    }
    names.push(("*".to_owned(), Some(HostMatch::Any)));
    names
}

/// Names that differ by a slip, or by the number of labels before a wildcard; the likest first.
fn nearest(model: &Model, asked: &str) -> Vec<HostMatch> {
    let likeness = |host: &HostMatch| match host {
        HostMatch::Any => 0.0,
        HostMatch::Exact(name) if is_below(name.as_str(), asked) => 1.0,
        HostMatch::Exact(name) if is_below(asked, name.as_str()) => 1.0,
        HostMatch::Exact(name) => strsim::normalized_damerau_levenshtein(name.as_str(), asked),
        // One label too few or too many.
        HostMatch::Wildcard(rest) if is_below(asked, rest.as_str()) => 1.0,
        HostMatch::Wildcard(rest) if asked == rest.as_str() => 1.0,
        HostMatch::Wildcard(rest) => {
            let of_asked = asked.split_once('.').map_or("", |(_, rest)| rest);
            strsim::normalized_damerau_levenshtein(rest.as_str(), of_asked)
        }
    };
    let all = model.hosts.keys().map(|host| (likeness(host), host));
    let mut alike: Vec<_> = all.filter(|(likeness, _)| *likeness >= ALIKE).collect();
    alike.sort_by_key(|(likeness, host)| (Reverse((likeness * 1e6) as u32), *host));
    let alike = alike.into_iter().take(NEAREST);
    alike.map(|(_, host)| host.clone()).collect()
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|labels| labels.ends_with('.'))
}
