//! What becomes of a request: the first of a proxy's rules that ends it.

use serde::Serialize;

use super::access::{self, Verdict};
use super::client::Client;
use super::fill::{self, Facts};
use super::path::PathStep;
use super::request::{Request, Scheme};
use super::split::{self, RuleTried, Way};
use crate::model::names::StatusCode;
use crate::model::{Action, Forward, Model, Refusal, Route};

/// Requests below it are not sent to https.
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// The path is none that a proxy reads: 400.
    Unreadable {
        why: &'static str,
    },
    /// Neither a route nor a default backend takes it: 404.
    NoRoute,
    /// Sent to https before anything else.
    ToHttps {
        code: StatusCode,
        location: String,
    },
    /// The client's address may not use the route: 403.
    Forbidden,
    /// Closed by configuration: 503.
    Refused {
        refusal: Refusal,
    },
    Redirected {
        code: StatusCode,
        location: String,
    },
    Forwarded(Forwarded),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forwarded {
    /// Path and query as the endpoint gets them.
    pub target: String,
    /// Whether that is another path than the client's.
    pub rewritten: bool,
    pub host: String,
    /// X-Forwarded-Prefix.
    pub prefix: Option<String>,
    pub rules: Vec<RuleTried>,
    pub ways: Vec<Way>,
}

impl Outcome {
    /// Where the request may go; empty where it goes nowhere.
    pub fn ways(&self) -> &[Way] {
        match self {
            Self::Forwarded(forwarded) => &forwarded.ways,
            _ => &[],
        }
    }

    pub fn works(&self) -> bool {
        match self {
            Self::ToHttps { .. } | Self::Redirected { .. } => true,
            Self::Forwarded(forwarded) => forwarded.ways.iter().all(Way::has_endpoint),
            _ => false,
        }
    }

    /// The status that the proxy answers by itself; None where an endpoint answers, or may.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unreadable { .. } => Some(400),
            Self::NoRoute => Some(404),
            Self::Forbidden => Some(403),
            Self::Refused { .. } => Some(StatusCode::SERVICE_UNAVAILABLE.get()),
            Self::ToHttps { code, .. } | Self::Redirected { code, .. } => Some(code.get()),
            Self::Forwarded(forwarded) => {
                let none = !forwarded.ways.iter().any(Way::has_endpoint);
                none.then_some(StatusCode::SERVICE_UNAVAILABLE.get())
            }
        }
    }

    /// Where the client is sent.
    pub fn location(&self) -> Option<&str> {
        match self {
            Self::ToHttps { location, .. } | Self::Redirected { location, .. } => Some(location),
            _ => None,
        }
    }
}

pub fn outcome(
    model: &Model,
    request: &Request,
    client: &Client,
    path: &PathStep,
    route: Option<&Route>,
) -> Outcome {
    if let Some(why) = path.problem {
        return Outcome::Unreadable { why };
    }
    let Some(route) = route else {
        return Outcome::NoRoute;
    };
    let policy = &route.policy;
    if let Some(redirect) = &policy.https_redirect
        && client.scheme == Scheme::Http
        && !is_challenge(path)
    {
        return Outcome::ToHttps {
            code: redirect.code,
            location: fill::https_location(redirect, request),
        };
    }
    let access = access::access(policy, client);
    if access.is_some_and(|access| access.verdict == Verdict::Denied) {
        return Outcome::Forbidden;
    }
    let facts = Facts::new(request, client.scheme, &route.path, &path.text);
    match &route.action {
        Action::Refuse(refusal) => Outcome::Refused { refusal: *refusal },
        Action::Redirect(redirect) => Outcome::Redirected {
            code: redirect.code,
            location: fill::location(&redirect.location, &facts),
        },
        Action::Forward(forward) => Outcome::Forwarded(forwarded(model, forward, &facts)),
    }
}

fn is_challenge(path: &PathStep) -> bool {
    path.octets.starts_with(CHALLENGES)
}

fn forwarded(model: &Model, forward: &Forward, facts: &Facts<'_>) -> Forwarded {
    let request = facts.request;
    let (rules, ways) = split::split(model, &forward.split, request);
    let host = forward.upstream_host.as_ref();
    Forwarded {
        target: fill::target(forward, facts),
        rewritten: forward.rewrite.is_some(),
        host: host.map_or(request.authority(), |h| h.as_str()).to_owned(),
        prefix: forward.forwarded_prefix.as_ref().map(ToString::to_string),
        rules,
        ways,
    }
}
