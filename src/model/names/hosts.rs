use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{NameError, named};

/// A host name as an Ingress rule holds it: lower-case DNS labels of RFC 1123, at most 253 octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HostName(String);

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        labels(raw, |c| c.is_ascii_lowercase() || c.is_ascii_digit())?;
        Ok(Self(raw.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the rules that every DNS name shares; `letter` says which characters a label may hold
/// beside '-'.
fn labels(raw: &str, letter: impl Fn(char) -> bool) -> Result<(), NameError> {
    if raw.is_empty() {
        return Err(NameError::new("it is empty"));
    }
    if raw.len() > 253 {
        return Err(NameError::new(format!(
            "it is {} characters long; a name has at most 253",
            raw.len()
        )));
    }
    if let Some(c) = raw.chars().find(|&c| !(letter(c) || c == '-' || c == '.')) {
        return Err(NameError::new(format!(
            "it holds {}; lower-case letters, digits, '-' and '.' are allowed",
            named(c)
        )));
    }
    for label in raw.split('.') {
        if label.is_empty() {
            return Err(NameError::new(
                "it has an empty label (two dots, or a dot at an end)",
            ));
        }
        if label.len() > 63 {
            return Err(NameError::new(
                "one of its labels is longer than 63 characters",
            ));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(NameError::new("one of its labels begins or ends with '-'"));
        }
    }
    Ok(())
}

/// What the Host of a request is held against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostMatch {
    /// One name.
    Exact(HostName),
    /// One label before this name: `*.example.com` holds `example.com`.
    Wildcard(HostName),
    /// A rule without a host: every request that no other host takes.
    Any,
}

impl FromStr for HostMatch {
    type Err = NameError;

    /// Reads `spec.rules[].host`: empty is any host, `*.name` is one label before the name.
    fn from_str(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() || raw == "*" {
            return Ok(Self::Any);
        }
        match raw.strip_prefix("*.") {
            Some(rest) => rest.parse().map(Self::Wildcard),
            None => raw.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(rest) => write!(f, "*.{rest}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Serialize for HostMatch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name to be resolved (`spec.externalName`), or sent as Host: as [`HostName`], but '_' and
/// capital letters are let through and made lower case, since real names hold them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DnsName(String);

impl DnsName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        let name = raw.strip_suffix('.').unwrap_or(raw);
        labels(name, |c| c.is_ascii_alphanumeric() || c == '_')?;
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
