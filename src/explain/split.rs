//! Canaries: which upstream a request goes to, and what decided.

use serde::Serialize;

use super::request::Request;
use crate::model::diagnostics::Origin;
use crate::model::names::UpstreamName;
use crate::model::{Endpoints, Model, Share, Split, SplitField, SplitRule, Upstream, ValueMatch};

/// An upstream that the request may go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    pub name: UpstreamName,
    /// None where the model has no such upstream: the route answers 503.
    pub upstream: Option<Upstream>,
    /// How many of such requests go there, of [`Share::WHOLE`].
    pub parts: u32,
    /// The canary that asked for it; None for the route's own backend.
    pub canary: Option<Origin>,
}

impl Way {
    /// Whether an endpoint is there, or a name that may lead to one.
    pub fn has_endpoint(&self) -> bool {
        match self.upstream.as_ref().map(|upstream| &upstream.endpoints) {
            None => false,
            Some(Endpoints::Addresses(all)) => !all.is_empty(),
            Some(Endpoints::Name { .. }) => true,
        }
    }
}

/// A rule of a canary, held against the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTried {
    /// `header x-canary is "always"`.
    pub rule: String,
    pub holds: bool,
    pub upstream: UpstreamName,
    pub origin: Origin,
}

/// The rules as far as they are asked, and where the request may go.
pub fn split(model: &Model, split: &Split, request: &Request) -> (Vec<RuleTried>, Vec<Way>) {
    let way = |name: &UpstreamName, parts, canary| Way {
        name: name.clone(),
        upstream: model.upstreams.get(name).cloned(),
        parts,
        canary,
    };
    let mut tried = Vec::new();
    for rule in &split.rules {
        let holds = holds(rule, request);
        tried.push(RuleTried {
            rule: words(rule),
            holds,
            upstream: rule.upstream.clone(),
            origin: rule.origin.clone(),
        });
        if holds {
            let canary = (rule.upstream != split.primary).then(|| rule.origin.clone());
            return (tried, vec![way(&rule.upstream, Share::WHOLE, canary)]);
        }
    }
    let mut ways = Vec::new();
    let mut left = Share::WHOLE;
    for share in &split.shares {
        let parts = share.parts.min(left);
        left -= parts;
        if parts > 0 {
            ways.push(way(&share.upstream, parts, Some(share.origin.clone())));
        }
    }
    if left > 0 {
        ways.insert(0, way(&split.primary, left, None));
    }
    (tried, ways)
}

fn words(rule: &SplitRule) -> String {
    let field = match &rule.field {
        SplitField::Header(name) => format!("header {name}"),
        SplitField::Cookie(name) => format!("cookie {name}"),
    };
    match &rule.value {
        ValueMatch::Exact(value) => format!("{field} is \"{value}\""),
        ValueMatch::Regex(regex) => format!("{field} matches {}", regex.source()),
    }
}

fn holds(rule: &SplitRule, request: &Request) -> bool {
    let value = match &rule.field {
        SplitField::Header(name) => {
            // Repeated headers are one value that equals no single one.
            let mut values = request.values(name.as_str());
            values.next().filter(|_| values.next().is_none())
        }
        SplitField::Cookie(name) => cookie(request, name.as_str()),
    };
    value.is_some_and(|value| match &rule.value {
        ValueMatch::Exact(wanted) => value == wanted.as_str(),
        ValueMatch::Regex(regex) => regex.is_found(value),
    })
}

/// The first cookie of a name, which heeds case.
fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let cookies = request.values("cookie").flat_map(|all| all.split(';'));
    cookies
        .filter_map(|cookie| cookie.split_once('='))
        .find(|(other, _)| other.trim() == name)
        .map(|(_, value)| value.trim())
}
