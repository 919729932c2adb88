//! A request as it is asked about: a URL taken apart but not changed, headers and the client.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use crate::model::names::{HeaderName, shown};

/// Why a text is not what was asked for: what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub url: Url,
    pub headers: Vec<Header>,
    /// Whoever opens the connection; with the PROXY protocol, whom its header names.
    pub client: Option<IpAddr>,
}

impl Request {
    pub fn get(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            client: None,
        }
    }

    /// The values of a header, by its name in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.headers.iter().filter(move |h| h.name.as_str() == name);
        named.map(|header| header.value.as_str())
    }

    /// What is sent as Host.
    pub fn authority(&self) -> &str {
        self.values("host").next().unwrap_or(&self.url.authority)
    }

    /// The host as it is looked up: lower case, without port and final dot.
    pub fn host(&self) -> String {
        let authority = self.authority();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        host.trim_end_matches('.').to_ascii_lowercase()
    }

    /// The same client's request for another URL. What a proxy in front said of the scheme does not
    /// hold for it.
    pub fn at(&self, url: &str) -> Option<Self> {
        let mut next = self.clone();
        next.url = url.parse().ok()?;
        next.headers
            .retain(|h| !matches!(h.name.as_str(), "host" | "x-forwarded-proto"));
        Some(next)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// As a client sends it: path and query are ASCII without white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    /// Host and port as written.
    pub authority: String,
    /// Begins with '/'.
    pub path: String,
    /// What follows the '?', where there is one.
    pub query: Option<String>,
}

impl Url {
    /// Path and query.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.target())
    }
}

impl FromStr for Url {
    type Err = RequestError;

    fn from_str(raw: &str) -> Result<Self, RequestError> {
        let Some((scheme, rest)) = raw.split_once("://") else {
            return Err(RequestError(format!(
                "{} has no scheme; write http:// or https://, a host and a path, such as https://shop.example.com/api",
                shown(raw)
            )));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => {
                return Err(RequestError(format!(
                    "its scheme is {}; http and https are allowed",
                    shown(scheme)
                )));
            }
        };
        // What follows a '#' stays in the browser.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        check_authority(authority)?;
        let target = sent(target)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            path: if path.is_empty() { "/".into() } else { path },
            query,
        })
    }
}

fn check_authority(authority: &str) -> Result<(), RequestError> {
    let wrong = |text: String| Err(RequestError(text));
    if authority.contains('@') {
        return wrong("it holds a user name; write the host alone".into());
    }
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|p| p > 0)) {
        let port = shown(port.unwrap_or_default());
        return wrong(format!("its port is {port}; 1 to 65535 are allowed"));
    }
    if host.starts_with('[') && host.ends_with(']') {
        return Ok(());
    }
    if host.is_empty() {
        return wrong("it has no host; write one before the path".into());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if let Some(c) = host.chars().find(|&c| !allowed(c)) {
        let c = shown(&c.to_string());
        return wrong(format!(
            "its host holds {c}; letters, digits, '-', '.' and '_' are allowed, other letters in their xn-- form"
        ));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.split('.').any(str::is_empty) {
        return wrong(format!(
            "its host {} has an empty label (two dots, or a dot at an end)",
            shown(host)
        ));
    }
    Ok(())
}

/// Path and query as clients send them: what is not ASCII is percent-encoded.
fn sent(target: &str) -> Result<String, RequestError> {
    let mut text = String::with_capacity(target.len());
    for c in target.chars() {
        match c {
            c if c.is_ascii_graphic() => text.push(c),
            c if c.is_ascii() => {
                return Err(RequestError(format!(
                    "its path or query holds {}; percent-encode it: %{:02X}",
                    shown(&c.to_string()),
                    u32::from(c)
                )));
            }
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    text.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    Ok(text)
}

/// A header of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: HeaderName,
    pub value: String,
}

impl FromStr for Header {
    type Err = RequestError;

    fn from_str(raw: &str) -> Result<Self, RequestError> {
        let wrong = |why: String| RequestError(format!("{why}; write a header as 'Name: value'"));
        let Some((name, value)) = raw.split_once(':') else {
            return Err(wrong(format!("{} holds no ':'", shown(raw))));
        };
        let name = HeaderName::header(name.trim())
            .map_err(|error| wrong(format!("{}: {error}", shown(name))))?;
        let value = value.trim();
        if value.chars().any(char::is_control) {
            return Err(wrong(format!("{} holds a control character", shown(value))));
        }
        Ok(Self {
            name,
            value: value.to_owned(),
        })
    }
}
