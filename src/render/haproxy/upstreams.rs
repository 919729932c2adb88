//! `upstreams.cfg`: one backend for each upstream, and the pools that fill them.

use std::collections::BTreeMap;

use askama::Template;

use crate::model::names::UpstreamName;
use crate::model::{Model, Protocol};
use crate::render::bundle::{Pool, RenderedRange, Section};
use crate::render::pool;

use super::CONFIGURATION;

/// The named defaults of every backend.
pub const PROFILE: &str = "vigie-upstream";

#[derive(Template)]
#[template(path = "haproxy/backend.cfg")]
struct Backend<'a> {
    name: &'a str,
    profile: &'a str,
}

pub struct Upstreams {
    pub pools: BTreeMap<UpstreamName, Pool>,
    pub origins: Vec<RenderedRange>,
}

/// All backends belong to one profile: what differs between protocols stands in the server's line,
/// as it does when a server is added at run time.
pub fn write(model: &Model) -> Upstreams {
    let mut pools = BTreeMap::new();
    let mut origins = Vec::with_capacity(model.upstreams.len());
    for (name, upstream) in &model.upstreams {
        let backend = Backend {
            name: name.as_str(),
            profile: PROFILE,
        };
        let Ok(head) = backend.render() else {
            continue;
        };
        let line = pools.len() + 1;
        origins.push(RenderedRange {
            file: CONFIGURATION[1].into(),
            first: line,
            last: line,
            origin: upstream.origin.clone(),
        });
        let section = Section {
            head,
            before: "  server ".into(),
            after: options(upstream.protocol).into(),
        };
        pools.insert(name.clone(), pool(upstream, Some(section)));
    }
    Upstreams { pools, origins }
}

fn options(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "",
        Protocol::Https => " ssl verify none sni req.hdr(host),host_only alpn http/1.1",
        Protocol::H2c | Protocol::Grpc => " proto h2",
        Protocol::Grpcs => " ssl verify none sni req.hdr(host),host_only alpn h2",
    }
}
