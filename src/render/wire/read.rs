//! Objects → bundle. Total: whatever the objects hold, the answer is a bundle that has the index's
//! revision, or an error that names the object.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::model::names::{DnsName, UpstreamName, shown};
use crate::model::{Endpoint, PrivatePem};
use crate::render::bundle::{Bundle, Content, FORMAT, FileName, Order, Pool, RenderedRange, Table};

use super::endpoints::{EndpointsPart, read_endpoints};
use super::index::{Entry, Index};
use super::parts::{External, FILES, FilePart, Kind, POOLS, PoolPart};
use super::{Plain, Publication, Shard, is_intact};

/// Why objects give no bundle. No text of a shard is in it, since a shard may hold keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error(
        "{object} is of format {format} and needs a reader of {oldest_reader} or newer; this version \
         reads formats {} to {FORMAT}, and newer ones that allow it",
        FORMAT.saturating_sub(1).max(1)
    )]
    Format {
        object: String,
        format: u32,
        oldest_reader: u32,
    },
    #[error("{object} is missing; {named_by} names it")]
    Missing { object: String, named_by: String },
    #[error("{object} is not what was published: it holds {found}; allowed is {allowed}")]
    Altered {
        object: String,
        found: String,
        allowed: String,
    },
    #[error(
        "{object} cannot be read: key {} {found}; allowed is {allowed}",
        shown(key)
    )]
    Unreadable {
        object: String,
        key: String,
        found: String,
        allowed: String,
    },
}

pub fn unreadable(
    object: &str,
    key: &str,
    found: impl Into<String>,
    allowed: impl Into<String>,
) -> WireError {
    WireError::Unreadable {
        object: object.to_owned(),
        key: key.to_owned(),
        found: found.into(),
        allowed: allowed.into(),
    }
}

/// Whether it can be the name of a file or an upstream: names of our own hold nothing else.
pub fn is_name(word: &str) -> bool {
    let kept = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(kept)
}

/// A path that stays below its directory.
fn is_file_name(path: &str) -> bool {
    path.split('/').all(is_name)
}

/// A shard that holds what its name says, taken apart. Whoever reads one publication after the other keeps
/// it, since most shards of the next are the same.
pub struct ReadShard {
    kind: &'static str,
    bytes: usize,
    files: Vec<ReadFile>,
    pools: Vec<PoolPart>,
}

/// A file, or a part of one. It may hold a key, so it has no debug output.
struct ReadFile {
    part: FilePart,
    text: String,
    /// Line breaks in it.
    lines: usize,
}

impl ReadShard {
    /// Reads the object of this name.
    pub fn of(object: &str, shard: &Shard) -> Result<Self, WireError> {
        if !is_intact(object, shard) {
            return Err(WireError::Altered {
                object: object.to_owned(),
                found: format!("content of digest {}", shard.digest()),
                allowed: "what has the digest at the end of its name".to_owned(),
            });
        }
        let files = parts::<FilePart>(object, shard, FILES)?.into_iter();
        let pools = parts::<PoolPart>(object, shard, POOLS)?;
        if let Some(part) = pools.iter().find(|part| !is_name(part.upstream.as_str())) {
            let found = format!("names the upstream {}", shown(part.upstream.as_str()));
            let allowed = "letters, digits, '.', '_' and '-'";
            return Err(unreadable(object, POOLS, found, allowed));
        }
        Ok(Self {
            kind: shard.kind(),
            bytes: shard.bytes(),
            files: files
                .map(|part| ReadFile::of(object, shard, part))
                .collect::<Result<_, _>>()?,
            pools,
        })
    }

    /// Whether it is what an index names.
    fn verify(&self, entry: &Entry) -> Result<(), WireError> {
        verify(entry, self.kind, self.bytes)
    }
}

impl ReadFile {
    fn of(object: &str, shard: &Shard, part: FilePart) -> Result<Self, WireError> {
        if !is_file_name(&part.file) {
            let found = format!("names the file {}", shown(&part.file));
            let allowed = "a path below the bundle's directory";
            return Err(unreadable(object, FILES, found, allowed));
        }
        let private = matches!(shard, Shard::Private(_));
        if private != (part.content == Kind::Private) {
            let found = format!("has {} as {:?}", shown(&part.file), part.content);
            let allowed = "private files in Secrets, and others in ConfigMaps";
            return Err(unreadable(object, FILES, found, allowed));
        }
        let text = shard.get(&part.key);
        let text = text.ok_or_else(|| {
            unreadable(object, &part.key, "is missing", "every part has its text")
        })?;
        Ok(Self {
            part,
            text: text.to_owned(),
            lines: text.matches('\n').count(),
        })
    }
}

/// The bundle that these objects stand for. Shards and endpoints that the index does not name, and
/// endpoints of upstreams that the bundle lacks, are passed over: they belong to another publication.
pub fn decode(publication: &Publication) -> Result<Bundle, WireError> {
    let Publication { name, .. } = publication;
    let index = Index::read(name, &publication.index)?;
    let mut shards = BTreeMap::new();
    for entry in &index.shards {
        if let Some(shard) = publication.shards.get(&entry.name) {
            verify(entry, shard.kind(), shard.bytes())?;
            shards.insert(entry.name.clone(), ReadShard::of(&entry.name, shard)?);
        }
    }
    let endpoints = publication.endpoints.iter();
    let endpoints = endpoints.map(|(name, data)| (name.as_str(), read_endpoints(name, data)));
    let endpoints: BTreeMap<&str, _> = endpoints.collect();
    let endpoints = endpoints.iter().map(|(name, part)| (*name, part));
    join(name, &publication.index, &shards, &endpoints.collect())
}

/// The same, of parts that have been read.
pub fn join(
    name: &str,
    index: &Plain,
    shards: &BTreeMap<String, ReadShard>,
    endpoints: &BTreeMap<&str, &Result<EndpointsPart, WireError>>,
) -> Result<Bundle, WireError> {
    let index = Index::read(name, index)?;
    let missing = |object: &str| WireError::Missing {
        object: object.to_owned(),
        named_by: name.to_owned(),
    };
    let mut joined = Joined::default();
    for entry in &index.shards {
        let shard = shards.get(&entry.name);
        let shard = shard.ok_or_else(|| missing(&entry.name))?;
        shard.verify(entry)?;
        joined.add(&entry.name, shard)?;
    }
    let mut pools = BTreeMap::new();
    for object in &index.endpoints {
        let part = endpoints.get(object.as_str());
        let part = part.ok_or_else(|| missing(object))?;
        let part = part.as_ref().map_err(WireError::clone)?;
        pools.extend(&part.pools);
    }
    let bundle = joined.finish(name, &index, &pools)?;
    let found = bundle.revision();
    match found.as_str() == index.revision {
        true => Ok(bundle),
        false => Err(WireError::Altered {
            object: name.to_owned(),
            found: format!("shards of revision {found}"),
            allowed: format!("those of revision {}", shown(&index.revision)),
        }),
    }
}

/// The files of a publication that only the proxy reads, by name. Nothing else of it is looked at, nor
/// needed.
pub fn private_files(
    publication: &Publication,
) -> Result<BTreeMap<FileName, PrivatePem>, WireError> {
    let Publication { name, .. } = publication;
    let index = Index::read(name, &publication.index)?;
    let mut texts = BTreeMap::<FileName, String>::new();
    for entry in index.shards.iter().filter(|entry| entry.kind == "Secret") {
        let missing = || WireError::Missing {
            object: entry.name.clone(),
            named_by: name.clone(),
        };
        let shard = publication.shards.get(&entry.name).ok_or_else(missing)?;
        verify(entry, shard.kind(), shard.bytes())?;
        for ReadFile { part, text, .. } in ReadShard::of(&entry.name, shard)?.files {
            texts.entry(part.file).or_default().push_str(&text);
        }
    }
    let files = texts.into_iter();
    Ok(files
        .map(|(name, text)| (name, PrivatePem::new(text)))
        .collect())
}

fn verify(entry: &Entry, kind: &str, bytes: usize) -> Result<(), WireError> {
    let altered = |found: String, allowed: String| WireError::Altered {
        object: entry.name.clone(),
        found,
        allowed,
    };
    if kind != entry.kind {
        let found = format!("the data of a {kind}");
        return Err(altered(found, shown(&entry.kind)));
    }
    if bytes != entry.bytes {
        let (found, allowed) = (format!("{bytes} octets"), format!("{} octets", entry.bytes));
        return Err(altered(found, allowed));
    }
    Ok(())
}

/// What has been joined so far.
#[derive(Default)]
struct Joined<'s> {
    files: BTreeMap<&'s str, File>,
    pools: BTreeMap<&'s UpstreamName, &'s PoolPart>,
    origins: Vec<RenderedRange>,
}

/// A file whose parts are being joined; it may hold a key, so it has no debug output.
struct File {
    kind: Kind,
    text: String,
    /// Line breaks in it.
    lines: usize,
}

impl<'s> Joined<'s> {
    fn add(&mut self, object: &str, shard: &'s ReadShard) -> Result<(), WireError> {
        for ReadFile { part, text, lines } in &shard.files {
            let file = self.files.entry(&part.file).or_insert(File {
                kind: part.content,
                text: String::new(),
                lines: 0,
            });
            if file.kind != part.content {
                let found = format!("has {} as {:?}", shown(&part.file), part.content);
                return Err(unreadable(object, FILES, found, format!("{:?}", file.kind)));
            }
            let ranges = part.origins.iter();
            self.origins
                .extend(ranges.filter_map(|range| range.range(&part.file, file.lines)));
            file.text.push_str(text);
            file.lines += lines;
        }
        self.pools
            .extend(shard.pools.iter().map(|part| (&part.upstream, part)));
        Ok(())
    }

    fn finish(
        mut self,
        index_name: &str,
        index: &Index,
        endpoints: &BTreeMap<&UpstreamName, &Vec<Endpoint>>,
    ) -> Result<Bundle, WireError> {
        let mut files = self.files.iter();
        let pools_file = files.find(|(_, file)| file.kind == Kind::Pools);
        let pools_file = pools_file.map(|(name, _)| *name);
        let mut pools = BTreeMap::new();
        let mut before: usize = 0;
        for (name, part) in self.pools {
            let missing = || WireError::Missing {
                object: format!("the endpoints of {name}"),
                named_by: index_name.to_owned(),
            };
            let endpoints = endpoints.get(name).ok_or_else(missing)?;
            if let Some(file) = pools_file {
                let ranges = part.origins.iter();
                self.origins
                    .extend(ranges.filter_map(|range| range.range(file, before)));
            }
            let pool = Pool {
                endpoints: (*endpoints).clone(),
                name: external(index_name, part.external.as_ref())?,
                section: part.section.clone(),
            };
            before = before.saturating_add(pool.head_lines());
            pools.insert(name.clone(), pool);
        }
        self.origins.sort();
        let content = |(name, file): (&str, File)| (name.to_owned(), file.content());
        Ok(Bundle {
            format: index.format,
            proxy: index.proxy,
            structure: self.files.into_iter().map(content).collect(),
            pools,
            origins: self.origins.into(),
        })
    }
}

fn external(
    object: &str,
    external: Option<&External>,
) -> Result<Option<(DnsName, u16)>, WireError> {
    let Some(External { name, port }) = external else {
        return Ok(None);
    };
    let wrong = |error| {
        unreadable(
            object,
            POOLS,
            format!("has {}: {error}", shown(name)),
            "a DNS name",
        )
    };
    Ok(Some((name.parse().map_err(wrong)?, *port)))
}

impl File {
    fn content(self) -> Content {
        let table = |order, text| Content::Table(Table { order, text });
        match self.kind {
            Kind::Text => Content::Text(self.text),
            Kind::Table => table(Order::Any, self.text),
            Kind::OrderedTable => table(Order::First, self.text),
            Kind::Pools => Content::Pools,
            Kind::Private => Content::Private(PrivatePem::new(self.text)),
        }
    }
}

/// The JSON objects of a list; a shard without it has none.
fn parts<T: DeserializeOwned>(object: &str, shard: &Shard, key: &str) -> Result<Vec<T>, WireError> {
    let lines = shard.get(key).unwrap_or_default().lines().enumerate();
    let part = |(number, line)| {
        // The parser's own words could hold text of the shard.
        let found = format!("has a line {} that is no part of a bundle", number + 1);
        serde_json::from_str(line)
            .map_err(|_| unreadable(object, key, found, "one JSON object a line"))
    };
    lines.map(part).collect()
}
