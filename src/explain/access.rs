//! Whether a client's address may use a route.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::client::{Client, holds};
use crate::model::{AccessList, Policy};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    pub list: AccessList,
    pub verdict: Verdict,
    /// The network that decided.
    pub network: Option<IpNet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Allowed,
    Denied,
    /// The client's address was not said.
    Unknown,
}

pub fn access(policy: &Policy, client: &Client) -> Option<Access> {
    let list = policy.access.clone()?;
    if list.deny.is_empty() && list.allow.is_empty() {
        return None;
    }
    let (verdict, network) = match &client.address {
        None => (Verdict::Unknown, None),
        Some(address) => verdict(&list, address),
    };
    Some(Access {
        list,
        verdict,
        network,
    })
}

/// `deny` goes first; what an `allow` does not name is denied where there is one.
fn verdict(list: &AccessList, address: &IpAddr) -> (Verdict, Option<IpNet>) {
    let find = |networks: &[IpNet]| networks.iter().find(|n| holds(n, address)).copied();
    if let Some(network) = find(&list.deny) {
        return (Verdict::Denied, Some(network));
    }
    match find(&list.allow) {
        Some(network) => (Verdict::Allowed, Some(network)),
        None if list.allow.is_empty() => (Verdict::Allowed, None),
        None => (Verdict::Denied, None),
    }
}
