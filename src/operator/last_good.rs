//! Certificates that are served already, as a process that starts anew finds them in what is published:
//! where a Secret cannot be used any more, what was good of it goes on being served.
//!
//! Why not a memory of their own: the publication holds just what is served, also of a Secret that was
//! broken while no controller ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::model::names::CertificateId;
use crate::model::{Certificate, PrivatePem};
use crate::render::bundle::{FileName, ProxyKind};
use crate::render::certificate_file;
use crate::render::wire::{Installation, Publication, Shard, WireError, contents, private_files};
use crate::snapshot::{ObjectName, Snapshot};
use crate::telemetry::chain;
use crate::translate::certificate_of_pem;

use super::standing::Stands;

/// Secrets that are read at the same time.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Answers of no use after which nothing else is waited for.
const TRIES: u32 = 6;

/// The private files that are published, by name.
pub type Files = BTreeMap<FileName, PrivatePem>;

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot read {object}")]
    Api {
        object: String,
        source: Box<kube::Error>,
    },
    #[error("no answer about {0} in time")]
    Slow(String),
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Reads the API: what is published for any of these proxies. Without an answer it is waited for; where
/// the answer is of no use, a Secret that cannot be used has no last good certificate.
pub async fn published(
    client: &Client,
    namespace: &str,
    installation: &Installation,
    proxies: &[ProxyKind],
) -> Files {
    let mut files = Files::new();
    for proxy in proxies {
        let name = installation.index(*proxy);
        let (mut pause, mut answers) = (FIRST_PAUSE, 0);
        while answers < TRIES {
            match read(client, namespace, &name).await {
                Ok(found) => {
                    files.extend(found);
                    break;
                }
                Err(error) => {
                    answers += u32::from(error.is_answer());
                    let error = chain(&error);
                    tracing::warn!(
                        error,
                        "the certificates that are published are not known yet"
                    );
                }
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
    files
}

impl ReadError {
    /// Whether the API server has answered, and may answer the same next time.
    fn is_answer(&self) -> bool {
        match self {
            Self::Api { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.code < 500)
            }
            Self::Slow(_) => false,
            Self::Wire(_) => true,
        }
    }
}

async fn read(client: &Client, namespace: &str, name: &str) -> Result<Files, ReadError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(index) = call(name, maps.get_opt(name)).await? else {
        return Ok(Files::new());
    };
    let mut publication = Publication {
        name: name.to_owned(),
        index: index.data.unwrap_or_default(),
        shards: BTreeMap::new(),
        endpoints: BTreeMap::new(),
    };
    let named = contents(name, &publication.index)?.shards.into_iter();
    let named = named.filter(|(kind, _)| kind == "Secret");
    let fetch = |(_, name): (String, String)| {
        let secrets = &secrets;
        async move {
            let found = call(&name, secrets.get_opt(&name)).await?;
            Ok::<Option<(String, Shard)>, ReadError>(found.map(|secret| (name, secret.content())))
        }
    };
    let fetched = stream::iter(named).map(fetch).buffer_unordered(AT_ONCE);
    let fetched: Vec<Option<(String, Shard)>> = fetched.try_collect().await?;
    publication.shards = fetched.into_iter().flatten().collect();
    Ok(private_files(&publication)?)
}

async fn call<T>(
    object: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ReadError> {
    let object = object.to_owned();
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(ReadError::Api {
            object,
            source: Box::new(source),
        }),
        Err(_) => Err(ReadError::Slow(object)),
    }
}

/// Which of the files are certificates of Secrets that are in use now. Pure.
pub fn certificates(
    files: &Files,
    snapshot: &Snapshot,
    default: Option<&ObjectName>,
) -> BTreeMap<ObjectName, Certificate> {
    let ingresses = snapshot.ingresses.values();
    let used: BTreeSet<ObjectName> = ingresses.flat_map(|ingress| secrets_of(ingress)).collect();
    let ids = used.into_iter().map(|name| {
        let id = CertificateId::new(&name.namespace, &name.name);
        (name, id)
    });
    let default = default.map(|name| (name.clone(), CertificateId::default_certificate()));
    // What a Secret's own file holds goes before what was served as the default.
    let all = default.into_iter().chain(ids);
    let certificates = all.filter_map(|(name, id)| {
        let text = files.get(&certificate_file(&id))?.reveal().as_bytes();
        let certificate = certificate_of_pem(&name, text, text).ok()?;
        Some((name, certificate))
    });
    certificates.collect()
}

/// The Secrets of spec.tls.
fn secrets_of(ingress: &Ingress) -> Vec<ObjectName> {
    let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
    let spec = ingress.spec.iter();
    let tls = spec.flat_map(|spec| spec.tls.iter().flatten());
    let names = tls.filter_map(|tls| tls.secret_name.as_deref());
    names.map(|name| ObjectName::new(namespace, name)).collect()
}
