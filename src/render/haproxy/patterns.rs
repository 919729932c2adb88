//! Regular expressions as lines of a map.

use crate::model::PathMatch;
use crate::model::names::PathRegex;

/// How many files the ordered hosts are spread over. Each costs one comparison for every request
/// that is not plain; the lines of one are walked for every request of its hosts.
pub const BUCKETS: u8 = 16;

pub fn bucket_name(bucket: u8) -> String {
    format!("{bucket:02x}")
}

/// Which file holds a host's expressions.
pub fn bucket_of(host: &str) -> u8 {
    let digest = blake3::hash(host.as_bytes());
    digest.as_bytes().first().copied().unwrap_or(0) % BUCKETS
}

/// A literal as an expression: what is neither letter nor digit is written as its code, so nothing
/// in it has a meaning to the engine or to the line.
pub fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'_' => pattern.push(char::from(byte)),
            _ => pattern.push_str(&format!("\\x{byte:02X}")),
        }
    }
    pattern
}

/// A group that matches what the path does, at the start of a decoded path.
pub fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Regex(regex) => {
            let source = without_spaces(regex.source());
            match regex.ignores_case() {
                true => format!("(?i:{source})"),
                false => format!("(?:{source})"),
            }
        }
        PathMatch::Exact(path) => format!("{}$", literal(path.as_str())),
        PathMatch::Prefix(path) => {
            let path = path.as_str().trim_end_matches('/');
            format!("{}(?:/|$)", literal(path))
        }
        PathMatch::PlainPrefix(path) => literal(path.as_str()),
    }
}

/// A space would end the key of a line.
pub fn without_spaces(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' => text.push_str("\\x20"),
            '\\' => match characters.next() {
                Some(' ') => text.push_str("\\x20"),
                Some(next) => text.extend(['\\', next]),
                None => text.push('\\'),
            },
            _ => text.push(c),
        }
    }
    text
}

/// Whether an expression keeps its meaning inside a larger one: comments of the extended syntax
/// would swallow what follows.
pub fn can_be_embedded(source: &str) -> bool {
    !flags(source).any(|flags| flags.contains('x'))
}

/// The letters of each `(?letters)` and `(?letters:`.
fn flags(source: &str) -> impl Iterator<Item = &str> {
    source.split("(?").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphabetic() || c == '-'))
            .unwrap_or(rest.len());
        match rest[end..].starts_with([':', ')']) {
            true => &rest[..end],
            false => "",
        }
    })
}

/// Whether groups before it may be added: an expression that refers to its own by number cannot.
pub fn can_be_shifted(regex: &PathRegex) -> bool {
    let mut characters = regex.source().chars();
    while let Some(c) = characters.next() {
        if c == '\\'
            && characters
                .next()
                .is_some_and(|next| next.is_ascii_digit() || next == 'g')
        {
            return false;
        }
    }
    true
}
