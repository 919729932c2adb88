use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{NameError, named};

/// A text with holes that the proxy fills for each request: the target of a rewrite or a redirect.
///
/// Written as ingress-nginx's users write it: `$1` to `$9` are groups of the path's regular
/// expression; `$request_uri`, `$host` and `$scheme` are of the request. No other variable exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

/// One piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TemplatePart {
    /// Printable ASCII without space, quote, backslash, '$', '<' and '>'.
    Literal(String),
    /// Group 1 to 9 of the path's regular expression.
    Group(u8),
    /// The request's path and query as the client sent them.
    RequestUri,
    /// The request's host, without a port.
    Host,
    /// `http` or `https`.
    Scheme,
    /// `?` and the request's query where it has one, otherwise nothing.
    QuerySuffix,
}

const VARIABLES: [(&str, TemplatePart); 3] = [
    ("request_uri", TemplatePart::RequestUri),
    ("host", TemplatePart::Host),
    ("scheme", TemplatePart::Scheme),
];

impl Template {
    /// A template of parts that this project makes itself.
    pub fn of(parts: Vec<TemplatePart>) -> Self {
        Self { parts }
    }

    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The highest group that is named, 0 where there is none.
    pub fn highest_group(&self) -> u8 {
        self.parts
            .iter()
            .map(|part| match part {
                TemplatePart::Group(n) => *n,
                _ => 0,
            })
            .max()
            .unwrap_or(0)
    }

    /// Whether it begins with `http://` or `https://`.
    pub fn is_url(&self) -> bool {
        matches!(self.parts.first(), Some(TemplatePart::Literal(text))
            if text.starts_with("http://") || text.starts_with("https://"))
            || self.parts.first() == Some(&TemplatePart::Scheme)
    }

    pub fn is_path(&self) -> bool {
        match self.parts.first() {
            Some(TemplatePart::Literal(text)) => text.starts_with('/'),
            Some(TemplatePart::RequestUri) => true,
            _ => false,
        }
    }
}

impl FromStr for Template {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() {
            return Err(NameError::new("it is empty"));
        }
        if raw.len() > 2048 {
            return Err(NameError::new(format!(
                "it is {} characters long; at most 2048 are allowed",
                raw.len()
            )));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = raw;
        while let Some(c) = rest.chars().next() {
            if c == '$' {
                let (part, after) = variable(&rest[1..])?;
                if !literal.is_empty() {
                    parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                rest = after;
                continue;
            }
            if !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '\\' | '<' | '>' | '`') {
                return Err(NameError::new(format!(
                    "it holds {}; percent-encode what a URL cannot hold",
                    named(c)
                )));
            }
            literal.push(c);
            rest = &rest[c.len_utf8()..];
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        Ok(Self { parts })
    }
}

/// Reads what follows a '$'; braces around a name are allowed, as in nginx.
fn variable(rest: &str) -> Result<(TemplatePart, &str), NameError> {
    let unknown = || {
        NameError::new(
            "it holds a '$' that begins none of $1 to $9, $request_uri, $host and $scheme",
        )
    };
    let (name, after) = match rest.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or_else(unknown)?,
        None => {
            let digit = rest.chars().next().is_some_and(|c| c.is_ascii_digit());
            let end = match digit {
                true => 1,
                false => rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len()),
            };
            rest.split_at(end)
        }
    };
    if let Ok(group @ 1..=9) = name.parse::<u8>() {
        return Ok((TemplatePart::Group(group), after));
    }
    VARIABLES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, part)| (part.clone(), after))
        .ok_or_else(unknown)
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                TemplatePart::Literal(text) => f.write_str(text)?,
                TemplatePart::Group(n) => write!(f, "${n}")?,
                TemplatePart::RequestUri => f.write_str("$request_uri")?,
                TemplatePart::Host => f.write_str("$host")?,
                TemplatePart::Scheme => f.write_str("$scheme")?,
                TemplatePart::QuerySuffix => f.write_str("$is_args$args")?,
            }
        }
        Ok(())
    }
}
