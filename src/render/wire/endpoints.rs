//! Endpoints, apart from structure: objects that are rewritten in place, each with the upstreams of
//! one bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::model::Endpoint;
use crate::model::names::UpstreamName;
use crate::render::bundle::{Bundle, ProxyKind};

use super::read::{WireError, is_name, unreadable};
use super::{Installation, Plain, digest};

/// 10,000 upstreams of three endpoints give objects of about 16 KiB. Readers do not need to know it.
const BUCKETS: u8 = 64;

const DIGEST: &str = "digest";
const SEQUENCE: &str = "sequence";
const ENDPOINTS: &str = "endpoints";

/// What one object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointsPart {
    /// One more with each change, as long as the object stands.
    pub sequence: u64,
    /// Sorted, without duplicates, as those of a pool are.
    pub pools: BTreeMap<UpstreamName, Vec<Endpoint>>,
}

fn bucket(upstream: &UpstreamName) -> u8 {
    blake3::hash(upstream.as_str().as_bytes()).as_bytes()[0] % BUCKETS
}

/// Endpoints by upstream, by bucket.
#[derive(Default)]
struct Buckets<'a>(BTreeMap<u8, BTreeMap<&'a UpstreamName, &'a [Endpoint]>>);

impl<'a> Buckets<'a> {
    fn of(bundle: &'a Bundle) -> Self {
        let mut buckets = Self::default();
        for (name, pool) in &bundle.pools {
            let of_bucket = buckets.0.entry(bucket(name)).or_default();
            of_bucket.insert(name, &pool.endpoints);
        }
        buckets
    }

    fn write(
        self,
        proxy: ProxyKind,
        installation: &Installation,
        standing: &BTreeMap<String, Plain>,
    ) -> BTreeMap<String, Plain> {
        let object = |(bucket, of_bucket): (u8, BTreeMap<&UpstreamName, &[Endpoint]>)| {
            let name = installation.endpoints(proxy, bucket);
            let lines = of_bucket.iter().map(|(name, of)| line(name, of));
            let data = follow(lines.collect(), standing.get(&name));
            (name, data)
        };
        self.0.into_iter().map(object).collect()
    }
}

fn line(name: &UpstreamName, endpoints: &[Endpoint]) -> String {
    let mut text = name.to_string();
    for endpoint in endpoints {
        let _ = write!(text, " {endpoint}");
    }
    text.push('\n');
    text
}

/// The objects of all pools; `standing` are those in the cluster.
pub fn write(
    bundle: &Bundle,
    installation: &Installation,
    standing: &BTreeMap<String, Plain>,
) -> BTreeMap<String, Plain> {
    Buckets::of(bundle).write(bundle.proxy, installation, standing)
}

/// What is written ahead of the index: of the objects that [`encode`](super::encode) gives those that do
/// not stand yet, each with what stands in its place for upstreams that the bundle lacks. So whoever still
/// has the index before it finds all that it needs, and so does whoever has the new one.
pub fn ahead(
    wanted: &BTreeMap<String, Plain>,
    standing: &BTreeMap<String, Plain>,
) -> BTreeMap<String, Plain> {
    let differ = wanted
        .iter()
        .filter(|(name, data)| standing.get(*name) != Some(data));
    let with_others = |(name, data): (&String, &Plain)| {
        let stands = standing.get(name);
        let parts = stands.map(|stands| (read_endpoints(name, stands), read_endpoints(name, data)));
        let data = match parts {
            Some((Ok(before), Ok(now))) => {
                let pools = before.pools.into_iter().chain(now.pools);
                let pools: BTreeMap<UpstreamName, Vec<Endpoint>> = pools.collect();
                let lines = pools.iter().map(|(name, of)| line(name, of));
                follow(lines.collect(), stands)
            }
            _ => data.clone(),
        };
        (name.clone(), data)
    };
    differ.map(with_others).collect()
}

/// The object that holds this text: the standing one, or the next after it.
fn follow(text: String, standing: Option<&Plain>) -> Plain {
    let last = standing.and_then(|data| data.get(SEQUENCE)?.parse::<u64>().ok());
    let same = |data: &&Plain| {
        last.is_some()
            && data.get(ENDPOINTS) == Some(&text)
            && data.get(DIGEST) == Some(&digest_of(data))
    };
    if let Some(data) = standing.filter(same) {
        return data.clone();
    }
    let sequence = last.unwrap_or(0).saturating_add(1);
    let mut data = Plain::from([
        (SEQUENCE.to_owned(), sequence.to_string()),
        (ENDPOINTS.to_owned(), text),
    ]);
    data.insert(DIGEST.to_owned(), digest_of(&data));
    data
}

fn digest_of(data: &Plain) -> String {
    let others = data.iter().filter(|(key, _)| *key != DIGEST);
    digest(others.map(|(key, text)| (key.as_str(), text.as_str())))
}

/// One object of endpoints, as a watch delivers it.
pub fn read_endpoints(object: &str, data: &Plain) -> Result<EndpointsPart, WireError> {
    let text = |key: &'static str| {
        let text = data.get(key).map(String::as_str);
        text.ok_or_else(|| {
            unreadable(
                object,
                key,
                "is missing",
                "every object of endpoints has it",
            )
        })
    };
    let (found, allowed) = (digest_of(data), text(DIGEST)?);
    if found != allowed {
        return Err(WireError::Altered {
            object: object.to_owned(),
            found: format!("content of digest {found}"),
            allowed: format!("what has digest {}", crate::model::names::shown(allowed)),
        });
    }
    let wrong = |_| unreadable(object, SEQUENCE, "is no number", "a whole number");
    let sequence = text(SEQUENCE)?.parse().map_err(wrong)?;
    let wrong = "has a line that is none of endpoints";
    let wrong = || {
        unreadable(
            object,
            ENDPOINTS,
            wrong,
            "an upstream and its addresses with ports",
        )
    };
    let lines = text(ENDPOINTS)?
        .lines()
        .map(|line| read_line(line).ok_or_else(wrong));
    Ok(EndpointsPart {
        sequence,
        pools: lines.collect::<Result<_, _>>()?,
    })
}

fn read_line(line: &str) -> Option<(UpstreamName, Vec<Endpoint>)> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| is_name(name))?;
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    let endpoint = |word: &str| {
        let address: SocketAddr = word.parse().ok()?;
        Some(Endpoint {
            address: address.ip(),
            port: address.port(),
        })
    };
    let endpoints: BTreeSet<Endpoint> = words.map(endpoint).collect::<Option<_>>()?;
    let name = UpstreamName::deserialize(name).ok()?;
    Some((name, endpoints.into_iter().collect()))
}
