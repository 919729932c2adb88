//! How much a publication takes, and how near that is to what the cluster allows.

use super::{Publication, bytes};

/// What a publication takes, in octets of keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// All objects together.
    pub total: usize,
    pub objects: usize,
    /// One for each limit.
    pub fills: Vec<Fill>,
}

/// How far the largest object fills a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    pub limit: Limit,
    pub object: String,
    /// In octets.
    pub bytes: usize,
}

/// What an object may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// A shard has 256 KiB at most, by our own choice.
    Shard,
    /// The API takes ConfigMaps and Secrets of 1 MiB.
    Index,
    /// The same.
    Endpoints,
    /// etcd takes requests of 1.5 MiB; each one holds one object.
    Request,
}

impl Limit {
    /// In octets.
    pub fn bytes(self) -> usize {
        match self {
            Self::Shard => 256 << 10,
            Self::Index | Self::Endpoints => 1 << 20,
            Self::Request => 3 << 19,
        }
    }

    /// As a label of metrics has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Index => "index",
            Self::Endpoints => "endpoints",
            Self::Request => "request",
        }
    }
}

impl Fill {
    /// In percent of the limit; 100 is all that is allowed.
    pub fn percent(&self) -> usize {
        self.bytes.saturating_mul(100) / self.limit.bytes()
    }

    /// Whether somebody should be told: 80 % or more.
    pub fn is_near(&self) -> bool {
        self.percent() >= 80
    }
}

/// Names, labels and fields of a request beside the data of its object, in octets.
const ENVELOPE: usize = 4 << 10;

pub fn sizes(publication: &Publication) -> Sizes {
    let index = [(&publication.name, bytes(&publication.index))];
    let shards = publication.shards.iter();
    let shards: Vec<_> = shards.map(|(name, shard)| (name, shard.bytes())).collect();
    let endpoints = publication.endpoints.iter();
    let endpoints: Vec<_> = endpoints.map(|(name, data)| (name, bytes(data))).collect();
    let all: Vec<(&String, usize)> = index
        .iter()
        .chain(&shards)
        .chain(&endpoints)
        .copied()
        .collect();
    let requests: Vec<_> = all
        .iter()
        .map(|(n, bytes)| (*n, bytes + ENVELOPE))
        .collect();
    let fill = |(limit, objects): (Limit, &[(&String, usize)])| {
        // Of two that are alike, the first by name.
        let largest = objects.iter().rev().max_by_key(|(_, bytes)| *bytes);
        largest.map(|(name, bytes)| Fill {
            limit,
            object: (*name).clone(),
            bytes: *bytes,
        })
    };
    let limits = [
        (Limit::Shard, shards.as_slice()),
        (Limit::Index, &index),
        (Limit::Endpoints, &endpoints),
        (Limit::Request, &requests),
    ];
    Sizes {
        total: all.iter().map(|(_, bytes)| bytes).sum(),
        objects: all.len(),
        fills: limits.into_iter().filter_map(fill).collect(),
    }
}
