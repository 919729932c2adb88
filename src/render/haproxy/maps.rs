//! Map files while they are written: lines, and where each one came from.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::patterns;
use crate::model::diagnostics::Origin;
use crate::render::bundle::{Content, FileName, Order, RenderedRange, Table};

/// The maps; how each is read is said in `templates/haproxy/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Hosts,
    Routes,
    Features,
    Templates,
    Access,
    SplitFields,
    SplitValues,
    SplitRules,
    Shares,
    /// The regular expressions of the hosts of one bucket.
    Regex(u8),
}

const PLAIN: usize = 9;
const COUNT: usize = PLAIN + patterns::BUCKETS as usize;

impl Map {
    fn index(self) -> usize {
        match self {
            Self::Hosts => 0,
            Self::Routes => 1,
            Self::Features => 2,
            Self::Templates => 3,
            Self::Access => 4,
            Self::SplitFields => 5,
            Self::SplitValues => 6,
            Self::SplitRules => 7,
            Self::Shares => 8,
            Self::Regex(bucket) => PLAIN + usize::from(bucket % patterns::BUCKETS),
        }
    }
}

fn file(index: usize) -> FileName {
    const NAMES: [&str; PLAIN] = [
        "hosts",
        "routes",
        "features",
        "templates",
        "access",
        "split-fields",
        "split-values",
        "split-rules",
        "shares",
    ];
    match NAMES.get(index) {
        Some(name) => format!("maps/{name}.map"),
        None => format!(
            "maps/regex-{}.map",
            patterns::bucket_name((index - PLAIN) as u8)
        ),
    }
}

/// Hosts, routes, features, access lists and shares are looked up in trees, the others walked.
fn order(index: usize) -> Order {
    const TREES: [Map; 5] = [
        Map::Hosts,
        Map::Routes,
        Map::Features,
        Map::Access,
        Map::Shares,
    ];
    match TREES.iter().any(|map| map.index() == index) {
        true => Order::Any,
        false => Order::First,
    }
}

#[derive(Default)]
struct Lines {
    text: String,
    /// Of a tree.
    keys: BTreeSet<String>,
    count: usize,
    ranges: Vec<(usize, usize, Origin)>,
}

pub struct Maps(Vec<Lines>);

impl Default for Maps {
    fn default() -> Self {
        Self((0..COUNT).map(|_| Lines::default()).collect())
    }
}

impl Maps {
    /// Adds a line. A key never holds white space, a value never begins or ends with it, and neither
    /// holds a line break: they are made of parsed names, or encoded. What would break a line after
    /// all is left out.
    pub fn line(&mut self, map: Map, key: &str, value: &str, origin: &Origin) {
        let whole = |text: &str| !text.bytes().any(|b| b.is_ascii_control());
        if !is_line(key, value) || !whole(key) || !whole(value) {
            return;
        }
        let Some(lines) = self.0.get_mut(map.index()) else {
            return;
        };
        // Of two lines with one key a tree gives the first.
        if order(map.index()) == Order::Any && !lines.keys.insert(key.to_owned()) {
            return;
        }
        lines.count += 1;
        let _ = writeln!(lines.text, "{key} {value}");
        let line = lines.count;
        match lines.ranges.last_mut() {
            Some((_, last, of)) if of == origin => *last = line,
            _ => lines.ranges.push((line, line, origin.clone())),
        }
    }

    /// Every file, also the empty ones, and where the lines came from.
    pub fn finish(self) -> (Vec<(FileName, Content)>, Vec<RenderedRange>) {
        let mut files = Vec::with_capacity(COUNT);
        let mut origins = Vec::new();
        for (index, lines) in self.0.into_iter().enumerate() {
            let name = file(index);
            origins.extend(
                lines
                    .ranges
                    .into_iter()
                    .map(|(first, last, origin)| RenderedRange {
                        file: name.clone(),
                        first,
                        last,
                        origin,
                    }),
            );
            let table = Table {
                order: order(index),
                text: lines.text,
            };
            files.push((name, Content::Table(table)));
        }
        (files, origins)
    }
}

/// HAProxy reads a map's line into a buffer of 16 KiB.
const LONGEST: usize = 15_000;

/// Whether both fit into one line that reads back as they are.
pub fn is_line(key: &str, value: &str) -> bool {
    !key.is_empty()
        && !key.starts_with('#')
        && !key.contains(' ')
        && value.trim() == value
        && key.len() + value.len() < LONGEST
}
