//! The live expectations of a case: `expect.yaml`, which says what a client must see.
//!
//! `tests/cases/README.md` is the reference of the format; these types are its definition. Unknown
//! keys are errors, so that a misspelt expectation cannot pass for a fulfilled one.

mod backends;
mod check;
mod failure;
mod plain;
mod plan;
mod run;
mod send;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::echo::Listen;
use words::{Amount, Fields, Pattern, Time, TimeSpan};

pub use backends::{SHARED_BACKENDS, start_backends};
pub use failure::{Failure, Proxy};
pub use plain::Plain;
pub use run::run_expectations;

/// A whole `expect.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectations {
    /// Further arguments for the command that serves or renders the case.
    #[serde(default)]
    pub options: Vec<String>,
    /// Echo backends beyond the shared ones.
    #[serde(default)]
    backends: Vec<String>,
    /// What this case's own https backends show, and whom they trust.
    backend_identity: Option<BackendIdentity>,
    #[serde(default)]
    requests: Vec<Entry>,
    /// Where the files lie that the expectations name.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BackendIdentity {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

/// A request, how to send it, and what must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Entry {
    // Exactly one of these says what is asked; the value is the URL.
    get: Option<String>,
    head: Option<String>,
    post: Option<String>,
    put: Option<String>,
    patch: Option<String>,
    delete: Option<String>,
    options: Option<String>,
    websocket: Option<String>,
    grpc: Option<String>,
    /// A request line as it stands; `to` says where it goes.
    raw: Option<String>,
    to: Option<String>,

    headers: Fields<String>,
    header_bytes: Option<usize>,
    body: Option<String>,
    body_bytes: Option<usize>,
    chunked: bool,
    stream: Option<Vec<String>>,
    cookies: bool,

    h2: bool,
    tls: Option<String>,
    accepts: Option<String>,
    #[serde(deserialize_with = "words::even_null")]
    sni: Option<Option<String>>,
    client: Option<std::net::IpAddr>,
    client_certificate: Option<ClientCertificate>,
    proxy_protocol: Option<String>,
    timeout: Option<Time>,

    repeat: Option<usize>,
    parallel: Option<usize>,
    keep_alive: bool,
    share: Option<BTreeMap<String, Amount>>,
    eventually: Option<Time>,

    only: Option<Proxy>,
    because: Option<String>,

    expect: Option<Wanted>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientCertificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// What every answer to the request must be like. What is not mentioned is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Wanted {
    status: Option<u16>,
    headers: Fields<Pattern>,
    body: Option<Pattern>,
    body_bytes: Option<usize>,
    grpc_status: Option<String>,
    streamed: Option<bool>,
    body_starts: Option<TimeSpan>,
    takes: Option<TimeSpan>,
    certificate: Option<CertificateWanted>,
    tls: Option<String>,
    fails: Option<Pattern>,

    // From here on: as the backend saw it.
    #[serde(deserialize_with = "words::even_null")]
    backend: Option<Option<String>>,
    same_backend: Option<bool>,
    same_connection: Option<bool>,
    method: Option<String>,
    path: Option<Pattern>,
    protocol: Option<String>,
    sees: Fields<Pattern>,
    body_received: Option<u64>,
    backend_tls: Option<bool>,
    #[serde(deserialize_with = "words::even_null")]
    backend_sni: Option<Option<Pattern>>,
    #[serde(deserialize_with = "words::even_null")]
    backend_client_certificate: Option<Option<Pattern>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CertificateWanted {
    /// A name among those that the certificate is for.
    san: Option<Pattern>,
    subject: Option<Pattern>,
    /// `ecdsa`, `rsa` or `ed25519`.
    key: Option<String>,
    /// The subjects of the whole chain in the order sent, the proxy's own first.
    chain: Option<Vec<String>>,
    /// Whether it is the one that a stranger's name gets, too.
    default: Option<bool>,
}

impl Expectations {
    /// Reads the `expect.yaml` of a case folder.
    pub fn load(folder: &Path) -> anyhow::Result<Expectations> {
        let file = Path::new("expect.yaml");
        let text = read(folder, file)?;
        Expectations::parse(&text, folder).with_context(|| folder.join(file).display().to_string())
    }

    /// Reads expectations whose files lie in `folder`, and finds every mistake that can be found
    /// without a proxy.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Expectations> {
        let mut expectations: Expectations = serde_saphyr::from_str(text)?;
        expectations.folder = folder.to_owned();
        expectations.listens()?;
        for (index, entry) in expectations.requests.iter().enumerate() {
            entry
                .check(folder)
                .with_context(|| format!("request {}", index + 1))?;
        }
        Ok(expectations)
    }

    fn listens(&self) -> anyhow::Result<Vec<Listen>> {
        let parse = |text: &String| text.parse().map_err(anyhow::Error::msg);
        let listens = self.backends.iter().map(parse);
        listens.collect::<Result<_, _>>().context("backends")
    }
}

impl Entry {
    fn check(&self, folder: &Path) -> anyhow::Result<()> {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        self.plan(folder, nowhere, nowhere)?;
        ensure!(
            self.only.is_none() || self.because.is_some(),
            "`only` needs a `because`: why must the proxies differ here?"
        );
        ensure!(
            self.share.is_none() || self.repeat.is_some(),
            "`share` needs a `repeat`"
        );
        ensure!(
            self.parallel.is_none() || !(self.cookies || self.keep_alive),
            "`parallel` goes with neither `cookies` nor `keep-alive`"
        );
        ensure!(
            self.share.is_some() || self.expect.is_some(),
            "it expects nothing"
        );
        Ok(())
    }
}

/// A file that expectations name, relative to their folder.
fn read(folder: &Path, file: &Path) -> anyhow::Result<String> {
    let file = folder.join(file);
    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
}
