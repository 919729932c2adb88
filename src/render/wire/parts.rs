//! What a shard says of its content: one JSON object a line for each part of a file and for each pool.

use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::model::diagnostics::{FieldPath, Kind as ObjectKind, ObjectRef, Origin};
use crate::model::names::UpstreamName;
use crate::render::bundle::{Content, FileName, Order, Pool, RenderedRange, Section};

use super::Plain;
use super::cut::{Of, Piece};

/// The keys of a shard that hold no text of a file.
pub const FILES: &str = "files";
pub const POOLS: &str = "pools";

/// What a file is; its words stand in shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Text,
    /// [`Order::Any`].
    Table,
    /// [`Order::First`].
    OrderedTable,
    Pools,
    Private,
}

impl Kind {
    pub fn of(content: &Content) -> Self {
        match content {
            Content::Text(_) => Self::Text,
            Content::Table(table) => match table.order {
                Order::Any => Self::Table,
                Order::First => Self::OrderedTable,
            },
            Content::Pools => Self::Pools,
            Content::Private(_) => Self::Private,
        }
    }
}

/// A file, or a part of one.
#[derive(Serialize, Deserialize)]
pub struct FilePart {
    pub file: FileName,
    pub content: Kind,
    /// The key of the shard that holds the text.
    pub key: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<RangePart>,
}

/// A pool without its endpoints.
#[derive(Serialize, Deserialize)]
pub struct PoolPart {
    pub upstream: UpstreamName,
    /// Of an ExternalName.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<RangePart>,
}

#[derive(Serialize, Deserialize)]
pub struct External {
    pub name: String,
    pub port: u16,
}

/// Lines of a part and the object that asked for them.
#[derive(Serialize, Deserialize)]
pub struct RangePart {
    /// The first line, counted from 1 where the part begins.
    pub line: usize,
    /// How many; they may go on in the next shard.
    pub lines: usize,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub field: String,
}

impl RangePart {
    fn of(range: &RenderedRange, before: usize) -> Self {
        let Origin { object, field } = &range.origin;
        Self {
            line: range.first.saturating_sub(before),
            lines: (range.last + 1).saturating_sub(range.first),
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            field: field.as_str().to_owned(),
        }
    }

    /// The range in its file; None where a newer version knows a kind of object that this one does not.
    pub fn range(&self, file: &str, before: usize) -> Option<RenderedRange> {
        let kind: StrDeserializer<'_, ValueError> = self.kind.as_str().into_deserializer();
        let kind = ObjectKind::deserialize(kind).ok()?;
        let object = ObjectRef::new(kind, &self.namespace, &self.name);
        let first = before.saturating_add(self.line);
        Some(RenderedRange {
            file: file.to_owned(),
            first,
            last: first.saturating_add(self.lines).saturating_sub(1),
            origin: Origin::new(object, FieldPath::new(self.field.as_str())),
        })
    }
}

/// The data of a shard that is made of these pieces.
pub fn write(pieces: Vec<Piece<'_>>) -> Plain {
    let mut data = Plain::new();
    let mut files: Vec<FilePart> = Vec::new();
    let mut pools: Vec<PoolPart> = Vec::new();
    // Lines before the part that is being written.
    let mut before = 0;
    for piece in &pieces {
        match piece.of {
            Of::File(name, content) => {
                if files.last().is_none_or(|part| part.file != name) {
                    before = piece.before;
                    let key = key(files.len(), name);
                    files.push(FilePart {
                        file: name.to_owned(),
                        content,
                        key,
                        origins: Vec::new(),
                    });
                }
                if let Some(part) = files.last_mut() {
                    let text = data.entry(part.key.clone()).or_default();
                    text.push_str(piece.text);
                    part.origins.extend(origins(piece, before));
                }
            }
            Of::Pool(name, pool) => pools.push(pool_part(name, pool, piece)),
        }
    }
    let lists = [(FILES, lines(&files)), (POOLS, lines(&pools))];
    let filled = lists.into_iter().filter(|(_, text)| !text.is_empty());
    data.extend(filled.map(|(key, text)| (key.to_owned(), text)));
    data
}

fn pool_part(name: &UpstreamName, pool: &Pool, piece: &Piece<'_>) -> PoolPart {
    PoolPart {
        upstream: name.clone(),
        external: pool.name.as_ref().map(|(name, port)| External {
            name: name.to_string(),
            port: *port,
        }),
        section: pool.section.clone(),
        origins: origins(piece, piece.before).collect(),
    }
}

fn origins(piece: &Piece<'_>, before: usize) -> impl Iterator<Item = RangePart> {
    let ranges = piece.ranges.iter();
    ranges.map(move |range| RangePart::of(range, before))
}

/// A key that an object may have, in the order of the parts: the API takes no '/'.
fn key(number: usize, file: &str) -> String {
    let kept = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c,
        _ => '_',
    };
    let name: String = file.chars().take(200).map(kept).collect();
    format!("{number:03}.{name}")
}

/// One JSON object a line. Strings and numbers are always JSON, so nothing is lost by `ok`.
fn lines<T: Serialize>(parts: &[T]) -> String {
    let lines = parts
        .iter()
        .filter_map(|part| serde_json::to_string(part).ok());
    lines.map(|line| line + "\n").collect()
}
