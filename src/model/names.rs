//! Newtypes for every user string that may reach a template. A value of one of these types has been
//! parsed, so a renderer needs to ask only how to quote it, never whether it may be printed.
//!
//! A parse error says what was found and what is allowed; the caller adds the object and the field.

mod hosts;
pub mod near;
mod paths;
mod regexes;
mod templates;
mod tokens;

pub use hosts::{DnsName, HostMatch, HostName};
pub use paths::RoutePath;
pub use regexes::{PathRegex, ValueRegex};
pub use templates::{Template, TemplatePart};
pub use tokens::{CertificateId, HeaderName, HeaderValue, RouteId, StatusCode, UpstreamName};

/// Why a string is not a value of a newtype: what was found and what is allowed, as one clause
/// ("it holds a space; a host name is made of letters, digits, '-' and '.'").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

impl NameError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Shows a user's string in a message: quoted, control characters escaped, cut at 80 characters.
pub fn shown(raw: &str) -> String {
    const LIMIT: usize = 80;
    let mut text: String = raw
        .chars()
        .take(LIMIT)
        .flat_map(char::escape_debug)
        .collect();
    if raw.chars().nth(LIMIT).is_some() {
        text.push('…');
    }
    format!("\"{text}\"")
}

/// A text of several parts as a message may hold it: control characters escaped, cut at 1000
/// characters. What a user wrote must neither move a terminal's cursor nor fill a status.
pub fn printable(mut text: String) -> String {
    const LIMIT: usize = 1000;
    let is_cut = cut(&mut text, LIMIT);
    if text.chars().any(char::is_control) {
        let escaped = |c: char| match c.is_control() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        };
        text = text.chars().map(escaped).collect();
    }
    if cut(&mut text, LIMIT) || is_cut {
        text.push('…');
    }
    text
}

/// Whether there were more characters than that.
fn cut(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return false;
    };
    text.truncate(end);
    true
}

/// Names a character in a message, so that an invisible one can be found too.
pub(crate) fn named(character: char) -> String {
    match character {
        ' ' => "a space".into(),
        '\n' => "a line break".into(),
        '\0' => "a NUL character".into(),
        '"' => "a double quote".into(),
        '\'' => "a single quote".into(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c => format!("'{c}'"),
    }
}

#[cfg(test)]
mod tests;
