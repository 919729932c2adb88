//! Hosts and routes as lines of maps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::maps::{Map, Maps};
use super::texts::{self, Text};
use super::{access, limits, patterns, splits};
use crate::model::diagnostics::Origin;
use crate::model::names::HostMatch;
use crate::model::{
    Action, BodyLimit, Forward, Host, HttpsRedirect, Model, PathMatch, Redirect, Route, Timeouts,
};

/// What a route does beyond forwarding; the letter stands in its value, and its rules look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `access`: the list that a client's address must pass.
    Access,
    /// `limit`: another body limit than the default one.
    Body,
    /// `connect`: another time-out than the default one, in milliseconds.
    Connect,
    /// `read`: another time-out than the default one, in milliseconds.
    Read,
    /// `prefix`: sent as X-Forwarded-Prefix.
    Prefix,
    /// `host`: sent as Host.
    Host,
    /// `path`: a path to send instead.
    Literal,
    /// The look-up by regular expression gives the text, after a '|'.
    Groups,
    /// `path` of templates.map: a path with parts of the request.
    Parts,
    /// `query` of templates.map: goes before the request's own query.
    Query,
    /// split-fields.map and split-values.map: rules by regular expression.
    ValueRules,
    /// split-rules.map: rules by exact value.
    Rules,
    /// shares.map.
    Shares,
}

impl Flag {
    fn letter(self) -> char {
        match self {
            Self::Access => 'A',
            Self::Body => 'B',
            Self::Connect => 'C',
            Self::Read => 'T',
            Self::Prefix => 'P',
            Self::Host => 'H',
            Self::Literal => 'W',
            Self::Groups => 'R',
            Self::Parts => 'V',
            Self::Query => 'Q',
            Self::ValueRules => 'G',
            Self::Rules => 'S',
            Self::Shares => 'K',
        }
    }
}

pub const REDIRECT: &str = "vigie-redirect";
pub const REFUSE: &str = "vigie-refuse";
/// Answers 404.
const NONE: &str = "vigie-none";

pub fn write(model: &Model, maps: &mut Maps) {
    let mut lists = access::Lists::default();
    let mut guards = Vec::new();
    for (name, host) in model.hosts.iter() {
        let Some(origin) = host.routes.first().map(|route| &route.origin) else {
            // A host without routes is known all the same, so that no wildcard host answers for it.
            let origin = host
                .certificates
                .first()
                .and_then(|id| model.certificates.get(id))
                .map(|certificate| &certificate.origin);
            if let Some(origin) = origin {
                let name = name.to_string();
                maps.line(Map::Hosts, &name, &name, origin);
            }
            continue;
        };
        let place = Place::of(name, host);
        maps.line(Map::Hosts, &place.name, &place.key(), origin);
        let mut written = BTreeMap::new();
        for route in &host.routes {
            let line = Writer::new(model, &place, route, &mut lists).write(maps);
            if let Some((key, value)) = line {
                written.entry(key).or_insert((value, &route.origin));
            }
        }
        guards.extend(slash_guards(&place.name, host, &written));
    }
    let mut fallback = None;
    if let Some(route) = &model.fallback {
        let place = Place {
            name: "~fallback".into(),
            bucket: None,
            is_fallback: true,
        };
        fallback = Writer::new(model, &place, route, &mut lists).write(maps);
    }
    let fallback = fallback.map_or_else(|| format!("p|{NONE}|||||"), |(_, value)| value);
    for (key, value, origin) in guards {
        maps.line(
            Map::Routes,
            &key,
            &value.unwrap_or(fallback.clone()),
            origin,
        );
    }
}

type Written<'a> = BTreeMap<String, (String, &'a Origin)>;

/// A look-up appends a '/' to the path, which a plain prefix that ends with one must not take for its
/// own. So what such a prefix leaves gets a line of its own: the next longest match, or None for what no
/// route takes.
fn slash_guards<'a>(
    name: &str,
    host: &'a Host,
    written: &Written<'a>,
) -> Vec<(String, Option<String>, &'a Origin)> {
    let mut guards = Vec::new();
    for route in &host.routes {
        let PathMatch::PlainPrefix(path) = &route.path else {
            continue;
        };
        let key = format!("{name}{}", path.encoded());
        let root = key.len() == name.len() + 1;
        let own = written
            .get(&key)
            .is_some_and(|(_, by)| **by == route.origin);
        let subject = format!("{key}#");
        if root || !own || !key.ends_with('/') || written.contains_key(&subject) {
            continue;
        }
        let others = written.iter().filter(|(other, _)| **other != key);
        let matching = others.filter(|(other, _)| subject.starts_with(other.as_str()));
        let longest = matching.max_by_key(|(other, _)| other.len());
        let value = longest.map(|(_, (value, _))| value.clone());
        guards.push((subject, value, &route.origin));
    }
    guards
}

/// Where a host's routes are found.
struct Place {
    name: String,
    /// For hosts with regular expressions.
    bucket: Option<u8>,
    is_fallback: bool,
}

impl Place {
    fn of(name: &HostMatch, host: &Host) -> Self {
        let name = name.to_string();
        let bucket = host.is_ordered().then(|| patterns::bucket_of(&name));
        Self {
            name,
            bucket,
            is_fallback: false,
        }
    }

    fn key(&self) -> String {
        match self.bucket {
            Some(bucket) => format!("~{}:{}", patterns::bucket_name(bucket), self.name),
            None => self.name.clone(),
        }
    }
}

/// One route on its way into the maps.
struct Writer<'a> {
    model: &'a Model,
    place: &'a Place,
    route: &'a Route,
    lists: &'a mut access::Lists,
    flags: String,
    /// What follows '|' in the value of the regular expression's line.
    groups: Option<String>,
}

impl<'a> Writer<'a> {
    fn new(
        model: &'a Model,
        place: &'a Place,
        route: &'a Route,
        lists: &'a mut access::Lists,
    ) -> Self {
        Self {
            model,
            place,
            route,
            lists,
            flags: String::new(),
            groups: None,
        }
    }

    /// Gives the line of the map of routes.
    fn write(mut self, maps: &mut Maps) -> Option<(String, String)> {
        if !limits::can_be_found(self.route) {
            return None;
        }
        let backend = match &self.route.action {
            Action::Refuse(_) => REFUSE,
            Action::Redirect(redirect) => self.redirect(redirect, maps),
            Action::Forward(forward) => self.forward(forward, maps),
        };
        self.policy(maps);
        let value = self.value(backend);
        let key = self.key(maps);
        maps.line(Map::Routes, &key, &value, self.origin());
        Some((key, value))
    }

    fn origin(&self) -> &'a Origin {
        &self.route.origin
    }

    fn flag(&mut self, flag: Flag) {
        self.flags.push(flag.letter());
    }

    fn feature(&self, maps: &mut Maps, name: &str, value: &str) {
        let key = format!("{}/{name}", self.route.id);
        maps.line(Map::Features, &key, value, self.origin());
    }

    fn redirect(&mut self, redirect: &Redirect, maps: &mut Maps) -> &'static str {
        match texts::text(redirect.location.parts(), &self.route.path) {
            None => return REFUSE,
            Some(Text::Literal(location)) => self.feature(maps, "location", &location),
            Some(Text::Groups(location)) => {
                self.flag(Flag::Groups);
                self.groups = Some(location);
            }
            Some(Text::Parts { pattern, value }) => {
                self.template(maps, "location", &pattern, &value);
            }
        }
        self.feature(maps, "code", &redirect.code.to_string());
        REDIRECT
    }

    fn template(&self, maps: &mut Maps, name: &str, pattern: &str, value: &str) {
        let key = format!("^{}/{name}{pattern}", self.route.id);
        maps.line(Map::Templates, &key, value, self.origin());
    }

    fn forward(&mut self, forward: &'a Forward, maps: &mut Maps) -> &'a str {
        if !self.model.upstreams.contains_key(&forward.split.primary) {
            return REFUSE;
        }
        if let Some(prefix) = &forward.forwarded_prefix {
            self.flag(Flag::Prefix);
            self.feature(maps, "prefix", prefix.as_str());
        }
        if let Some(host) = &forward.upstream_host {
            self.flag(Flag::Host);
            self.feature(maps, "host", host.as_str());
        }
        if forward.rewrite.is_some() && self.rewrite(forward, maps).is_none() {
            return REFUSE;
        }
        for flag in splits::write(self.route, &forward.split, maps) {
            self.flag(flag);
        }
        forward.split.primary.as_str()
    }

    /// None where it cannot be expressed.
    fn rewrite(&mut self, forward: &Forward, maps: &mut Maps) -> Option<()> {
        let (path, query) = texts::path_and_query(forward.rewrite.as_ref()?);
        let mut has_parts = false;
        match texts::text(&path, &self.route.path)? {
            Text::Literal(path) => {
                self.flag(Flag::Literal);
                let path = match path.starts_with('/') {
                    true => path,
                    false => format!("/{path}"),
                };
                self.feature(maps, "path", &path);
            }
            Text::Groups(_) => {
                let decoded = texts::decoded(&path);
                if let Text::Groups(path) = texts::text(&decoded, &self.route.path)? {
                    self.flag(Flag::Groups);
                    self.groups = Some(path);
                }
            }
            Text::Parts { pattern, value } => {
                has_parts = true;
                self.template(maps, "path", &pattern, &value);
            }
        }
        if let Some(query) = query {
            let (pattern, value) = match texts::text(&query, &self.route.path)? {
                Text::Parts { pattern, value } => (pattern, value),
                Text::Groups(value) => (
                    format!("\\n.*\\n.*\\n.*\\n{}", patterns::path(&self.route.path)),
                    value,
                ),
                Text::Literal(value) => (String::new(), value),
            };
            self.flag(Flag::Query);
            self.template(maps, "query", &pattern, &value);
        }
        if has_parts {
            self.flag(Flag::Parts);
        }
        Some(())
    }

    fn policy(&mut self, maps: &mut Maps) {
        let policy = &self.route.policy;
        if let Some(list) = &policy.access {
            self.flag(Flag::Access);
            let id = self.lists.write(list, maps, &self.route.origin);
            self.feature(maps, "access", &id);
        }
        if policy.body_limit.octets != BodyLimit::default().octets {
            self.flag(Flag::Body);
            let octets = policy.body_limit.octets.unwrap_or(u64::MAX);
            self.feature(maps, "limit", &octets.min(i64::MAX as u64).to_string());
        }
        let (timeouts, default) = (&policy.timeouts, Timeouts::default());
        if timeouts.connect != default.connect {
            self.flag(Flag::Connect);
            self.feature(maps, "connect", &milliseconds(timeouts.connect));
        }
        // One time-out covers both directions of an endpoint's connection.
        if timeouts.read != default.read {
            self.flag(Flag::Read);
            self.feature(maps, "read", &milliseconds(timeouts.read));
        }
    }

    fn value(&self, backend: &str) -> String {
        let policy = &self.route.policy;
        let forwards = backend != REDIRECT && backend != REFUSE;
        let class = match (forwards && self.flags.is_empty(), &policy.https_redirect) {
            (true, None) => 'p',
            (true, Some(_)) => 's',
            _ => 'f',
        };
        let mut value = String::with_capacity(160);
        let _ = write!(value, "{class}{}|{backend}|", self.flags);
        if let Some(redirect) = &policy.https_redirect {
            value.push_str(&https_redirect(redirect));
        }
        value.push('|');
        if let Some(hsts) = &policy.hsts {
            let _ = write!(value, "{hsts}");
        }
        let object = &self.route.origin.object;
        let _ = write!(value, "|{}|", self.route.id);
        json(&mut value, &object.path().replace('|', "-"));
        value.push('|');
        if !self.place.is_fallback {
            json(&mut value, &self.place.name);
        }
        json(&mut value, &self.route.path.to_string());
        value
    }

    /// The key of a route's value; that of an expression is found by a line of another map.
    fn key(&self, maps: &mut Maps) -> String {
        let host = &self.place.name;
        if self.place.is_fallback {
            return host.clone();
        }
        let Some(bucket) = self.place.bucket else {
            return tree_key(host, &self.route.path);
        };
        let id = &self.route.id;
        let pattern = patterns::path(&self.route.path);
        let key = format!("^{}\\|{pattern}", patterns::literal(host));
        let found = match &self.groups {
            Some(text) => format!("~{id}|{text}"),
            None => format!("~{id}"),
        };
        maps.line(Map::Regex(bucket), &key, &found, self.origin());
        format!("~{id}")
    }
}

/// The key that, of all that a path followed by "/#" begins with, is the longest where this match is
/// the best one.
fn tree_key(host: &str, path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("{host}{}/#", path.encoded()),
        PathMatch::Prefix(path) => format!("{host}{}/", path.encoded().trim_end_matches('/')),
        PathMatch::PlainPrefix(path) => format!("{host}{}", path.encoded()),
        // Not in a host of the tree; a key that no path begins with.
        PathMatch::Regex(_) => format!("{host}#"),
    }
}

fn https_redirect(redirect: &HttpsRedirect) -> String {
    let strip = match redirect.strip_trailing_slash {
        true => "~",
        false => "",
    };
    format!("{}{strip}", redirect.code)
}

fn milliseconds(duration: Duration) -> String {
    // HAProxy's own longest time-out is 24 days.
    duration.as_millis().clamp(1, 2_000_000_000).to_string()
}

/// Adds a text as the inside of a JSON string, for the access log. Spaces at the end, which a map
/// would lose, are escaped too; what is longer than a log needs is cut.
fn json(line: &mut String, text: &str) {
    const LONGEST: usize = 512;
    let spaces_from = text.trim_end().len();
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < LONGEST) {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            ' ' if at >= spaces_from => line.push_str("\\u0020"),
            c if c.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}
