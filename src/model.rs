//! The proxy-neutral meaning of all objects: listeners, hosts, routes, upstreams, certificates.
//!
//! Plain data with an origin on each item. It must never know Kubernetes objects, nor any proxy.
//! Every string in it is a newtype of [`names`], so a renderer decides only how to quote.
//!
//! Order is meaning: [`Host::routes`] stand in the order in which they are tried where paths are
//! regular expressions, and in the order of their paths otherwise (exact before longest prefix is
//! then a law of the match itself).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod diagnostics;
pub mod names;
pub mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Date;
use serde::Serialize;

use diagnostics::Origin;
use names::{
    CertificateId, DnsName, HeaderName, HeaderValue, HostMatch, HostName, PathRegex, RouteId,
    RoutePath, StatusCode, Template, UpstreamName, ValueRegex,
};

/// Everything a proxy is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Model {
    pub listeners: Listeners,
    /// Shared with the models that differ in endpoints alone.
    pub hosts: Arc<BTreeMap<HostMatch, Host>>,
    /// Takes what no route takes; without it the default answer is 404. Its path is the root prefix.
    pub fallback: Option<Route>,
    pub upstreams: BTreeMap<UpstreamName, Upstream>,
    pub certificates: BTreeMap<CertificateId, Certificate>,
    /// Served where no host's certificate fits. A model made by `translate` always has one if the
    /// options gave one; without it TLS handshakes for other names fail.
    pub default_certificate: Option<CertificateId>,
}

/// What holds for every connection. Addresses are not part of the meaning: they are given where a
/// bundle is rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listeners {
    /// Every connection begins with a PROXY protocol header (version 1 or 2).
    pub proxy_protocol: bool,
    /// Peers whose X-Forwarded-* and X-Real-IP headers are believed; from all others they are
    /// replaced. With `proxy_protocol`, the peers whose PROXY header is believed; empty means all.
    pub trusted_proxies: Vec<IpNet>,
}

/// One virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Certificates to choose from for this name: none (the default one is served), one, or an
    /// ECDSA and an RSA one.
    pub certificates: Vec<CertificateId>,
    /// Either no route has a regular expression (then exact beats prefix, and the longest prefix
    /// wins), or all have one and the first that matches wins.
    pub routes: Vec<Route>,
}

impl Host {
    /// Whether the paths are an ordered list of regular expressions.
    pub fn is_ordered(&self) -> bool {
        self.routes
            .iter()
            .any(|route| matches!(route.path, PathMatch::Regex(_)))
    }
}

/// A match under a host, and what happens to the requests that it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    pub id: RouteId,
    pub path: PathMatch,
    pub action: Action,
    pub policy: Policy,
    /// The Ingress and the path entry (or annotation) that asked for it.
    pub origin: Origin,
}

/// All hold against the normalised, decoded path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PathMatch {
    Exact(RoutePath),
    /// Whole elements: `/foo` takes `/foo` and `/foo/bar`, not `/foobar`. Never ends with '/' but
    /// for the root.
    Prefix(RoutePath),
    /// Characters: `/foo` takes `/foobar` too (ingress-nginx's ImplementationSpecific).
    PlainPrefix(RoutePath),
    Regex(PathRegex),
}

impl PathMatch {
    /// `exact`, `prefix`, `plain-prefix` or `regex`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Prefix(_) => "prefix",
            Self::PlainPrefix(_) => "plain-prefix",
            Self::Regex(_) => "regex",
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) | Self::Prefix(path) | Self::PlainPrefix(path) => path.fmt(f),
            Self::Regex(regex) => regex.fmt(f),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    /// Answered by the proxy with 503, because forwarding would be wrong or unsafe.
    Refuse(Refusal),
}

/// Why a route answers 503 by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Refusal {
    /// The Service or its port does not exist.
    BackendNotFound,
    /// An annotation that guards access cannot be honoured.
    GuardNotHonoured,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    pub split: Split,
    /// Replaces the whole path; the query stays. Groups are those of the route's regular expression.
    pub rewrite: Option<Template>,
    /// Sent as X-Forwarded-Prefix.
    pub forwarded_prefix: Option<HeaderValue>,
    /// Sent as Host instead of the client's.
    pub upstream_host: Option<HeaderValue>,
}

impl Forward {
    /// Requests go there as they are.
    pub fn to(primary: UpstreamName) -> Self {
        Self {
            split: Split::to(primary),
            rewrite: None,
            forwarded_prefix: None,
            upstream_host: None,
        }
    }
}

/// Which upstream a request goes to: the first rule that holds, then a share, then the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Split {
    pub primary: UpstreamName,
    pub rules: Vec<SplitRule>,
    /// Shares of the requests that no rule decided; together at most [`Share::WHOLE`].
    pub shares: Vec<Share>,
}

impl Split {
    pub fn to(primary: UpstreamName) -> Self {
        Self {
            primary,
            rules: Vec::new(),
            shares: Vec::new(),
        }
    }

    pub fn is_plain(&self) -> bool {
        self.rules.is_empty() && self.shares.is_empty()
    }

    /// Every upstream that a request may go to; one may be named more than once.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamName> {
        let rules = self.rules.iter().map(|rule| &rule.upstream);
        let shares = self.shares.iter().map(|share| &share.upstream);
        std::iter::once(&self.primary).chain(rules).chain(shares)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitRule {
    pub field: SplitField,
    pub value: ValueMatch,
    pub upstream: UpstreamName,
    pub origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum SplitField {
    Header(HeaderName),
    Cookie(HeaderName),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ValueMatch {
    Exact(HeaderValue),
    /// Found anywhere in the value.
    Regex(ValueRegex),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    pub upstream: UpstreamName,
    /// Of [`Share::WHOLE`], never 0.
    pub parts: u32,
    pub origin: Origin,
}

impl Share {
    /// Shares are counted in hundredths of a percent.
    pub const WHOLE: u32 = 10_000;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// A URL, or a path of the same scheme and host.
    pub location: Template,
    pub code: StatusCode,
}

/// What a route does to requests whatever its action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Requests by http are sent to https; paths below `/.well-known/acme-challenge/` are exempt.
    pub https_redirect: Option<HttpsRedirect>,
    /// Strict-Transport-Security on answers by https.
    pub hsts: Option<Hsts>,
    pub timeouts: Timeouts,
    pub body_limit: BodyLimit,
    pub access: Option<AccessList>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpsRedirect {
    pub code: StatusCode,
    /// As ingress-nginx does, a '/' at the end of path and query is left out.
    pub strip_trailing_slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hsts {
    /// In seconds.
    pub max_age: u64,
    pub include_subdomains: bool,
    pub preload: bool,
}

impl fmt::Display for Hsts {
    /// The header's value (RFC 6797, section 6.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-age={}", self.max_age)?;
        if self.include_subdomains {
            f.write_str("; includeSubDomains")?;
        }
        if self.preload {
            f.write_str("; preload")?;
        }
        Ok(())
    }
}

/// Whole seconds, at least one. `read` and `send` are between two successive reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    pub connect: Duration,
    pub read: Duration,
    pub send: Duration,
}

impl Default for Timeouts {
    /// What ingress-nginx has.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(60),
            send: Duration::from_secs(60),
        }
    }
}

/// The largest request body; a larger one is answered 413.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BodyLimit {
    /// In octets; None is no limit.
    pub octets: Option<u64>,
    /// The annotation that set it, where it is not the default.
    pub origin: Option<Origin>,
}

impl Default for BodyLimit {
    /// 1 MiB, as both nginx and ingress-nginx have it.
    fn default() -> Self {
        Self {
            octets: Some(1 << 20),
            origin: None,
        }
    }
}

/// Who may use a route, by client address: a denied address gets 403; so does one that is not
/// allowed where `allow` is not empty. `deny` goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccessList {
    pub deny: Vec<IpNet>,
    pub allow: Vec<IpNet>,
}

/// A pool of endpoints behind one port of a Service, spoken to in one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// `namespace/service:port`, for people.
    pub label: String,
    pub protocol: Protocol,
    /// The Service's own port.
    pub service_port: u16,
    /// The port that endpoints have by the Service's word, known while there are none.
    pub port: Option<u16>,
    pub endpoints: Endpoints,
    /// The Service.
    pub origin: Origin,
}

/// What is spoken to the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Protocol {
    /// HTTP/1.1, in which WebSocket upgrades pass.
    Http,
    /// HTTP/1.1 over TLS; the certificate is not verified.
    Https,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// gRPC over HTTP/2 without TLS.
    Grpc,
    /// gRPC over HTTP/2 over TLS; the certificate is not verified.
    Grpcs,
}

impl Protocol {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Endpoints {
    /// What serves now, sorted, without duplicates; empty is answered 503.
    Addresses(Vec<Endpoint>),
    /// An ExternalName Service: a name that the agent resolves.
    Name { name: DnsName, port: u16 },
}

/// One address and port that takes requests.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// A chain with its key, ready to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Chain (leaf first) and key, re-encoded by us, without blank lines.
    pub pem: PrivatePem,
    pub key: KeyKind,
    /// Subject alternative names of kind DNS, `*.` kept.
    pub names: Vec<String>,
    /// The last day on which the leaf is valid.
    pub not_after: Date,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum KeyKind {
    Ecdsa,
    Rsa,
    Ed25519,
}

/// Text that holds a private key: compared and written, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivatePem(Arc<str>);

impl PrivatePem {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who writes the file.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivatePem(redacted)")
    }
}

impl Serialize for PrivatePem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("redacted")
    }
}

/// The name under a wildcard that stands for "any one label", for checks of certificates.
pub fn certificate_covers(names: &[String], host: &HostMatch) -> bool {
    let covers_name = |name: &HostName| {
        let wildcard = name
            .as_str()
            .split_once('.')
            .map(|(_, rest)| format!("*.{rest}"));
        names.iter().any(|san| {
            san.eq_ignore_ascii_case(name.as_str())
                || wildcard
                    .as_deref()
                    .is_some_and(|w| san.eq_ignore_ascii_case(w))
        })
    };
    match host {
        HostMatch::Exact(name) => covers_name(name),
        HostMatch::Wildcard(rest) => names
            .iter()
            .any(|san| san.eq_ignore_ascii_case(&format!("*.{rest}"))),
        HostMatch::Any => true,
    }
}
