//! The index: what one publication is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::render::bundle::{Bundle, FORMAT, ProxyKind};

use super::read::{WireError, unreadable};
use super::{Plain, Shard};

/// The oldest format whose readers can read what is written here; raised where more changes than
/// what a reader may pass over. It is never more than one below [`FORMAT`] without a release between.
const OLDEST_READER: u32 = 1;

/// All shards of a bundle together, in octets: half of what etcd holds by default.
const MOST: usize = 1 << 30;

pub struct Index {
    pub format: u32,
    pub proxy: ProxyKind,
    pub revision: String,
    /// In the order of their content; where texts repeat, one may stand twice.
    pub shards: Vec<Entry>,
    pub endpoints: Vec<String>,
}

pub struct Entry {
    /// `ConfigMap` or `Secret`.
    pub kind: String,
    pub name: String,
    pub bytes: usize,
}

impl Index {
    pub fn of(
        bundle: &Bundle,
        shards: &[(String, Shard)],
        endpoints: &BTreeMap<String, Plain>,
    ) -> Self {
        let entry = |(name, shard): &(String, Shard)| Entry {
            kind: shard.kind().to_owned(),
            name: name.clone(),
            bytes: shard.bytes(),
        };
        Self {
            format: bundle.format,
            proxy: bundle.proxy,
            revision: bundle.revision().to_string(),
            shards: shards.iter().map(entry).collect(),
            endpoints: endpoints.keys().cloned().collect(),
        }
    }

    pub fn write(&self) -> Plain {
        let mut shards = String::new();
        for Entry { kind, name, bytes } in &self.shards {
            let _ = writeln!(shards, "{kind} {name} {bytes}");
        }
        let endpoints = self.endpoints.iter().map(|name| format!("{name}\n"));
        let pairs = [
            ("format", self.format.to_string()),
            ("oldest-reader", OLDEST_READER.to_string()),
            ("proxy", self.proxy.to_string()),
            ("revision", self.revision.clone()),
            ("shards", shards),
            ("endpoints", endpoints.collect()),
        ];
        pairs.map(|(key, text)| (key.to_owned(), text)).into()
    }

    pub fn read(object: &str, data: &Plain) -> Result<Self, WireError> {
        let text = |key: &'static str| {
            let text = data.get(key).map(String::as_str);
            text.ok_or_else(|| unreadable(object, key, "is missing", "an index has it"))
        };
        let number = |key: &'static str| {
            let wrong = |_| unreadable(object, key, "is no number", "a whole number");
            text(key)?.parse::<u32>().map_err(wrong)
        };
        let (format, oldest_reader) = (number("format")?, number("oldest-reader")?);
        if format.saturating_add(1) < FORMAT || oldest_reader > FORMAT {
            return Err(WireError::Format {
                object: object.to_owned(),
                format,
                oldest_reader,
            });
        }
        let proxy = text("proxy")?;
        let known = ProxyKind::ALL.into_iter().find(|p| p.as_str() == proxy);
        let proxy = known.ok_or_else(|| {
            unreadable(object, "proxy", "is unknown", "nginx and haproxy are known")
        })?;
        let shards = text("shards")?.lines();
        let shards: Vec<Entry> = shards
            .map(|line| Entry::read(object, line))
            .collect::<Result<_, _>>()?;
        // One that is named twice counts twice: it is joined twice.
        let total = shards.iter().map(|entry| entry.bytes);
        let total = total.fold(0, usize::saturating_add);
        if total > MOST {
            let found = format!("names {total} octets");
            return Err(unreadable(
                object,
                "shards",
                found,
                format!("at most {MOST}"),
            ));
        }
        Ok(Self {
            format,
            proxy,
            revision: text("revision")?.to_owned(),
            shards,
            endpoints: text("endpoints")?.lines().map(str::to_owned).collect(),
        })
    }
}

impl Entry {
    fn read(object: &str, line: &str) -> Result<Self, WireError> {
        let mut words = line.split(' ');
        let bytes = |word: &str| word.parse().ok();
        match (words.next(), words.next(), words.next().and_then(bytes)) {
            (Some(kind), Some(name), Some(bytes)) => Ok(Self {
                kind: kind.to_owned(),
                name: name.to_owned(),
                bytes,
            }),
            _ => {
                let found = "has a line that names no shard";
                let allowed = "a kind, a name and a number of octets";
                Err(unreadable(object, "shards", found, allowed))
            }
        }
    }
}
