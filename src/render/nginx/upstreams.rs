//! Upstreams, and the DNS names by which nginx asks for their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use askama::Template;

use super::sheet::{Sheets, print};
use super::words::Comment;
use super::{Placement, roomy};
use crate::model::names::UpstreamName;
use crate::model::{Endpoint, Endpoints, Model, Protocol, Upstream};
use crate::render::bundle::{Bundle, Content, Pool};
use crate::render::pool;

/// What a name without endpoints is answered with, in the family that is asked for: group addresses,
/// to which TCP fails at once on any port. An empty answer would make nginx forget the upstream and
/// ask again after ten seconds only.
pub const NO_ENDPOINT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 1)),
];

/// The port of an upstream without endpoints whose Service names its port: pods decide the number.
const DISCARD: u16 = 9;

/// Where no resolver is given, as in a bundle that is only looked at.
const NO_RESOLVER: &[SocketAddr] = &[SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10_053)];

pub fn resolvers(placement: &Placement) -> &[SocketAddr] {
    match placement.resolvers.as_slice() {
        [] => NO_RESOLVER,
        given => given,
    }
}

/// The last label of every name that nginx asks for.
const DOMAIN: &str = ".vigie";

const FOLDER: &str = "upstreams/";

#[derive(Template)]
#[template(path = "nginx/upstream.conf")]
struct UpstreamConf<'a> {
    label: Comment,
    name: &'a UpstreamName,
    /// Where the endpoints have IPv6 addresses only; all others use the one of nginx.conf.
    resolvers: Option<&'a [SocketAddr]>,
    servers: Vec<String>,
    keepalive: usize,
}

/// The upstreams that locations may name.
pub type Written<'a> = BTreeMap<&'a UpstreamName, Protocol>;

pub fn write<'a>(model: &'a Model, placement: &Placement, sheets: &mut Sheets) -> Written<'a> {
    let mut written = Written::new();
    let count = model.upstreams.len();
    for (name, upstream) in &model.upstreams {
        let only_v6 = family(endpoints(upstream)) == Family::V6;
        let text = print(&UpstreamConf {
            label: Comment::new(&upstream.label),
            name,
            resolvers: only_v6.then(|| resolvers(placement)),
            servers: ports(upstream).map(|port| server(name, port)).collect(),
            keepalive: keepalive(count),
        });
        if !text.is_empty() {
            sheets.file(&file(name)).add_of(&text, &upstream.origin);
            written.insert(name, upstream.protocol);
        }
    }
    written
}

/// The upstreams of a model, as if all could be written.
pub fn protocols(model: &Model) -> Written<'_> {
    let upstreams = model.upstreams.iter();
    upstreams
        .map(|(name, upstream)| (name, upstream.protocol))
        .collect()
}

fn file(name: &UpstreamName) -> String {
    // Names begin with a hash.
    let bucket = name.as_str().get(..2).unwrap_or_default();
    format!("{FOLDER}{bucket}.conf")
}

fn server(name: &UpstreamName, port: u16) -> String {
    format!("{name}.p{port}{DOMAIN}:{port}")
}

fn endpoints(upstream: &Upstream) -> &[Endpoint] {
    match &upstream.endpoints {
        Endpoints::Addresses(endpoints) => endpoints,
        Endpoints::Name { .. } => &[],
    }
}

fn ports(upstream: &Upstream) -> impl Iterator<Item = u16> {
    let mut ports: BTreeSet<u16> = match &upstream.endpoints {
        Endpoints::Addresses(endpoints) => endpoints.iter().map(|e| e.port).collect(),
        Endpoints::Name { port, .. } => [*port].into(),
    };
    if ports.is_empty() {
        ports.insert(upstream.port.unwrap_or(DISCARD));
    }
    ports.into_iter()
}

/// One zone for all, in megabytes: each its own would cost 30 KB and a slower start. An endpoint takes
/// 0.8 KB; an upstream is given room for eight of them, so that the zone seldom follows from anything
/// else. Pages that are not used cost nothing. There is room for twice as many endpoints as there are,
/// and one more changes a file only where that passes a power of two.
pub fn zone_megabytes(model: &Model) -> usize {
    let all = model.upstreams.values();
    let endpoints: usize = all.map(|upstream| endpoints(upstream).len()).sum();
    let kilobytes = model.upstreams.len() * 8 + endpoints;
    roomy(kilobytes.div_ceil(1024), 16)
}

/// Idle connections that a worker keeps to an upstream.
fn keepalive(upstreams: usize) -> usize {
    (32_768 / roomy(upstreams, 1)).clamp(4, 32)
}

/// Connections of a worker: clients, what they cause, and all idle ones to endpoints.
pub fn connections(upstreams: usize) -> usize {
    16_384 + roomy(upstreams, 1) * keepalive(upstreams)
}

/// Endpoints, apart from structure.
pub fn pools(model: &Model) -> BTreeMap<UpstreamName, Pool> {
    let upstreams = model.upstreams.iter();
    upstreams
        .map(|(name, upstream)| (name.clone(), pool(upstream, None)))
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Where both exist, IPv4 is used.
fn family(endpoints: &[Endpoint]) -> Family {
    let only_v6 = !endpoints.is_empty() && endpoints.iter().all(|e| e.address.is_ipv6());
    if only_v6 { Family::V6 } else { Family::V4 }
}

/// The names that this bundle's nginx asks for (lower case, without a dot at the end) and their
/// answers, none of which is empty.
pub fn dns_zone(bundle: &Bundle) -> BTreeMap<String, Vec<IpAddr>> {
    let pools: BTreeMap<&str, &Pool> = bundle.pools.iter().map(|(n, p)| (n.as_str(), p)).collect();
    let mut zone = BTreeMap::new();
    for (name, upstream, port) in asked(bundle) {
        let endpoints = pools.get(upstream).map_or(&[][..], |pool| &pool.endpoints);
        let family = family(endpoints);
        let of_port = endpoints.iter().filter(|e| e.port == port);
        let addresses: BTreeSet<IpAddr> = of_port
            .map(|e| e.address)
            .filter(|a| a.is_ipv6() == (family == Family::V6))
            .collect();
        let answer = match addresses.is_empty() {
            true => NO_ENDPOINT.to_vec(),
            false => addresses.into_iter().collect(),
        };
        zone.insert(name.to_owned(), answer);
    }
    zone
}

/// Reads names, upstreams and ports out of the `server` lines, so that a bundle says all there is to
/// know wherever it comes from.
fn asked(bundle: &Bundle) -> impl Iterator<Item = (&str, &str, u16)> {
    let files = bundle.structure.iter();
    let texts = files.filter_map(|(file, content)| match content {
        Content::Text(text) if file.starts_with(FOLDER) => Some(text),
        _ => None,
    });
    texts.flat_map(|text| text.lines()).filter_map(|line| {
        let server = line.trim_start().strip_prefix("server ")?;
        let (name, port) = server.split_once(' ')?.0.split_once(':')?;
        let upstream = name.strip_suffix(DOMAIN)?.rsplit_once(".p")?.0;
        Some((name, upstream, port.parse().ok()?))
    })
}
