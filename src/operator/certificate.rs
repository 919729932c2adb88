//! The certificate that is served where no other fits. It is made once for an installation and kept in
//! a Secret, so that all replicas and all later processes serve the same one. No client trusts it; it is
//! there so that handshakes succeed and answers can be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::api::INSTANCE_LABEL;
use crate::model::Certificate;
use crate::render::wire::Installation;
use crate::self_signed::{SelfSignedError, self_signed};
use crate::snapshot::ObjectName;
use crate::telemetry::chain;
use crate::translate::certificate_of_secret;

const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Refusals in a row after which nothing else is waited for.
const REFUSALS: u32 = 6;

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot read or write the Secret {name}")]
    Api {
        name: String,
        source: Box<kube::Error>,
    },
    #[error("no answer about the Secret {0} in time")]
    Slow(String),
    #[error(transparent)]
    Make(#[from] SelfSignedError),
    #[error("the Secret {name} cannot be used: {why}; delete it, and it is made anew")]
    Unusable { name: String, why: String },
}

/// The kept certificate, made where there is none yet; without an answer it is waited for, since all
/// replicas are to serve the same one. Where the cluster does not let us keep one, it is one of this
/// process alone.
pub async fn kept(
    client: Client,
    namespace: String,
    installation: Installation,
    owner: Option<OwnerReference>,
    today: Date,
) -> Option<Certificate> {
    let name = format!("{installation}-default-certificate");
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let (mut pause, mut refusals) = (FIRST_PAUSE, 0);
    while refusals < REFUSALS {
        let owner = owner.as_ref();
        let keep = keep(&api, &namespace, &name, &installation, owner, today);
        let kept = match timeout(PATIENCE, keep).await {
            Ok(kept) => kept,
            Err(_) => Err(KeepError::Slow(name.clone())),
        };
        match kept {
            Ok(certificate) => return Some(certificate),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "no default certificate yet");
                refusals = if error.is_refusal() { refusals + 1 } else { 0 };
            }
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
    tracing::warn!("the default certificate is one of this process alone");
    self_signed(today).ok()
}

impl KeepError {
    /// Whether it was an answer, and will most likely be the same next time.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Api { source, .. } => {
                // 429: too many requests, at this moment.
                matches!(source.as_ref(), kube::Error::Api(s) if s.code < 500 && s.code != 429)
            }
            Self::Slow(_) => false,
            Self::Make(_) | Self::Unusable { .. } => true,
        }
    }
}

async fn keep(
    api: &Api<Secret>,
    namespace: &str,
    name: &str,
    installation: &Installation,
    owner: Option<&OwnerReference>,
    today: Date,
) -> Result<Certificate, KeepError> {
    let failed = |source| KeepError::Api {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let object = ObjectName::new(namespace, name);
    let read = |secret: &Secret| {
        certificate_of_secret(&object, secret).map_err(|why| KeepError::Unusable {
            name: name.to_owned(),
            why,
        })
    };
    if let Some(secret) = api.get_opt(name).await.map_err(failed)? {
        return read(&secret);
    }
    let made = self_signed(today)?;
    let (chain, key) = made.pem.reveal().split_at(key_begins(made.pem.reveal()));
    let pair = [("tls.crt", chain), ("tls.key", key)];
    let bytes = |(key, text): (&str, &str)| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(INSTANCE_LABEL.to_owned(), installation.to_string())].into()),
            owner_references: owner.cloned().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(pair.map(bytes).into_iter().collect::<BTreeMap<_, _>>()),
        ..Secret::default()
    };
    let made = match api.create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(name).await,
        other => other,
    };
    read(&made.map_err(failed)?)
}

/// Where the key begins in a chain with its key.
fn key_begins(pem: &str) -> usize {
    let mark = "-----BEGIN PRIVATE KEY-----";
    pem.find(mark).unwrap_or(pem.len())
}
