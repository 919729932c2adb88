//! Canaries: a chain of maps, each of which leads to the next where no line of it matches, then
//! `split_clients` for shares. Equal splits are one, however many paths have them.

use std::collections::BTreeMap;

use askama::Template;

use super::limits;
use super::sheet::{Sheets, print};
use super::upstreams::Written;
use super::words::{Comment, Literal, as_pattern};
use crate::model::diagnostics::Origin;
use crate::model::names::{HeaderName, UpstreamName};
use crate::model::{Share, Split, SplitField, SplitRule, ValueMatch};

#[derive(Template)]
#[template(path = "nginx/split.conf")]
struct SplitConf {
    comment: Comment,
    maps: Vec<Map>,
    shares: Option<Shares>,
}

struct Map {
    /// The variable that is looked at.
    source: String,
    variable: String,
    /// An upstream, or the next variable.
    otherwise: String,
    lines: Vec<(Literal, UpstreamName)>,
}

struct Shares {
    variable: String,
    lines: Vec<(String, UpstreamName)>,
    rest: UpstreamName,
}

/// The splits of a model, by the name of the variable that holds what was chosen.
#[derive(Default)]
pub struct Splits(BTreeMap<String, (Split, Origin)>);

impl Splits {
    /// The variable of a split; None where everything goes to the primary.
    pub fn variable(
        &mut self,
        split: &Split,
        upstreams: &Written,
        origin: &Origin,
    ) -> Option<String> {
        let split = possible(split, upstreams);
        if split.is_plain() {
            return None;
        }
        let name = format!("split_{}", digest(&split));
        self.0
            .entry(name.clone())
            .or_insert_with(|| (split, origin.clone()));
        Some(name)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn write(&self, sheets: &mut Sheets) {
        for (name, (split, origin)) in &self.0 {
            let conf = conf(name, split, origin);
            // The last digit of the digest is the bucket.
            let bucket = &name[name.len() - 1..];
            let file = sheets.file(&format!("splits/{bucket}.conf"));
            let first = split.rules.first().map(|rule| &rule.origin);
            let first = first.or(split.shares.first().map(|share| &share.origin));
            file.add_of(&print(&conf), first.unwrap_or(origin));
        }
    }
}

/// Over all that a request's way depends on, and not over origins, so that equal splits are found.
fn digest(split: &Split) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    };
    part(split.primary.as_str());
    for rule in &split.rules {
        let (kind, name) = match &rule.field {
            SplitField::Header(name) => ("header", name),
            SplitField::Cookie(name) => ("cookie", name),
        };
        part(kind);
        part(name.as_str());
        part(&pattern(&rule.value));
        part(rule.upstream.as_str());
    }
    for share in &split.shares {
        part(&share.parts.to_string());
        part(share.upstream.as_str());
    }
    hasher.finalize().to_hex().chars().take(12).collect()
}

/// The expression of a value. Plain keys of a map would ignore case.
fn pattern(value: &ValueMatch) -> String {
    match value {
        ValueMatch::Exact(value) => format!("^{}$", as_pattern(value.as_str())),
        ValueMatch::Regex(regex) => regex.source().to_owned(),
    }
}

/// What is left out of a split, and why.
pub struct Lack<'a> {
    pub origin: &'a Origin,
    pub what: &'static str,
    pub consequence: &'static str,
    pub fix: &'static str,
}

pub fn lacks<'a>(split: &'a Split, upstreams: &Written) -> Vec<Lack<'a>> {
    let rules = split.rules.iter();
    let rules = rules.filter_map(|rule| {
        let (what, fix) =
            cannot_read(rule).or_else(|| cannot_reach(split, &rule.upstream, upstreams))?;
        Some(Lack {
            origin: &rule.origin,
            what,
            consequence: "the rule is left out",
            fix,
        })
    });
    let shares = split.shares.iter().filter_map(|share| {
        let (what, fix) = cannot_reach(split, &share.upstream, upstreams)?;
        Some(Lack {
            origin: &share.origin,
            what,
            consequence: "its share of requests goes to the primary",
            fix,
        })
    });
    rules.chain(shares).collect()
}

fn possible(split: &Split, upstreams: &Written) -> Split {
    let reached = |upstream| cannot_reach(split, upstream, upstreams).is_none();
    let rules = split.rules.iter();
    let shares = split.shares.iter();
    Split {
        primary: split.primary.clone(),
        rules: rules
            .filter(|rule| cannot_read(rule).is_none() && reached(&rule.upstream))
            .cloned()
            .collect(),
        shares: shares
            .filter(|share| share.parts > 0 && reached(&share.upstream))
            .cloned()
            .collect(),
    }
}

type Reason = (&'static str, &'static str);

fn cannot_read(rule: &SplitRule) -> Option<Reason> {
    if let ValueMatch::Regex(regex) = &rule.value {
        if limits::names_a_group(regex.source()) {
            return Some((
                "named groups in a canary's pattern",
                "Use groups without names.",
            ));
        }
        if regex.source().starts_with('*') {
            return Some(("a pattern that begins with '*'", "Begin with '.*'."));
        }
    }
    match (&rule.field, &rule.value) {
        (SplitField::Header(name), _) if !is_read_header(name) => Some((
            "rules on a header whose name holds other characters than letters, digits and '-'",
            "Use a name of letters, digits and '-'.",
        )),
        (SplitField::Cookie(name), ValueMatch::Regex(_)) if !is_variable(name) => Some((
            "patterns for a cookie whose name holds other characters than letters, digits and '_'",
            "Use a name of letters, digits and '_', or an exact value.",
        )),
        _ => None,
    }
}

/// nginx drops headers with other names, those with '_' among them.
fn is_read_header(name: &HeaderName) -> bool {
    name.as_str()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_variable(name: &HeaderName) -> bool {
    name.as_str()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// One location speaks one protocol.
fn cannot_reach(split: &Split, upstream: &UpstreamName, upstreams: &Written) -> Option<Reason> {
    let primary = upstreams.get(&split.primary);
    (upstreams.get(upstream) != primary || primary.is_none()).then_some((
        "a canary that speaks another protocol than the primary",
        "Give both Services the same protocol.",
    ))
}

fn conf(name: &str, split: &Split, origin: &Origin) -> SplitConf {
    let mut otherwise = split.primary.to_string();
    let mut shares = None;
    if !split.shares.is_empty() {
        let variable = match split.rules.is_empty() {
            true => name.to_owned(),
            false => format!("{name}_share"),
        };
        otherwise = format!("${variable}");
        shares = Some(Shares {
            variable,
            lines: split.shares.iter().map(share).collect(),
            rest: split.primary.clone(),
        });
    }
    let groups: Vec<&[SplitRule]> = split
        .rules
        .chunk_by(|a, b| source(a) == source(b))
        .collect();
    let mut maps = Vec::new();
    // From the last to the first, because each names the one after it.
    for (number, rules) in groups.iter().enumerate().rev() {
        let variable = match number {
            0 => name.to_owned(),
            number => format!("{name}_{number}"),
        };
        let next = std::mem::replace(&mut otherwise, format!("${variable}"));
        maps.push(Map {
            source: rules.first().map(source).unwrap_or_default(),
            variable,
            otherwise: next,
            lines: rules.iter().map(line).collect(),
        });
    }
    SplitConf {
        comment: Comment::new(&origin.object.to_string()),
        maps,
        shares,
    }
}

/// The variable that holds a rule's field. `$cookie_name` would ignore case and know fewer names.
fn source(rule: &SplitRule) -> String {
    match (&rule.field, &rule.value) {
        (SplitField::Header(name), _) => format!("$http_{}", name.as_str().replace('-', "_")),
        (SplitField::Cookie(_), ValueMatch::Exact(_)) => "$http_cookie".into(),
        (SplitField::Cookie(name), ValueMatch::Regex(_)) => format!("$cookie_{name}"),
    }
}

fn line(rule: &SplitRule) -> (Literal, UpstreamName) {
    let pattern = match (&rule.field, &rule.value) {
        (SplitField::Cookie(name), ValueMatch::Exact(value)) => {
            let (name, value) = (as_pattern(name.as_str()), as_pattern(value.as_str()));
            format!("(?:^|;)[ \\t]*{name}={value}[ \\t]*(?:;|$)")
        }
        (_, value) => pattern(value),
    };
    (Literal::new(&pattern), rule.upstream.clone())
}

fn share(share: &Share) -> (String, UpstreamName) {
    let percent = format!("{}.{:02}%", share.parts / 100, share.parts % 100);
    (percent, share.upstream.clone())
}
