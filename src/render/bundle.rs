//! What a proxy gets: files, endpoints apart from them, and where each part came from. The only
//! contract between the one who renders and the one who loads.
//!
//! Structure is everything whose change is seen in files; its digest is the revision. Endpoints
//! change far more often and have their own place: a file names an upstream where its endpoints
//! belong ([`Piece::Endpoints`]), and [`Bundle::files`] puts both together.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::diagnostics::Origin;
use crate::model::names::{DnsName, UpstreamName};
use crate::model::{Endpoint, PrivatePem};

/// Raised when an older agent could not read a bundle.
pub const FORMAT: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyKind {
    Nginx,
    Haproxy,
}

impl ProxyKind {
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Haproxy];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A path below the bundle's directory, made by a renderer of names of our own.
pub type FileName = String;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub format: u32,
    pub proxy: ProxyKind,
    pub structure: BTreeMap<FileName, Content>,
    pub pools: BTreeMap<UpstreamName, Pool>,
    /// Where a refusal of the proxy leads to, by file and line.
    pub origins: Vec<RenderedRange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Text(Vec<Piece>),
    /// Chain and key; goes to a Secret and a file that only the proxy reads.
    Private(PrivatePem),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// One line for each endpoint of this pool, as its [`Pool::line`] says.
    Endpoints(UpstreamName),
}

/// The endpoints behind an upstream, and how one is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Sorted, without duplicates.
    pub endpoints: Vec<Endpoint>,
    /// An ExternalName: the agent puts what this name resolves to in place of `endpoints`.
    pub name: Option<(DnsName, u16)>,
    /// What surrounds an endpoint in a file; None where no file holds endpoints (nginx asks for them
    /// by DNS).
    pub line: Option<EndpointLine>,
}

/// A line `<before><name> <address:port><after>`; the name is made of the address and the port, so
/// that an endpoint keeps it whatever stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLine {
    pub before: String,
    pub after: String,
}

impl EndpointLine {
    pub fn print(&self, endpoint: &Endpoint) -> String {
        format!(
            "{}{} {}{}\n",
            self.before,
            endpoint_name(endpoint),
            endpoint,
            self.after
        )
    }
}

/// `10.0.0.1_8080`, or with '-' for ':' in IPv6 addresses.
pub fn endpoint_name(endpoint: &Endpoint) -> String {
    format!("{}_{}", endpoint.address, endpoint.port).replace(':', "-")
}

/// Lines of a file that one object asked for; lines count from 1, in the file as it is on disk when
/// every pool is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedRange {
    pub file: FileName,
    pub first: usize,
    pub last: usize,
    pub origin: Origin,
}

/// Names a structure by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(String);

impl Revision {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Bundle {
    /// The digest over everything but endpoints: 12 hexadecimal digits.
    pub fn revision(&self) -> Revision {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.proxy.as_str().as_bytes());
        for (name, content) in &self.structure {
            part(name.as_bytes());
            match content {
                Content::Private(pem) => part(pem.reveal().as_bytes()),
                Content::Text(pieces) => {
                    for piece in pieces {
                        match piece {
                            Piece::Text(text) => part(text.as_bytes()),
                            Piece::Endpoints(upstream) => part(upstream.as_str().as_bytes()),
                        }
                    }
                }
            }
        }
        for (name, pool) in &self.pools {
            part(name.as_str().as_bytes());
            if let Some((name, port)) = &pool.name {
                part(format!("{name}:{port}").as_bytes());
            }
            if let Some(line) = &pool.line {
                part(line.before.as_bytes());
                part(line.after.as_bytes());
            }
        }
        Revision(hasher.finalize().to_hex().chars().take(12).collect())
    }

    /// The digest over the endpoints: 12 hexadecimal digits.
    pub fn endpoints_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, pool) in &self.pools {
            hasher.update(name.as_str().as_bytes());
            for endpoint in &pool.endpoints {
                hasher.update(b" ");
                hasher.update(endpoint.to_string().as_bytes());
            }
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex().chars().take(12).collect()
    }

    /// Every file as it lies on disk, structure and endpoints together.
    pub fn files(&self) -> BTreeMap<&str, FileText> {
        self.structure
            .iter()
            .map(|(name, content)| {
                let text = match content {
                    Content::Private(pem) => FileText::Private(pem.clone()),
                    Content::Text(pieces) => FileText::Public(self.text(pieces)),
                };
                (name.as_str(), text)
            })
            .collect()
    }

    fn text(&self, pieces: &[Piece]) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Endpoints(upstream) => {
                    let pool = self.pools.get(upstream);
                    if let Some((pool, line)) = pool.and_then(|p| Some((p, p.line.as_ref()?))) {
                        pool.endpoints
                            .iter()
                            .for_each(|e| text.push_str(&line.print(e)));
                    }
                }
            }
        }
        text
    }
}

/// A file's text; one with a key is kept apart so that it cannot be printed by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileText {
    Public(String),
    Private(PrivatePem),
}

impl FileText {
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Public(text) => text.as_bytes(),
            Self::Private(pem) => pem.reveal().as_bytes(),
        }
    }
}
