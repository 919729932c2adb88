//! Objects → bundle. Total: whatever the objects hold, the answer is a bundle that has the index's
//! revision, or an error that names the object.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::model::names::{DnsName, UpstreamName, shown};
use crate::model::{Endpoint, PrivatePem};
use crate::render::bundle::{Bundle, Content, FORMAT, FileName, Order, Pool, RenderedRange, Table};

use super::endpoints::read_endpoints;
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

/// The bundle that these objects stand for. Shards and endpoints that the index does not name, and
/// endpoints of upstreams that the bundle lacks, are passed over: they belong to another publication.
pub fn decode(publication: &Publication) -> Result<Bundle, WireError> {
    let Publication { name, .. } = publication;
    let index = Index::read(name, &publication.index)?;
    let missing = |object: &str| WireError::Missing {
        object: object.to_owned(),
        named_by: name.clone(),
    };
    let mut reader = Reader::default();
    for entry in &index.shards {
        let shard = publication.shards.get(&entry.name);
        let shard = shard.ok_or_else(|| missing(&entry.name))?;
        verify(entry, shard)?;
        reader.read(&entry.name, shard)?;
    }
    let mut endpoints = BTreeMap::new();
    for object in &index.endpoints {
        let data: &Plain = publication
            .endpoints
            .get(object)
            .ok_or_else(|| missing(object))?;
        endpoints.extend(read_endpoints(object, data)?.pools);
    }
    let bundle = reader.finish(name, &index, endpoints)?;
    let found = bundle.revision();
    match found.as_str() == index.revision {
        true => Ok(bundle),
        false => Err(WireError::Altered {
            object: name.clone(),
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
    let mut reader = Reader::default();
    for entry in index.shards.iter().filter(|entry| entry.kind == "Secret") {
        let missing = || WireError::Missing {
            object: entry.name.clone(),
            named_by: name.clone(),
        };
        let shard = publication.shards.get(&entry.name).ok_or_else(missing)?;
        verify(entry, shard)?;
        reader.read(&entry.name, shard)?;
    }
    let files = reader.files.into_iter();
    Ok(files
        .map(|(name, file)| (name, PrivatePem::new(file.text)))
        .collect())
}

/// A shard's content is what its name says.
fn verify(entry: &Entry, shard: &Shard) -> Result<(), WireError> {
    let altered = |found: String, allowed: String| WireError::Altered {
        object: entry.name.clone(),
        found,
        allowed,
    };
    if shard.kind() != entry.kind {
        let (found, allowed) = (shard.kind(), shown(&entry.kind));
        return Err(altered(format!("the data of a {found}"), allowed));
    }
    let bytes = shard.bytes();
    if bytes != entry.bytes {
        return Err(altered(
            format!("{bytes} octets"),
            format!("{} octets", entry.bytes),
        ));
    }
    match is_intact(&entry.name, shard) {
        true => Ok(()),
        false => Err(altered(
            format!("content of digest {}", shard.digest()),
            "what has the digest at the end of its name".to_owned(),
        )),
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    files: BTreeMap<FileName, File>,
    pools: BTreeMap<UpstreamName, PoolPart>,
    origins: Vec<RenderedRange>,
}

/// A file whose parts are being joined; it may hold a key, so it has no debug output.
struct File {
    kind: Kind,
    text: String,
    /// Line breaks in it.
    lines: usize,
}

impl Reader {
    fn read(&mut self, object: &str, shard: &Shard) -> Result<(), WireError> {
        for part in parts::<FilePart>(object, shard, FILES)? {
            self.read_file(object, shard, part)?;
        }
        for part in parts::<PoolPart>(object, shard, POOLS)? {
            if !is_name(part.upstream.as_str()) {
                let found = format!("names the upstream {}", shown(part.upstream.as_str()));
                return Err(unreadable(
                    object,
                    POOLS,
                    found,
                    "letters, digits, '.', '_' and '-'",
                ));
            }
            self.pools.insert(part.upstream.clone(), part);
        }
        Ok(())
    }

    fn read_file(&mut self, object: &str, shard: &Shard, part: FilePart) -> Result<(), WireError> {
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
        let file = self.files.entry(part.file.clone()).or_insert(File {
            kind: part.content,
            text: String::new(),
            lines: 0,
        });
        if file.kind != part.content {
            let found = format!("has {} as {:?}", shown(&part.file), part.content);
            return Err(unreadable(object, FILES, found, format!("{:?}", file.kind)));
        }
        let before = file.lines;
        file.text.push_str(text);
        file.lines += text.matches('\n').count();
        let ranges = part.origins.iter();
        self.origins
            .extend(ranges.filter_map(|range| range.range(&part.file, before)));
        Ok(())
    }

    fn finish(
        mut self,
        index_name: &str,
        index: &Index,
        mut endpoints: BTreeMap<UpstreamName, Vec<Endpoint>>,
    ) -> Result<Bundle, WireError> {
        let mut files = self.files.iter();
        let pools_file = files.find(|(_, file)| file.kind == Kind::Pools);
        let pools_file = pools_file.map(|(name, _)| name.clone());
        let mut pools = BTreeMap::new();
        let mut before: usize = 0;
        for (name, part) in self.pools {
            let missing = || WireError::Missing {
                object: format!("the endpoints of {name}"),
                named_by: index_name.to_owned(),
            };
            let endpoints = endpoints.remove(&name).ok_or_else(missing)?;
            if let Some(file) = &pools_file {
                let ranges = part.origins.iter();
                self.origins
                    .extend(ranges.filter_map(|range| range.range(file, before)));
            }
            let pool = Pool {
                endpoints,
                name: external(index_name, part.external)?,
                section: part.section,
            };
            before = before.saturating_add(pool.head_lines());
            pools.insert(name, pool);
        }
        self.origins.sort();
        let content = |(name, file): (FileName, File)| (name, file.content());
        Ok(Bundle {
            format: index.format,
            proxy: index.proxy,
            structure: self.files.into_iter().map(content).collect(),
            pools,
            origins: self.origins.into(),
        })
    }
}

fn external(object: &str, external: Option<External>) -> Result<Option<(DnsName, u16)>, WireError> {
    let Some(External { name, port }) = external else {
        return Ok(None);
    };
    let wrong = |error| {
        unreadable(
            object,
            POOLS,
            format!("has {}: {error}", shown(&name)),
            "a DNS name",
        )
    };
    Ok(Some((name.parse().map_err(wrong)?, port)))
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
