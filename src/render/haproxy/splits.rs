//! Splits as data.
//!
//! Rules by exact value are expressions over the whole header block, which begins with the route's
//! id; the first that matches names the upstream. A rule by regular expression needs the value alone
//! (its anchors mean the value's ends), so the value is cut out first. Shares are looked up by a
//! random number of four digits, its range written as decimal prefixes.

use super::limits;
use super::maps::{Map, Maps};
use super::patterns;
use super::routes::Flag;
use crate::model::{Route, Share, Split, SplitField, SplitRule, ValueMatch};

/// Writes what a split needs and says which flags look for it.
pub fn write(route: &Route, split: &Split, maps: &mut Maps) -> Vec<Flag> {
    let mut flags = Vec::new();
    let id = route.id.as_str();
    let (kept, _) = sorted(split);
    for rule in kept {
        let flag = match &rule.value {
            ValueMatch::Exact(value) => {
                let key = exact(id, &rule.field, value.as_str());
                maps.line(Map::SplitRules, &key, rule.upstream.as_str(), &rule.origin);
                Flag::Rules
            }
            ValueMatch::Regex(regex) => {
                if !flags.contains(&Flag::ValueRules) {
                    let key = field(id, &rule.field);
                    maps.line(Map::SplitFields, &key, "\\1", &rule.origin);
                }
                let source = patterns::without_spaces(regex.source());
                let key = format!("^{id}\\n(?m:.*?(?:{source}))");
                maps.line(Map::SplitValues, &key, rule.upstream.as_str(), &rule.origin);
                Flag::ValueRules
            }
        };
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    let mut from = 0;
    for share in &split.shares {
        let to = (from + share.parts).min(Share::WHOLE);
        for prefix in cover(from, to) {
            let key = format!("{id}/1{prefix}");
            maps.line(Map::Shares, &key, share.upstream.as_str(), &share.origin);
        }
        if from < to && !flags.contains(&Flag::Shares) {
            flags.push(Flag::Shares);
        }
        from = to;
    }
    flags
}

/// The rules that can be expressed, and the others. Rules by regular expression are asked before
/// those by exact value and over one field, so those that stand elsewhere cannot be.
pub fn sorted(split: &Split) -> (Vec<&SplitRule>, Vec<&SplitRule>) {
    let mut exact_seen = false;
    let mut field: Option<&SplitField> = None;
    split.rules.iter().partition(|rule| match &rule.value {
        ValueMatch::Exact(_) => {
            exact_seen = true;
            true
        }
        ValueMatch::Regex(regex) => {
            let first = *field.get_or_insert(&rule.field);
            !exact_seen && *first == rule.field && limits::value_regex(regex)
        }
    })
}

/// The start of a header's only line of that name; repeated headers are one value to nginx, joined
/// by commas, which equals no single one.
fn header(id: &str, name: &str) -> String {
    let name = patterns::literal(name);
    format!("^{id}(?!(?s:.*)\\r\\n{name}:(?s:.*)\\r\\n{name}:)(?s:.*)\\r\\n{name}:\\x20")
}

/// The first cookie of a name: those before it are walked over one by one.
fn cookie(id: &str, name: &str) -> String {
    let name = patterns::literal(name);
    format!(
        "^{id}(?s:.*?)\\r\\ncookie:\\x20(?:(?!{name}\\x20*=)[^;,\\r\\n]*[;,]\\x20*)*+{name}\\x20*=\\x20*"
    )
}

fn exact(id: &str, field: &SplitField, value: &str) -> String {
    let value = patterns::literal(value);
    match field {
        SplitField::Header(name) => format!("{}{value}\\r\\n", header(id, name.as_str())),
        SplitField::Cookie(name) => format!("{}{value}(?:;|\\r\\n)", cookie(id, name.as_str())),
    }
}

fn field(id: &str, field: &SplitField) -> String {
    match field {
        SplitField::Header(name) => format!("{}([^\\r\\n]*)\\r\\n", header(id, name.as_str())),
        SplitField::Cookie(name) => format!("{}([^;\\r\\n]*)", cookie(id, name.as_str())),
    }
}

/// Decimal prefixes of the numbers `from..to`, written with four digits.
pub fn cover(from: u32, to: u32) -> Vec<String> {
    let mut prefixes = Vec::new();
    let mut at = from;
    while at < to {
        let mut size = 1;
        let mut digits = 4;
        while digits > 0 && at.is_multiple_of(size * 10) && at + size * 10 <= to {
            size *= 10;
            digits -= 1;
        }
        prefixes.push(match digits {
            0 => String::new(),
            _ => format!("{:0digits$}", at / size),
        });
        at += size;
    }
    prefixes
}
