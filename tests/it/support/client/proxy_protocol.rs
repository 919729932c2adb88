//! The PROXY protocol header that a load balancer puts before a connection.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// Who the connection is said to come from: `1.2.3.4:5` in version 1, `v2 1.2.3.4:5` in version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    pub version: Version,
    pub source: SocketAddr,
}

impl FromStr for ProxyHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, source) = match text.split_once(' ') {
            Some(("v2", source)) => (Version::V2, source),
            Some(("v1", source)) => (Version::V1, source),
            _ => (Version::V1, text),
        };
        let source = source
            .parse()
            .map_err(|_| format!("`{text}` is no PROXY header: `ADDRESS:PORT` or `v2 …`"))?;
        Ok(ProxyHeader { version, source })
    }
}

impl ProxyHeader {
    /// The header as bytes. Both addresses must be of one family, so `to` is mapped if need be.
    pub fn encode(&self, to: SocketAddr) -> Vec<u8> {
        let to = match (self.source.ip(), to.ip()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) => {
                SocketAddr::new(v4.to_ipv6_mapped().into(), to.port())
            }
            _ => to,
        };
        match self.version {
            Version::V1 => self.text(to).into_bytes(),
            Version::V2 => self.binary(to),
        }
    }

    fn text(&self, to: SocketAddr) -> String {
        let family = if self.source.is_ipv4() {
            "TCP4"
        } else {
            "TCP6"
        };
        let (from, from_port) = (self.source.ip(), self.source.port());
        format!(
            "PROXY {family} {from} {} {from_port} {}\r\n",
            to.ip(),
            to.port()
        )
    }

    fn binary(&self, to: SocketAddr) -> Vec<u8> {
        let mut addresses = Vec::new();
        for ip in [self.source.ip(), to.ip()] {
            match ip {
                IpAddr::V4(ip) => addresses.extend(ip.octets()),
                IpAddr::V6(ip) => addresses.extend(ip.octets()),
            }
        }
        for port in [self.source.port(), to.port()] {
            addresses.extend(port.to_be_bytes());
        }
        // Version 2, command PROXY; then the family with TCP, and the length of what follows.
        let family = if self.source.is_ipv4() { 0x11 } else { 0x21 };
        let length = u16::try_from(addresses.len()).unwrap_or(0).to_be_bytes();
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.push(family);
        header.extend(length);
        header.extend(addresses);
        header
    }
}
