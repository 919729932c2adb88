//! `haproxy.cfg`: the text that no host and no route changes.

use std::fmt::Write as _;
use std::net::SocketAddr;

use askama::Template;
use ipnet::IpNet;

use super::{certificates, patterns};
use crate::model::{BodyLimit, Model};
use crate::render::Placement;

pub const TRUSTED: &str = "maps/trusted.list";

/// How many proxies in a row are believed in X-Forwarded-For; rules cannot loop.
const HOPS: u8 = 8;

#[derive(Template)]
#[template(path = "haproxy/haproxy.cfg")]
struct Main {
    http: Vec<String>,
    https: Vec<String>,
    accept_proxy: bool,
    expect_proxy: bool,
    believes: bool,
    strict_sni: bool,
    hops: Vec<(u8, u8)>,
    buckets: Vec<String>,
    body_limit: u64,
    https_port: String,
    redirects: Vec<u16>,
}

pub fn main(model: &Model, placement: &Placement) -> String {
    let listeners = &model.listeners;
    let trusts = !listeners.trusted_proxies.is_empty();
    let main = Main {
        http: binds(&placement.http),
        https: binds(&placement.https),
        accept_proxy: listeners.proxy_protocol && !trusts,
        expect_proxy: listeners.proxy_protocol && trusts,
        believes: trusts && !listeners.proxy_protocol,
        strict_sni: !certificates::has_default(model),
        hops: (1..=HOPS).map(|hop| (hop, hop - 1)).collect(),
        buckets: (0..patterns::BUCKETS).map(patterns::bucket_name).collect(),
        body_limit: BodyLimit::default().octets.unwrap_or(u64::MAX),
        https_port: placement.https_port(),
        redirects: (300..=308).collect(),
    };
    // The escaper refuses nothing of the above: addresses, numbers and our own names.
    let mut text = main.render().unwrap_or_default();
    text.push('\n');
    text
}

fn binds(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(SocketAddr::to_string).collect()
}

pub fn trusted(networks: &[IpNet]) -> String {
    let mut text = String::new();
    for network in networks {
        let _ = writeln!(text, "{network}");
    }
    text
}
