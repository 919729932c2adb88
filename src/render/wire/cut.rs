//! Where a bundle is cut into shards. Its content is one long row of pieces, and the pieces themselves
//! say after which of them a cut comes (by their digest): a piece that comes or goes moves no cut but
//! those beside it, wherever it stands, and joining the pieces gives every octet back.
//!
//! Why not buckets by host: the lines of one host stand far apart in several files whose order counts,
//! so putting them together again would take a number for each line.

use std::collections::BTreeMap;

use crate::model::names::UpstreamName;
use crate::render::bundle::{Bundle, Content, Pool, RenderedRange};

use super::parts::Kind;

/// How much goes into a shard of plain content, in octets: this on average, half of it at least, four
/// times as much at most. A file of up to this stays in one piece. Small, because one more host changes
/// a line in each of about five shards.
pub const PLAIN: usize = 16 << 10;

/// The same for private content. Larger, because a certificate is in one shard only, and certificates
/// are most of a large bundle.
pub const PRIVATE: usize = 48 << 10;

/// What is never torn apart: a short file, a line of a longer one, or a pool without its endpoints.
pub struct Piece<'a> {
    pub of: Of<'a>,
    /// Of a file; empty for a pool.
    pub text: &'a str,
    /// Lines of the file before this piece.
    pub before: usize,
    /// The ranges that begin here.
    pub ranges: Vec<&'a RenderedRange>,
    /// What decides whether a cut comes after this piece.
    mark: &'a str,
}

#[derive(Clone, Copy)]
pub enum Of<'a> {
    File(&'a str, Kind),
    Pool(&'a UpstreamName, &'a Pool),
}

impl Piece<'_> {
    /// About how many octets it adds to a shard.
    fn weight(&self) -> usize {
        let of = match self.of {
            Of::File(name, _) if self.mark == name => 2 * name.len() + 50,
            Of::File(..) => 0,
            Of::Pool(name, pool) => {
                let section = pool.section.as_ref();
                let section =
                    section.map_or(0, |s| s.head.len() + s.before.len() + s.after.len() + 50);
                name.as_str().len() + section + 30
            }
        };
        let origins = self.ranges.iter().map(|range| origin_weight(range));
        self.text.len() + of + origins.sum::<usize>()
    }

    /// True for one in `apart / weight` pieces, so that cuts are about `apart` octets apart, however
    /// large the pieces are.
    fn ends_a_shard(&self, apart: usize) -> bool {
        let digest = blake3::hash(self.mark.as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        u32::from_le_bytes([a, b, c, d]) as usize % apart < self.weight()
    }
}

fn origin_weight(range: &RenderedRange) -> usize {
    let object = &range.origin.object;
    object.namespace.len() + object.name.len() + range.origin.field.as_str().len() + 85
}

/// Shares pieces out among shards, in order.
pub fn cut(pieces: Vec<Piece<'_>>, aim: usize) -> Vec<Vec<Piece<'_>>> {
    let least = aim / 2;
    let mut shards = Vec::new();
    let mut open: Vec<Piece<'_>> = Vec::new();
    let mut filled = 0;
    for piece in pieces {
        let weight = piece.weight();
        if !open.is_empty() && filled + weight > 4 * aim {
            shards.push(std::mem::take(&mut open));
            filled = 0;
        }
        filled += weight;
        let ends = filled >= least && piece.ends_a_shard(aim - least);
        open.push(piece);
        if ends {
            shards.push(std::mem::take(&mut open));
            filled = 0;
        }
    }
    if !open.is_empty() {
        shards.push(open);
    }
    shards
}

/// The files that anybody may read, then the pools.
pub fn plain(bundle: &Bundle) -> Vec<Piece<'_>> {
    let origins = Origins::of(bundle);
    let mut pieces = Vec::new();
    let mut pools_file = None;
    for (name, content) in &bundle.structure {
        let text = match content {
            Content::Text(text) => text,
            Content::Table(table) => &table.text,
            Content::Pools => {
                pools_file.get_or_insert(name.as_str());
                ""
            }
            Content::Private(_) => continue,
        };
        let of = Of::File(name, Kind::of(content));
        let ranges = match content {
            Content::Pools => &[],
            _ => origins.in_file(name),
        };
        pieces.extend(of_file(of, name, text, ranges, PLAIN));
    }
    let ranges = pools_file.map_or(&[] as &[_], |name| origins.in_file(name));
    pieces.extend(of_pools(&bundle.pools, ranges));
    pieces
}

/// The files that only the proxy reads.
pub fn private(bundle: &Bundle) -> Vec<Piece<'_>> {
    let origins = Origins::of(bundle);
    let mut pieces = Vec::new();
    for (name, content) in &bundle.structure {
        if let Content::Private(pem) = content {
            let of = Of::File(name, Kind::Private);
            let ranges = origins.in_file(name);
            pieces.extend(of_file(of, name, pem.reveal(), ranges, PRIVATE));
        }
    }
    pieces
}

/// Ranges by file, in order. Those of a file that the bundle lacks lead nowhere and are left out.
struct Origins<'a>(BTreeMap<&'a str, Vec<&'a RenderedRange>>);

impl<'a> Origins<'a> {
    fn of(bundle: &'a Bundle) -> Self {
        let mut files: BTreeMap<&str, Vec<&RenderedRange>> = BTreeMap::new();
        for range in bundle.origins.iter() {
            files.entry(&range.file).or_default().push(range);
        }
        files.values_mut().for_each(|ranges| ranges.sort());
        Self(files)
    }

    fn in_file(&self, name: &str) -> &[&'a RenderedRange] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A short file whole, a longer one line by line.
fn of_file<'a>(
    of: Of<'a>,
    name: &'a str,
    text: &'a str,
    ranges: &[&'a RenderedRange],
    aim: usize,
) -> Vec<Piece<'a>> {
    let weight: usize = ranges.iter().map(|range| origin_weight(range)).sum();
    if text.len() + weight <= aim || text.is_empty() {
        return vec![Piece {
            of,
            text,
            before: 0,
            ranges: ranges.to_vec(),
            mark: name,
        }];
    }
    let mut pieces = Vec::new();
    let mut rest = ranges;
    for (before, line) in text.split_inclusive('\n').enumerate() {
        let starts = rest.partition_point(|range| range.first <= before + 1);
        let (mut here, later) = rest.split_at(starts);
        rest = later;
        for text in bites(line, 2 * aim) {
            pieces.push(Piece {
                of,
                text,
                before,
                ranges: std::mem::take(&mut here).to_vec(),
                mark: text,
            });
        }
    }
    if let Some(last) = pieces.last_mut() {
        last.ranges.extend(rest);
    }
    pieces
}

/// A text in pieces of at most `most` octets; never an empty one.
fn bites(mut text: &str, most: usize) -> Vec<&str> {
    let mut bites = Vec::new();
    while !text.is_empty() {
        let (bite, rest) = text.split_at(text.floor_char_boundary(most));
        bites.push(bite);
        text = rest;
    }
    bites
}

/// Every pool without its endpoints, with the ranges that begin in the lines of its head.
fn of_pools<'a>(
    pools: &'a BTreeMap<UpstreamName, Pool>,
    ranges: &[&'a RenderedRange],
) -> Vec<Piece<'a>> {
    let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(pools.len());
    let (mut before, mut rest) = (0, ranges);
    for (name, pool) in pools {
        let lines = pool.head_lines();
        let starts = match lines {
            0 => 0,
            _ => rest.partition_point(|range| range.first <= before + lines),
        };
        let (here, later) = rest.split_at(starts);
        rest = later;
        pieces.push(Piece {
            of: Of::Pool(name, pool),
            text: "",
            before,
            ranges: here.to_vec(),
            mark: name.as_str(),
        });
        before += lines;
    }
    pieces
}
