//! Access lists as data: the longest prefix of an address in hexadecimal digits decides.
//!
//! Keys are `list/digits/prefix`, `digits` being 8 for IPv4 and 32 for IPv6, so one look-up serves
//! both. That `deny` goes first is worked out here: an allowed network inside a denied one is left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::maps::{Map, Maps};
use crate::model::AccessList;
use crate::model::diagnostics::Origin;

/// The lists that are written already: equal lists are one.
#[derive(Default)]
pub struct Lists(BTreeMap<AccessList, String>);

/// What an IPv4 address is prefixed with where a socket of both families accepted it.
const MAPPED: &str = "00000000000000000000FFFF";

impl Lists {
    /// The name of a list, which is written on its first use.
    pub fn write(&mut self, list: &AccessList, maps: &mut Maps, origin: &Origin) -> String {
        if let Some(id) = self.0.get(list) {
            return id.clone();
        }
        let entries = entries(list);
        let mut content = String::new();
        for (prefix, verdict) in &entries {
            let _ = writeln!(content, "{prefix} {}", verdict.as_str());
        }
        let id: String = blake3::hash(content.as_bytes())
            .to_hex()
            .chars()
            .take(12)
            .collect();
        if !self.0.values().any(|known| *known == id) {
            for (prefix, verdict) in &entries {
                maps.line(
                    Map::Access,
                    &format!("{id}/{prefix}"),
                    verdict.as_str(),
                    origin,
                );
            }
        }
        self.0.insert(list.clone(), id.clone());
        id
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Deny,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Prefixes, each with its verdict; the empty one takes what no other does.
pub fn entries(list: &AccessList) -> BTreeMap<String, Verdict> {
    let rest = match list.allow.is_empty() {
        true => Verdict::Allow,
        false => Verdict::Deny,
    };
    let mut entries = BTreeMap::from([(String::new(), rest), (format!("32/{MAPPED}"), rest)]);
    for network in &list.allow {
        if !list.deny.iter().any(|denied| denied.contains(network)) {
            add(&mut entries, network, Verdict::Allow);
        }
    }
    for network in &list.deny {
        add(&mut entries, network, Verdict::Deny);
    }
    entries
}

fn add(entries: &mut BTreeMap<String, Verdict>, network: &IpNet, verdict: Verdict) {
    for prefix in prefixes(network) {
        match network {
            IpNet::V4(_) => {
                entries.insert(format!("32/{MAPPED}{prefix}"), verdict);
                entries.insert(format!("8/{prefix}"), verdict);
            }
            IpNet::V6(_) => {
                entries.insert(format!("32/{prefix}"), verdict);
            }
        }
    }
}

/// A network as prefixes of whole digits: one, or up to eight where its length is no multiple of 4.
fn prefixes(network: &IpNet) -> Vec<String> {
    let mut digits = String::new();
    match network.network() {
        IpAddr::V4(address) => address.octets().iter().for_each(|b| hex(&mut digits, *b)),
        IpAddr::V6(address) => address.octets().iter().for_each(|b| hex(&mut digits, *b)),
    }
    let length = usize::from(network.prefix_len());
    let whole = digits.get(..length / 4).unwrap_or(&digits);
    let rest = length % 4;
    let last = digits.get(length / 4..length / 4 + 1);
    match last.and_then(|digit| u8::from_str_radix(digit, 16).ok()) {
        Some(first) if rest > 0 => (0..1u8 << (4 - rest))
            .map(|step| format!("{whole}{:X}", first + step))
            .collect(),
        _ => vec![whole.to_owned()],
    }
}

fn hex(digits: &mut String, byte: u8) {
    let _ = write!(digits, "{byte:02X}");
}
