//! Who asks, and by which scheme: a trusted proxy in front is believed about both.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::request::{Request, Scheme};
use crate::model::Listeners;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// None where it was not said.
    pub address: Option<IpAddr>,
    pub scheme: Scheme,
    /// Whether a trusted proxy in front said so.
    pub believed: bool,
}

pub fn client(listeners: &Listeners, request: &Request) -> Client {
    let trusted = &listeners.trusted_proxies;
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| holds(network, address));
    // The peer of a PROXY header speaks for the connection, not for the headers that pass by it.
    let believed = !listeners.proxy_protocol && request.client.is_some_and(|c| is_trusted(&c));
    if !believed {
        return Client {
            address: request.client,
            scheme: request.url.scheme,
            believed: false,
        };
    }
    let mut address = request.client;
    let chain: Vec<&str> = request.values("x-forwarded-for").collect();
    for hop in chain.join(",").rsplit(',').map(str::trim) {
        let Ok(hop) = hop.parse::<IpAddr>() else {
            break;
        };
        address = Some(hop);
        if !is_trusted(&hop) {
            break;
        }
    }
    let told = request.values("x-forwarded-proto").next();
    let scheme = match told.map(str::to_ascii_lowercase).as_deref() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => request.url.scheme,
    };
    Client {
        address,
        scheme,
        believed,
    }
}

/// An IPv4 address is the same however a socket of both families writes it.
pub fn holds(network: &IpNet, address: &IpAddr) -> bool {
    network.contains(&address.to_canonical())
}
