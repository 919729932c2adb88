//! What a proxy gets: files, endpoints apart from them, and where each part came from. The only
//! contract between the one who renders and the one who loads.
//!
//! Structure is everything whose change is seen in files; its digest is the revision. Endpoints
//! change far more often and have their own place: [`Content::Pools`] says which file they belong
//! into, and [`Bundle::files`] puts both together.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::diagnostics::Origin;
use crate::model::names::{DnsName, UpstreamName};
use crate::model::{Endpoint, PrivatePem};

/// The format of what is written here, raised with every change of it. What an older or a newer agent
/// reads is said in [`wire`](super::wire).
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
    /// Where a refusal of the proxy leads to, sorted by file and line. Shared with the plans that
    /// lead here.
    pub origins: Arc<[RenderedRange]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What a proxy reads as a whole.
    Text(String),
    /// What a proxy may take line by line as it runs.
    Table(Table),
    /// Every pool that has a section, by name: the section's head, then a line for each endpoint. A
    /// bundle has one such file at most.
    Pools,
    /// Chain and key; goes to a Secret and a file that only the proxy reads.
    Private(PrivatePem),
}

/// Lines, each a key and a value with a space between them; every line ends with a line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub order: Order,
    pub text: String,
}

/// How a look-up in a table finds its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the key, which no other line has: where a line stands means nothing.
    Any,
    /// The first line that fits.
    First,
}

/// The endpoints behind an upstream, and how they are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Sorted, without duplicates.
    pub endpoints: Vec<Endpoint>,
    /// An ExternalName: the agent puts what this name resolves to in place of `endpoints`.
    pub name: Option<(DnsName, u16)>,
    /// None where no file holds endpoints (nginx asks for them by DNS).
    pub section: Option<Section>,
}

/// How a pool stands in a file: a line `head`, and for each endpoint a line
/// `<before><name> <address:port><after>`. The name is made of the address and the port, so that an
/// endpoint keeps it whatever stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub head: String,
    pub before: String,
    pub after: String,
}

impl Pool {
    /// Lines that it takes in a file while it is empty.
    pub fn head_lines(&self) -> usize {
        let head = self.section.as_ref().map(|section| &section.head);
        head.map_or(0, |head| head.matches('\n').count() + 1)
    }
}

impl Section {
    fn print(&self, endpoints: &[Endpoint], text: &mut String) {
        text.push_str(&self.head);
        text.push('\n');
        for endpoint in endpoints {
            let (before, after) = (&self.before, &self.after);
            let name = endpoint_name(endpoint);
            let _ = writeln!(text, "{before}{name} {endpoint}{after}");
        }
    }
}

/// `10.0.0.1_8080`, or with '-' for ':' in IPv6 addresses.
pub fn endpoint_name(endpoint: &Endpoint) -> String {
    format!("{}_{}", endpoint.address, endpoint.port).replace(':', "-")
}

/// Lines of a file that one object asked for; lines count from 1, in the file as it is on disk when
/// every pool is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
                Content::Text(text) => part(text.as_bytes()),
                Content::Table(table) => part(table.text.as_bytes()),
                Content::Pools => part(b"pools"),
            }
        }
        for (name, pool) in &self.pools {
            part(name.as_str().as_bytes());
            if let Some((name, port)) = &pool.name {
                part(format!("{name}:{port}").as_bytes());
            }
            if let Some(section) = &pool.section {
                part(section.head.as_bytes());
                part(section.before.as_bytes());
                part(section.after.as_bytes());
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
        let all = self.structure.iter();
        all.map(|(name, content)| (name.as_str(), self.text(content)))
            .collect()
    }

    /// One file of them.
    pub fn file(&self, name: &str) -> Option<FileText> {
        self.structure.get(name).map(|content| self.text(content))
    }

    /// Whether a file is the same in both, or in none; nothing is printed to find out.
    pub fn has_same_file(&self, other: &Self, name: &str) -> bool {
        let (one, another) = (self.structure.get(name), other.structure.get(name));
        one == another && (one != Some(&Content::Pools) || self.sections().eq(other.sections()))
    }

    /// What the file of pools holds.
    fn sections(&self) -> impl Iterator<Item = (&Section, &[Endpoint])> {
        let pools = self.pools.values();
        pools.filter_map(|pool| Some((pool.section.as_ref()?, pool.endpoints.as_slice())))
    }

    /// A file's text as it lies on disk.
    pub fn text(&self, content: &Content) -> FileText {
        match content {
            Content::Private(pem) => FileText::Private(pem.clone()),
            Content::Text(text) => FileText::Public(text.clone()),
            Content::Table(table) => FileText::Public(table.text.clone()),
            Content::Pools => {
                let mut text = String::new();
                for (section, endpoints) in self.sections() {
                    section.print(endpoints, &mut text);
                }
                FileText::Public(text)
            }
        }
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
