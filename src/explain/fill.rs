//! Templates filled as the proxies fill them: what an endpoint is asked for, and where clients are
//! sent.

use super::path::stood_for;
use super::request::{Request, Scheme};
use crate::model::names::{Template, TemplatePart};
use crate::model::{Forward, HttpsRedirect, PathMatch};

/// What of a request can stand in a template.
pub struct Facts<'a> {
    pub request: &'a Request,
    pub scheme: Scheme,
    /// Groups of the route's expression, from `$1` on, decoded.
    groups: Vec<String>,
}

impl<'a> Facts<'a> {
    pub fn new(request: &'a Request, scheme: Scheme, route: &PathMatch, path: &str) -> Self {
        let groups = match route {
            PathMatch::Regex(regex) => regex.groups_of(path).unwrap_or_default(),
            _ => Vec::new(),
        };
        Self {
            request,
            scheme,
            groups,
        }
    }

    fn part(&self, part: &TemplatePart) -> String {
        match part {
            TemplatePart::Literal(text) => text.clone(),
            TemplatePart::Group(number) => {
                let at = usize::from(*number).checked_sub(1);
                let group = at.and_then(|at| self.groups.get(at));
                group.cloned().unwrap_or_default()
            }
            TemplatePart::RequestUri => self.request.url.target(),
            TemplatePart::Host => self.request.host(),
            TemplatePart::Scheme => self.scheme.to_string(),
            TemplatePart::QuerySuffix => match self.request.url.query.as_deref() {
                None | Some("") => String::new(),
                Some(query) => format!("?{query}"),
            },
        }
    }

    fn filled(&self, parts: &[TemplatePart]) -> String {
        parts.iter().map(|part| self.part(part)).collect()
    }
}

/// Path and query as an endpoint gets them.
pub fn target(forward: &Forward, facts: &Facts<'_>) -> String {
    let url = &facts.request.url;
    let Some(template) = &forward.rewrite else {
        return url.target();
    };
    let (path, query) = path_and_query(template);
    let is_literal = path.iter().all(|p| matches!(p, TemplatePart::Literal(_)));
    let mut target = match is_literal {
        true => facts.filled(&path),
        false => {
            let parts: Vec<TemplatePart> = path.iter().map(decoded).collect();
            encoded(&facts.filled(&parts), is_legal)
        }
    };
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    let own = facts.filled(&query);
    let queries = [Some(own.as_str()), url.query.as_deref()];
    let queries: Vec<&str> = queries
        .into_iter()
        .flatten()
        .filter(|q| !q.is_empty())
        .collect();
    match queries.as_slice() {
        [] => target,
        queries => format!("{target}?{}", queries.join("&")),
    }
}

/// The Location of a redirect.
pub fn location(template: &Template, facts: &Facts<'_>) -> String {
    encoded(&facts.filled(template.parts()), |byte| {
        byte.is_ascii_graphic()
    })
}

/// The Location of a redirect to https, on the usual port.
pub fn https_location(redirect: &HttpsRedirect, request: &Request) -> String {
    let location = format!("https://{}{}", request.host(), request.url.target());
    match location.strip_suffix('/') {
        Some(stripped) if redirect.strip_trailing_slash => stripped.to_owned(),
        _ => location,
    }
}

/// The parts before and after a template's first '?'.
fn path_and_query(template: &Template) -> (Vec<TemplatePart>, Vec<TemplatePart>) {
    let (mut path, mut query) = (Vec::new(), Vec::new());
    let mut in_query = false;
    for part in template.parts() {
        match part {
            TemplatePart::Literal(text) if !in_query && text.contains('?') => {
                let (before, after) = text.split_once('?').unwrap_or((text, ""));
                path.push(TemplatePart::Literal(before.to_owned()));
                query.push(TemplatePart::Literal(after.to_owned()));
                in_query = true;
            }
            part if in_query => query.push(part.clone()),
            part => path.push(part.clone()),
        }
    }
    (path, query)
}

/// A literal beside groups is decoded as far as it is printable, since the whole is encoded again.
fn decoded(part: &TemplatePart) -> TemplatePart {
    let TemplatePart::Literal(text) = part else {
        return part.clone();
    };
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| matches!(byte, b' '..=b'~' if *byte != b'\\')) {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(piece.get(2..).unwrap_or_default());
            }
            None => {
                decoded.push('%');
                decoded.push_str(piece);
            }
        }
    }
    TemplatePart::Literal(decoded)
}

fn encoded(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut push = |byte: u8| match is_kept(byte) {
        true => encoded.push(char::from(byte)),
        false => encoded.push_str(&format!("%{byte:02X}")),
    };
    for c in text.chars() {
        match stood_for(c) {
            Some(octet) => push(octet),
            None => c.encode_utf8(&mut [0; 4]).bytes().for_each(&mut push),
        }
    }
    encoded
}

/// What a path may hold as it is (RFC 3986, section 3.3), and the '/' between its elements.
fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}
