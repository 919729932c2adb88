//! Bundle ↔ objects of the cluster, as plain data: what the operator writes and the agent reads. Which
//! client carries them is not known here.
//!
//! All names begin with `<installation>-<proxy>`. What `kubectl get -o yaml` shows of each:
//!
//! **The index**, a ConfigMap `<installation>-<proxy>`, written last:
//!
//! ```text
//! format: "1"                     the format of whoever wrote it, bundle::FORMAT
//! oldest-reader: "1"              the oldest format whose readers can read it
//! proxy: haproxy
//! revision: 2d1f0c9be1a4          the digest over all structure, Bundle::revision
//! shards: |                       kind, name and octets of each shard, in the order of their content
//!   ConfigMap main-haproxy-0c77d2… 17011
//!   Secret main-haproxy-91ab34… 33480
//! endpoints: |                    the objects that hold endpoints
//!   main-haproxy-endpoints-0f
//! ```
//!
//! **Shards** `<installation>-<proxy>-<digest>`, immutable: ConfigMaps, and Secrets for what is private.
//! `files` and `pools` hold one JSON object a line, `000.maps_routes.map` and so on hold text:
//!
//! ```text
//! files: |
//!   {"file":"maps/routes.map","content":"table","key":"000.maps_routes.map","origins":[
//!    {"line":1,"lines":1,"kind":"Ingress","namespace":"shop","name":"web","field":"spec.rules[0]"}]}
//! pools: |
//!   {"upstream":"5f0d…-shop-web-80","section":{"head":"backend …","before":"  server ","after":""}}
//! 000.maps_routes.map: |
//!   …
//! ```
//!
//! A file that stands in several shards is their texts joined, and lines of origins count from where
//! the part at hand begins: a line that comes or goes moves no number in another shard. A pool's lines
//! count from its head.
//!
//! **Endpoints** `<installation>-<proxy>-endpoints-<bucket>`, mutable ConfigMaps:
//!
//! ```text
//! digest: 7be0…                   over all other keys
//! sequence: "17"                  one more with each change
//! endpoints: |                    every upstream of the bucket, also those without endpoints
//!   5f0d…-shop-web-80 10.0.0.1:8080 10.0.0.2:8080
//! ```
//!
//! A reader of format N reads what N−1 and N+1 wrote: between them, keys of objects, fields of JSON,
//! words at the end of a line and kinds of object in origins are only added, and a reader passes over
//! those that it does not know. Whoever needs more than that raises `oldest-reader`.

mod cut;
mod endpoints;
mod index;
mod names;
mod parts;
mod read;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};

pub use endpoints::{EndpointsPart, ahead, read_endpoints, write as endpoints};
pub use names::Installation;
pub use read::{ReadShard, WireError, decode, join, private_files};
pub use sizes::{Fill, Limit, Sizes, sizes};

use super::Bundle;
use crate::model::PrivatePem;
use index::Index;

/// The `data` of a ConfigMap.
pub type Plain = BTreeMap<String, String>;

/// Everything that stands in the cluster for one bundle, by name of the object. It is written in this
/// order: endpoints as [`ahead`] says, shards, the index, endpoints as they stand here; then shards that
/// no index names may go, once no agent needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The index's name.
    pub name: String,
    pub index: Plain,
    pub shards: BTreeMap<String, Shard>,
    pub endpoints: BTreeMap<String, Plain>,
}

/// The data of a shard; what is private becomes a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shard {
    Plain(Plain),
    Private(BTreeMap<String, PrivatePem>),
}

impl Shard {
    /// The kind of object that it becomes.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plain(_) => "ConfigMap",
            Self::Private(_) => "Secret",
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        match self {
            Self::Plain(data) => data.get(key).map(String::as_str),
            Self::Private(data) => data.get(key).map(PrivatePem::reveal),
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::Plain(data) => digest(data.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
            Self::Private(data) => digest(data.iter().map(|(k, v)| (k.as_str(), v.reveal()))),
        }
    }

    /// Keys and values together, in octets.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Plain(data) => bytes(data),
            Self::Private(data) => data.iter().map(|(k, v)| k.len() + v.reveal().len()).sum(),
        }
    }
}

/// Keys and values together, in octets.
fn bytes(data: &Plain) -> usize {
    data.iter().map(|(k, v)| k.len() + v.len()).sum()
}

/// 32 hexadecimal digits over keys and values, which cannot run into each other. Users choose much of
/// the content, so it must be too long for a search for two contents of one name.
fn digest<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in pairs.flat_map(|(key, value)| [key, value]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// What an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// As it stands there; only what decodes is known to have it.
    pub revision: String,
    /// Kind and name of each shard.
    pub shards: BTreeSet<(String, String)>,
    pub endpoints: BTreeSet<String>,
}

/// Reads an index alone, to know what else to read.
pub fn contents(object: &str, index: &Plain) -> Result<Contents, WireError> {
    let index = Index::read(object, index)?;
    let shards = index.shards.into_iter();
    Ok(Contents {
        revision: index.revision,
        shards: shards.map(|entry| (entry.kind, entry.name)).collect(),
        endpoints: index.endpoints.into_iter().collect(),
    })
}

/// Whether a shard holds what its name says.
pub fn is_intact(name: &str, shard: &Shard) -> bool {
    name.rsplit('-').next() == Some(&shard.digest())
}

/// The objects of a bundle. `standing` are the endpoints as the cluster has them, empty at first: what
/// is equal stays as it is, and what differs gets the next sequence number.
pub fn encode(
    bundle: &Bundle,
    installation: &Installation,
    standing: &BTreeMap<String, Plain>,
) -> Publication {
    let plain = cut::cut(cut::plain(bundle), cut::PLAIN);
    let private = cut::cut(cut::private(bundle), cut::PRIVATE);
    let plain = plain.into_iter().map(parts::write).map(Shard::Plain);
    let private = private.into_iter().map(parts::write).map(|data| {
        let hidden = |(key, text)| (key, PrivatePem::new(text));
        Shard::Private(data.into_iter().map(hidden).collect())
    });
    let named = |shard: Shard| {
        let name = installation.shard(bundle.proxy, &shard.digest());
        (name, shard)
    };
    let shards: Vec<(String, Shard)> = plain.chain(private).map(named).collect();
    let endpoints = endpoints::write(bundle, installation, standing);
    let index = Index::of(bundle, &shards, &endpoints);
    Publication {
        name: installation.index(bundle.proxy),
        index: index.write(),
        shards: shards.into_iter().collect(),
        endpoints,
    }
}

#[cfg(test)]
mod tests;
