//! What a location does with the requests that it takes, as words for its template.

use askama::Template;
use ipnet::IpNet;

use super::limits;
use super::locations::{self, Matcher, Place};
use super::settings::{Seconds, octets};
use super::splits::Splits;
use super::upstreams::Written;
use super::words::{Comment, Literal, Text};
use crate::model::names::{self, RouteId, TemplatePart};
use crate::model::{
    Action, BodyLimit, Forward, PathMatch, Protocol, Redirect, Refusal, Route, Timeouts,
};

pub const NO_ROUTE: (u16, &str) = (404, "vigie: no route for this host and path");
const CLOSED: (u16, &str) = (503, "vigie: this route is closed: see its findings");

#[derive(Template)]
#[template(path = "nginx/location.conf")]
pub struct Location<'a> {
    comment: Comment,
    matchers: &'a [Matcher],
    /// With the route's text; None where no route takes the request.
    ingress: Option<Text>,
    route: Text,
    hsts: Option<Text>,
    body_limit: Option<u64>,
    https: Option<ToHttps>,
    deny: Vec<IpNet>,
    allow: Vec<IpNet>,
    /// The named location that answers, where access rules must come first: `return` would be done
    /// before them.
    guarded: Option<&'a RouteId>,
    answer: Answer,
}

struct ToHttps {
    code: u16,
    port: String,
    /// The variable that holds path and query.
    uri: &'static str,
}

enum Answer {
    Text(u16, &'static str),
    Forward(ForwardTo),
    Redirect(RedirectTo),
}

struct ForwardTo {
    module: &'static str,
    scheme: &'static str,
    /// A name, or the variable of a split.
    upstream: String,
    host: Option<Text>,
    prefix: Option<Text>,
    timeouts: Option<Seconds>,
    rewrite: Option<Rewrite>,
}

struct Rewrite {
    pattern: Literal,
    target: Text,
}

struct RedirectTo {
    code: u16,
    location: Text,
    /// The expression whose groups are in the location.
    pattern: Option<Literal>,
    has_query: bool,
}

/// What the locations of one host need to know.
pub struct Context<'a, 'm> {
    pub host: &'a str,
    /// As [`Placement::https_port`] writes it.
    pub https_port: String,
    pub fallback: Option<&'m Route>,
    pub upstreams: &'a Written<'m>,
    pub splits: &'a mut Splits,
}

impl<'m> Context<'_, 'm> {
    /// The location of a place, and the route whose it is.
    pub fn location<'p>(&mut self, place: &'p Place<'m>) -> (Location<'p>, Option<&'m Route>)
    where
        'm: 'p,
    {
        let matchers = &place.matchers;
        match (place.route, self.fallback) {
            (Some(route), _) => (self.of_route(route, self.host, matchers), Some(route)),
            (None, Some(route)) => (self.of_route(route, "", matchers), Some(route)),
            (None, None) => (nothing(matchers), None),
        }
    }

    fn of_route<'p>(
        &mut self,
        route: &'m Route,
        host: &str,
        matchers: &'p [Matcher],
    ) -> Location<'p>
    where
        'm: 'p,
    {
        let policy = &route.policy;
        let object = &route.origin.object;
        let answer = self.answer(route);
        let access = policy.access.clone().unwrap_or_default();
        let has_access = !(access.deny.is_empty() && access.allow.is_empty());
        let forwards = matches!(answer, Answer::Forward(_));
        Location {
            comment: Comment::new(&format!("{} {} of {object}", route.path.kind(), route.path)),
            matchers,
            ingress: Some(Text::new(&object.path())),
            route: Text::new(&format!("{host}{}", route.path)),
            hsts: policy.hsts.as_ref().map(|h| Text::new(&h.to_string())),
            body_limit: (policy.body_limit.octets != BodyLimit::default().octets)
                .then(|| octets(&policy.body_limit)),
            https: policy.https_redirect.as_ref().map(|redirect| ToHttps {
                code: limits::redirect_code(redirect.code),
                port: self.https_port.clone(),
                uri: match redirect.strip_trailing_slash {
                    true => "request_uri_stripped",
                    false => "request_uri",
                },
            }),
            deny: networks(&access.deny),
            allow: networks(&access.allow),
            guarded: (has_access && !forwards).then_some(&route.id),
            answer,
        }
    }

    fn answer(&mut self, route: &Route) -> Answer {
        if limits::closes(route) {
            return closed();
        }
        match &route.action {
            Action::Refuse(Refusal::BackendNotFound | Refusal::GuardNotHonoured) => closed(),
            Action::Redirect(redirect) => Answer::Redirect(redirect_to(redirect, &route.path)),
            Action::Forward(forward) => self.forward(forward, route),
        }
    }

    fn forward(&mut self, forward: &Forward, route: &Route) -> Answer {
        let primary = &forward.split.primary;
        let Some(protocol) = self.upstreams.get(primary) else {
            return closed();
        };
        let (module, scheme) = match protocol {
            Protocol::Http => ("proxy", "http"),
            Protocol::Https => ("proxy", "https"),
            // Speaks HTTP/2 to endpoints whatever a request is; `proxy` does so since 1.29.4 only.
            Protocol::H2c | Protocol::Grpc => ("grpc", "grpc"),
            Protocol::Grpcs => ("grpc", "grpcs"),
        };
        let upstream = match self
            .splits
            .variable(&forward.split, self.upstreams, &route.origin)
        {
            Some(variable) => format!("${variable}"),
            None => primary.to_string(),
        };
        let timeouts = &route.policy.timeouts;
        Answer::Forward(ForwardTo {
            module,
            scheme,
            upstream,
            host: forward
                .upstream_host
                .as_ref()
                .map(|h| Text::new(h.as_str())),
            prefix: forward
                .forwarded_prefix
                .as_ref()
                .map(|p| Text::new(p.as_str())),
            timeouts: (*timeouts != Timeouts::default()).then(|| Seconds::of(timeouts)),
            rewrite: forward.rewrite.as_ref().map(|to| rewrite(to, &route.path)),
        })
    }
}

fn closed() -> Answer {
    Answer::Text(CLOSED.0, CLOSED.1)
}

/// What takes the rest where there is no fallback.
fn nothing(matchers: &[Matcher]) -> Location<'_> {
    Location {
        comment: Comment::new("what no route takes"),
        matchers,
        ingress: None,
        route: Text::default(),
        hsts: None,
        body_limit: None,
        https: None,
        deny: Vec::new(),
        allow: Vec::new(),
        guarded: None,
        answer: Answer::Text(NO_ROUTE.0, NO_ROUTE.1),
    }
}

impl Location<'_> {
    pub fn forwards(&self) -> bool {
        matches!(self.answer, Answer::Forward(_))
    }
}

fn networks(networks: &[IpNet]) -> Vec<IpNet> {
    networks.iter().map(IpNet::trunc).collect()
}

/// An expression for `rewrite`, which has no modifier for case.
fn pattern(path: &PathMatch) -> Literal {
    let flags = match path {
        PathMatch::Regex(regex) if regex.ignores_case() => "(?i)",
        _ => "",
    };
    Literal::new(&format!("{flags}{}", locations::expression(path)))
}

fn rewrite(target: &names::Template, path: &PathMatch) -> Rewrite {
    let mut parts = Vec::new();
    // A path begins with '/', or with a group or URI that does.
    let begins_otherwise = match target.parts().first() {
        Some(TemplatePart::Literal(text)) => !text.starts_with('/'),
        Some(TemplatePart::Group(_) | TemplatePart::RequestUri) => false,
        _ => true,
    };
    if begins_otherwise {
        parts.push(TemplatePart::Literal("/".into()));
    }
    // nginx adds the query by itself.
    let wanted = target.parts().iter();
    parts.extend(
        wanted
            .filter(|part| **part != TemplatePart::QuerySuffix)
            .cloned(),
    );
    Rewrite {
        pattern: match target.highest_group() {
            0 => Literal::new("^"),
            _ => pattern(path),
        },
        target: Text::of(&names::Template::of(parts)),
    }
}

fn redirect_to(redirect: &Redirect, path: &PathMatch) -> RedirectTo {
    let template = &redirect.location;
    RedirectTo {
        code: limits::redirect_code(redirect.code),
        location: Text::of(template),
        pattern: (template.highest_group() > 0).then(|| pattern(path)),
        has_query: template.parts().contains(&TemplatePart::QuerySuffix),
    }
}
