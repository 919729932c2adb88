//! Model and request → the route that takes the request, why it does and others do not, and what
//! becomes of it, down to the endpoints. Pure and total: the proxies are not asked here, so the
//! look-ups are written a third time, as both proxies do them (design: one normalised path, exact
//! hosts before wildcards before rules without a host, the best path of that host and of no other).
//! The cases hold all three to the same answers.
//!
//! It must never know how a model was rendered, nor who reads what it says.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

// In the order of a request's way.
pub mod request;
mod client;
mod path;
mod hosts;
mod routes;
mod access;
mod outcome;
mod split;
mod fill;
pub mod findings;

use serde::Serialize;

use crate::model::diagnostics::Origin;
use crate::model::names::{HostMatch, RouteId};
use crate::model::{Model, Policy, Route};

pub use access::{Access, Verdict};
pub use client::Client;
pub use hosts::{HostState, HostStep, TriedHost};
pub use outcome::{Forwarded, Outcome};
pub use path::PathStep;
pub use request::{Header, Request, Scheme, Url};
pub use routes::{Candidate, Place};
pub use split::{RuleTried, Way};

/// What is known of a request's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub url: String,
    pub client: Client,
    pub host: HostStep,
    pub path: PathStep,
    /// By https: the Secrets whose certificates are served; none is the default certificate.
    pub certificates: Vec<Origin>,
    /// The nearest routes of the host, in the order in which they go.
    pub candidates: Vec<Candidate>,
    /// How many routes of the host are not among them.
    pub others: usize,
    /// None where nothing takes the request.
    pub route: Option<RouteStep>,
    pub outcome: Outcome,
    /// What becomes of the request after a redirect to https.
    pub then: Option<Box<Explanation>>,
}

/// The route that takes a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteStep {
    pub id: RouteId,
    /// None for the default backend, which takes what no route takes.
    pub host: Option<HostMatch>,
    pub kind: &'static str,
    pub path: String,
    pub origin: Origin,
    pub policy: Policy,
    /// None where every client may use the route.
    pub access: Option<Access>,
}

impl RouteStep {
    fn of(route: &Route, host: Option<&HostMatch>, client: &Client) -> Self {
        Self {
            id: route.id.clone(),
            host: host.cloned(),
            kind: route.path.kind(),
            path: route.path.to_string(),
            origin: route.origin.clone(),
            policy: route.policy.clone(),
            access: access::access(&route.policy, client),
        }
    }
}

impl Explanation {
    /// Whether the request comes to an endpoint, or is sent elsewhere as it was asked for.
    pub fn works(&self) -> bool {
        match &self.then {
            Some(then) => then.works(),
            None => self.outcome.works(),
        }
    }
}

/// Explains what a proxy that runs the model does with a request.
pub fn explain(model: &Model, request: &Request) -> Explanation {
    let client = client::client(&model.listeners, request);
    let host = hosts::step(model, &request.host());
    let path = path::step(&request.url);
    let named = host.taken.as_ref();
    let found = named.and_then(|name| model.hosts.get_key_value(name));
    let table = routes::table(found.map(|(_, host)| host), &path);
    let taken = match &path.looked_up {
        None => None,
        Some(_) => match (found, table.taken) {
            (Some((name, host)), Some(at)) => host.routes.get(at).map(|route| (route, Some(name))),
            _ => model.fallback.as_ref().map(|route| (route, None)),
        },
    };
    let step = taken.map(|(route, name)| RouteStep::of(route, name, &client));
    let outcome = outcome::outcome(
        model,
        request,
        &client,
        &path,
        taken.map(|(route, _)| route),
    );
    let then = match &outcome {
        Outcome::ToHttps { location, .. } => request
            .at(location)
            .map(|https| Box::new(explain(model, &https))),
        _ => None,
    };
    Explanation {
        url: request.url.to_string(),
        certificates: certificates(model, &request.url, host.taken.as_ref()),
        client,
        host,
        path,
        candidates: table.candidates,
        others: table.others,
        route: step,
        outcome,
        then,
    }
}

/// A certificate is chosen by the name alone, whatever the path.
fn certificates(model: &Model, url: &Url, host: Option<&HostMatch>) -> Vec<Origin> {
    if url.scheme == Scheme::Http {
        return Vec::new();
    }
    let host = host.and_then(|name| model.hosts.get(name));
    let ids = host.map(|host| host.certificates.as_slice());
    let ids = ids.unwrap_or_default().iter();
    ids.filter_map(|id| model.certificates.get(id))
        .map(|certificate| certificate.origin.clone())
        .collect()
}

#[cfg(test)]
mod tests;
