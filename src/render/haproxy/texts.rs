//! Templates of paths and locations as data.
//!
//! A text without holes is a literal. One whose holes are all groups is filled by the look-up that
//! found the route. Any other is filled by a second look-up, over scheme, host, URI and path.

use crate::model::PathMatch;
use crate::model::names::{Template, TemplatePart};

use super::patterns;

/// How a template is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Literal(String),
    /// The value of a regular expression's line, groups as `\1`.
    Groups(String),
    /// What follows `id/name` in the key of a line of `templates.map`, and its value.
    Parts {
        pattern: String,
        value: String,
    },
}

/// HAProxy knows the groups 1 to 9.
const GROUPS: usize = 9;

/// None where it would need more than nine groups, or the groups cannot be counted.
pub fn text(parts: &[TemplatePart], path: &PathMatch) -> Option<Text> {
    let holes = parts
        .iter()
        .filter(|part| !matches!(part, TemplatePart::Literal(_)));
    let only_groups = holes
        .clone()
        .all(|part| matches!(part, TemplatePart::Group(_)));
    if holes.count() == 0 {
        return Some(Text::Literal(fill(parts, |_| String::new())));
    }
    let regex = match path {
        PathMatch::Regex(regex) => Some(regex),
        _ => None,
    };
    let groups = regex.map_or(0, |regex| regex.groups().min(GROUPS));
    if only_groups {
        return Some(match groups {
            0 => Text::Literal(fill(parts, |_| String::new())),
            _ => Text::Groups(fill(parts, |part| group(part, groups, 0))),
        });
    }
    let line = Line::of(parts);
    let highest = parts.iter().map(number).max().unwrap_or(0).min(groups);
    if line.groups + highest > GROUPS
        || (highest > 0 && regex.is_some_and(|r| !patterns::can_be_shifted(r)))
    {
        return None;
    }
    let mut pattern = line.pattern.clone();
    if highest > 0 {
        pattern.push_str(&patterns::path(path));
    }
    let value = fill(parts, |part| match part {
        TemplatePart::Group(_) => group(part, groups, line.groups),
        _ => line.reference(part),
    });
    Some(Text::Parts { pattern, value })
}

/// The path of a template and, where it holds a '?', its query.
pub fn path_and_query(template: &Template) -> (Vec<TemplatePart>, Option<Vec<TemplatePart>>) {
    let mut path = Vec::new();
    let mut query: Option<Vec<TemplatePart>> = None;
    for part in template.parts() {
        match (&mut query, part) {
            (None, TemplatePart::Literal(text)) if text.contains('?') => {
                let (before, after) = text.split_once('?').unwrap_or((text, ""));
                path.push(TemplatePart::Literal(before.to_owned()));
                query = Some(vec![TemplatePart::Literal(after.to_owned())]);
            }
            (Some(query), part) => query.push(part.clone()),
            (None, part) => path.push(part.clone()),
        }
    }
    let full = |parts: &Vec<TemplatePart>| {
        parts
            .iter()
            .any(|p| !matches!(p, TemplatePart::Literal(text) if text.is_empty()))
    };
    (path, query.filter(full))
}

/// Percent-escapes of literals decoded, for a path that is encoded as a whole once its groups stand
/// in it.
pub fn decoded(parts: &[TemplatePart]) -> Vec<TemplatePart> {
    parts
        .iter()
        .map(|part| match part {
            TemplatePart::Literal(text) => TemplatePart::Literal(decode(text)),
            other => other.clone(),
        })
        .collect()
}

/// Decodes printable ASCII only; other escapes stay, and are encoded twice as nginx does.
fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|b| matches!(b, b' '..=b'~' if *b != b'\\')) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    decoded
}

fn number(part: &TemplatePart) -> usize {
    match part {
        TemplatePart::Group(n) => usize::from(*n),
        _ => 0,
    }
}

/// A group that the expression does not have is empty, as in nginx.
fn group(part: &TemplatePart, groups: usize, before: usize) -> String {
    match number(part) {
        n if n >= 1 && n <= groups => format!("\\{}", n + before),
        _ => String::new(),
    }
}

/// Literals hold no backslash, so only holes are replaced in a value.
fn fill(parts: &[TemplatePart], hole: impl Fn(&TemplatePart) -> String) -> String {
    parts
        .iter()
        .map(|part| match part {
            TemplatePart::Literal(text) => text.clone(),
            other => hole(other),
        })
        .collect()
}

/// The expression over the parts of a request that stand before its path, each on a line.
struct Line {
    pattern: String,
    groups: usize,
    scheme: usize,
    host: usize,
    uri: usize,
    query: usize,
}

impl Line {
    fn of(parts: &[TemplatePart]) -> Self {
        let uses = |wanted: TemplatePart| parts.contains(&wanted);
        let mut groups = 0;
        let mut capture = |used: bool, pattern: &str| match used {
            true => {
                groups += 1;
                (format!("({pattern})"), groups)
            }
            false => (format!("(?:{pattern})"), 0),
        };
        let (scheme_pattern, scheme) = capture(uses(TemplatePart::Scheme), ".*");
        let (host_pattern, host) = capture(uses(TemplatePart::Host), ".*");
        let (uri_pattern, uri) = match uses(TemplatePart::RequestUri) {
            true => {
                let (_, uri) = capture(true, "");
                ("(", uri)
            }
            false => ("(?:", 0),
        };
        let (query_pattern, query) = capture(uses(TemplatePart::QuerySuffix), "\\?.+");
        let pattern = format!(
            "\\n{scheme_pattern}\\n{host_pattern}\\n{uri_pattern}[^?\\n]*(?:{query_pattern}|\\??))\\n"
        );
        Self {
            pattern,
            groups,
            scheme,
            host,
            uri,
            query,
        }
    }

    fn reference(&self, part: &TemplatePart) -> String {
        let group = match part {
            TemplatePart::Scheme => self.scheme,
            TemplatePart::Host => self.host,
            TemplatePart::RequestUri => self.uri,
            TemplatePart::QuerySuffix => self.query,
            TemplatePart::Literal(_) | TemplatePart::Group(_) => 0,
        };
        format!("\\{group}")
    }
}
