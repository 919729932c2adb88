//! What a proxy in service can do, by its kind and version.

use std::fmt;
use std::str::FromStr;

use super::ProxyKind;

/// A proxy and its version, as it printed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capabilities {
    pub proxy: ProxyKind,
    pub version: Version,
}

/// Major, minor and patch, ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `1.30.6`, `3.4.7-1` or `3.4`; what follows the numbers is ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(|n| n.parse::<u16>().ok());
        let mut next = || numbers.next().flatten();
        match (next(), next()) {
            (Some(major), Some(minor)) => Ok(Self(major, minor, next().unwrap_or(0))),
            _ => Err(format!("\"{text}\" is not a version such as 1.30.6")),
        }
    }
}

impl Capabilities {
    /// The oldest version of a proxy that is served at all (design decision: older ones are refused).
    pub fn oldest(proxy: ProxyKind) -> Version {
        match proxy {
            ProxyKind::Nginx => Version(1, 28, 0),
            ProxyKind::Haproxy => Version(3, 4, 0),
        }
    }

    /// What is assumed where no proxy is at hand: the newest line that the project is tested with.
    pub fn assumed(proxy: ProxyKind) -> Self {
        let version = match proxy {
            ProxyKind::Nginx => Version(1, 30, 0),
            ProxyKind::Haproxy => Version(3, 4, 0),
        };
        Self { proxy, version }
    }

    pub fn is_served(&self) -> bool {
        self.version >= Self::oldest(self.proxy)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.proxy {
            ProxyKind::Nginx => write!(f, "nginx {}", self.version),
            ProxyKind::Haproxy => write!(f, "HAProxy {}", self.version),
        }
    }
}
