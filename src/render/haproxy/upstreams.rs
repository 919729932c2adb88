//! `upstreams.cfg`: one backend for each upstream, and the pools that fill them.

use std::collections::BTreeMap;

use askama::Template;

use crate::model::names::UpstreamName;
use crate::model::{Model, Protocol};
use crate::render::bundle::{EndpointLine, Piece, Pool, RenderedRange};
use crate::render::pool;

use super::CONFIGURATION;

#[derive(Template)]
#[template(path = "haproxy/backend.cfg")]
struct Backend<'a> {
    name: &'a str,
}

pub struct Upstreams {
    pub pieces: Vec<Piece>,
    pub pools: BTreeMap<UpstreamName, Pool>,
    pub origins: Vec<RenderedRange>,
}

/// All backends belong to one profile: what differs between protocols stands in the server's line,
/// as it does when a server is added at run time.
pub fn write(model: &Model) -> Upstreams {
    let mut pieces = Vec::with_capacity(model.upstreams.len() * 2);
    let mut pools = BTreeMap::new();
    let mut origins = Vec::with_capacity(model.upstreams.len());
    let mut lines = 0;
    for (name, upstream) in &model.upstreams {
        let backend = Backend {
            name: name.as_str(),
        };
        let Ok(mut text) = backend.render() else {
            continue;
        };
        text.push('\n');
        let count = text.lines().count();
        origins.push(RenderedRange {
            file: CONFIGURATION[1].into(),
            first: lines + 1,
            last: lines + count,
            origin: upstream.origin.clone(),
        });
        lines += count;
        pieces.push(Piece::Text(text));
        pieces.push(Piece::Endpoints(name.clone()));
        let line = line(upstream.protocol);
        pools.insert(name.clone(), pool(upstream, Some(line)));
    }
    Upstreams {
        pieces,
        pools,
        origins,
    }
}

fn line(protocol: Protocol) -> EndpointLine {
    EndpointLine {
        before: "  server ".into(),
        after: options(protocol).into(),
    }
}

fn options(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "",
        Protocol::Https => " ssl verify none sni req.hdr(host),host_only alpn http/1.1",
        Protocol::H2c | Protocol::Grpc => " proto h2",
        Protocol::Grpcs => " ssl verify none sni req.hdr(host),host_only alpn h2",
    }
}
