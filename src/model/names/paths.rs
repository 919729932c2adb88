use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{NameError, named};

/// A literal path of a rule, percent-decoded: what a normalised request path is held against.
///
/// Both proxies match on the normalised path (percent-escapes decoded, slashes merged, dot segments
/// removed), so a path that normalisation would change could never match and is refused here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoutePath(String);

/// The API server's own limit for a path is higher; no URL of this length works in practice.
const LONGEST: usize = 4096;

impl RoutePath {
    /// The path `/`.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The decoded path: UTF-8 without control characters, beginning with '/'.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The path with every octet percent-encoded but '/' and the unreserved characters of RFC 3986
    /// (letters, digits, `-._~`): one spelling for each path, without spaces, quotes or '#'.
    pub fn encoded(&self) -> String {
        encode(&self.0)
    }

    /// The path without the '/' at its end; the root stays `/`.
    pub fn without_trailing_slash(&self) -> Self {
        match self.0.strip_suffix('/') {
            Some(rest) if !rest.is_empty() => Self(rest.to_owned()),
            _ => self.clone(),
        }
    }
}

/// Percent-encodes all but '/' and the unreserved characters of RFC 3986, section 2.3.
fn encode(decoded: &str) -> String {
    let mut text = String::with_capacity(decoded.len());
    for byte in decoded.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Decodes percent-escapes once.
fn decode(raw: &str) -> Result<String, NameError> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    let wrong = || {
        NameError::new(
            "it holds a '%' that no two hexadecimal digits follow; write %25 for the character itself",
        )
    };
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(wrong()),
        }
    }
    String::from_utf8(bytes).map_err(|_| NameError::new("its percent-escapes are not UTF-8"))
}

impl FromStr for RoutePath {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        if !raw.starts_with('/') {
            return Err(NameError::new("it does not begin with '/'"));
        }
        if raw.len() > LONGEST {
            return Err(NameError::new(format!(
                "it is {} characters long; a path has at most {LONGEST}",
                raw.len()
            )));
        }
        let path = decode(raw)?;
        if let Some(c) = path.chars().find(|c| c.is_control()) {
            return Err(NameError::new(format!("it holds {}", named(c))));
        }
        if path.contains("//") {
            return Err(NameError::new(
                "it holds \"//\", which a proxy merges to \"/\" before it looks for a route",
            ));
        }
        if path
            .split('/')
            .any(|element| element == "." || element == "..")
        {
            return Err(NameError::new(
                "it holds the element \".\" or \"..\", which a proxy removes before it looks for a route",
            ));
        }
        Ok(Self(path))
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
