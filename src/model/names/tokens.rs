use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{NameError, named};

/// A header or cookie name: a token of RFC 9110, section 5.6.2, in lower case for headers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HeaderName(String);

impl HeaderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a header name; header names ignore case, so it is made lower case.
    pub fn header(raw: &str) -> Result<Self, NameError> {
        Self::token(raw).map(|name| Self(name.0.to_ascii_lowercase()))
    }

    /// Reads a cookie name, which heeds case.
    pub fn cookie(raw: &str) -> Result<Self, NameError> {
        Self::token(raw)
    }

    fn token(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() || raw.len() > 128 {
            return Err(NameError::new("a name has 1 to 128 characters"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        match raw.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(NameError::new(format!(
                "it holds {}; letters, digits and '-' are allowed",
                named(c)
            ))),
            None => Ok(Self(raw.to_owned())),
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A header value: printable ASCII and inner spaces, at most 1024 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HeaderValue(String);

impl HeaderValue {
    /// The value that chooses a canary.
    pub fn always() -> Self {
        Self("always".into())
    }

    /// The value that refuses a canary.
    pub fn never() -> Self {
        Self("never".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderValue {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() || raw.len() > 1024 {
            return Err(NameError::new("a header value has 1 to 1024 characters"));
        }
        if raw.trim() != raw {
            return Err(NameError::new("it begins or ends with a space"));
        }
        match raw.chars().find(|&c| !(c.is_ascii_graphic() || c == ' ')) {
            Some(c) => Err(NameError::new(format!(
                "it holds {}; printable ASCII characters are allowed",
                named(c)
            ))),
            None => Ok(Self(raw.to_owned())),
        }
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A status code of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StatusCode(u16);

impl StatusCode {
    pub const MOVED_PERMANENTLY: Self = Self(301);
    pub const FOUND: Self = Self(302);
    pub const PERMANENT_REDIRECT: Self = Self(308);
    pub const SERVICE_UNAVAILABLE: Self = Self(503);

    /// A code that redirects: 300 to 308.
    pub fn redirect(code: u16) -> Option<Self> {
        (300..=308).contains(&code).then_some(Self(code))
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names of our own making: `[a-z0-9._-]`, made once here and printed everywhere.
macro_rules! made_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

made_name! {
    /// Names an upstream in both proxies, in metrics and in logs: a short hash of the whole identity
    /// first (nginx compares names from the front), then as much of it as a DNS label holds.
    UpstreamName
}

made_name! {
    /// Names a route: a hash of host, path kind and path. Two routes never share one.
    RouteId
}

made_name! {
    /// Names a certificate by the Secret it comes from, not by its content: a rotated certificate
    /// keeps its file.
    CertificateId
}

impl UpstreamName {
    /// The name of the pool behind one port of a Service, spoken to in one protocol.
    pub fn new(namespace: &str, service: &str, port: &str, protocol: &str) -> Self {
        let hash = short_hash(&[namespace, service, port, protocol], 8);
        Self(label(&format!("{hash}-{namespace}-{service}-{port}"), 63))
    }
}

impl RouteId {
    pub fn new(host: &str, kind: &str, path: &str) -> Self {
        Self(short_hash(&[host, kind, path], 12))
    }
}

impl CertificateId {
    pub fn new(namespace: &str, secret: &str) -> Self {
        let hash = short_hash(&[namespace, secret], 8);
        Self(label(&format!("{hash}-{namespace}-{secret}"), 120))
    }

    /// The certificate that is served where no other fits.
    pub fn default_certificate() -> Self {
        Self("default".into())
    }
}

/// Hexadecimal digits of a digest over parts; the parts cannot run into each other.
fn short_hash(parts: &[&str], digits: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex().chars().take(digits).collect()
}

/// Keeps what a label may hold, replaces the rest by '-' and cuts at `longest` characters. Object
/// names of the API hold nothing else; the hash keeps names apart that fall together here.
fn label(text: &str, longest: usize) -> String {
    let kept = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' => c,
        _ => '-',
    };
    let cut: String = text.chars().take(longest).map(kept).collect();
    cut.trim_end_matches('-').to_owned()
}
