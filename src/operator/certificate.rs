//! The certificate that is served where no other fits. It is made once for an installation and kept in
//! a Secret, so that all replicas and all later processes serve the same one. No client trusts it; it is
//! there so that handshakes succeed and answers can be seen.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use jiff::civil::Date;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::INSTANCE_LABEL;
use crate::model::Certificate;
use crate::render::wire::Installation;
use crate::self_signed::{SelfSignedError, is_due, self_signed};
use crate::snapshot::ObjectName;
use crate::telemetry::chain;
use crate::translate::certificate_of_secret;
use crate::watching::watching;

use super::anchor::{Owner, owners};
use super::{Settings, today};

const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks at what is kept, where nothing changes.
const LOOK: Duration = Duration::from_secs(3600);
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

/// Begins to keep one, and tells it; nobody does where users have named theirs.
pub fn begin(
    client: &Client,
    settings: &Settings,
    owner: &Owner,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<Option<Certificate>> {
    let (telling, told) = watch::channel(None);
    if settings.options.default_certificate_secret.is_none() {
        let installation = settings.installation.clone();
        let (client, owner) = (client.clone(), owner.clone());
        let keeper = Keeper::new(client, &settings.namespace, installation, owner);
        tasks.spawn(keeper.follow(telling));
    }
    told
}

/// Keeps the certificate of one installation.
struct Keeper {
    api: Api<Secret>,
    object: ObjectName,
    installation: Installation,
    owner: Owner,
}

impl Keeper {
    fn new(client: Client, namespace: &str, installation: Installation, owner: Owner) -> Self {
        let name = format!("{installation}-default-certificate");
        Self {
            api: Api::namespaced(client, namespace),
            object: ObjectName::new(namespace, name),
            installation,
            owner,
        }
    }

    /// Tells the certificate until nobody listens any more: made where there is none, made anew at two
    /// thirds of its life, and another one as soon as somebody puts one in its place.
    async fn follow(self, told: watch::Sender<Option<Certificate>>) {
        let secrets: Api<PartialObjectMeta<Secret>> =
            Api::namespaced(self.api.clone().into_client(), &self.object.namespace);
        let only =
            watcher::Config::default().fields(&format!("metadata.name={}", self.object.name));
        let mut events = pin!(watching(secrets, only));
        let mut first = true;
        loop {
            let known = told.borrow().clone();
            let kept = self.kept(known).await;
            told.send_if_modified(|known| {
                let differs = *known != kept || first;
                *known = kept;
                differs
            });
            first = false;
            tokio::select! {
                () = told.closed() => return,
                () = seen(&mut events) => {}
                // Days pass without any event.
                () = sleep(LOOK) => {}
            }
        }
    }

    /// The kept certificate; without an answer it is waited for, since all replicas are to serve the
    /// same one. Where the cluster does not let us keep one, the one that is known goes on being served,
    /// or else one of this process alone.
    async fn kept(&self, known: Option<Certificate>) -> Option<Certificate> {
        let (mut pause, mut refusals) = (FIRST_PAUSE, 0);
        while refusals < REFUSALS {
            let kept = match timeout(PATIENCE, self.keep(today())).await {
                Ok(kept) => kept,
                Err(_) => Err(KeepError::Slow(self.object.name.clone())),
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
        let today = today();
        if let Some(known) = known.filter(|known| !is_due(known.not_after, today)) {
            return Some(known);
        }
        tracing::warn!("the default certificate is one of this process alone");
        self_signed(today).ok()
    }

    async fn keep(&self, today: Date) -> Result<Certificate, KeepError> {
        let name = &self.object.name;
        let written = match self.api.get_opt(name).await.map_err(|e| self.failed(e))? {
            None => {
                let made = self.made(&self_signed(today)?);
                self.api.create(&PostParams::default(), &made).await
            }
            Some(standing) => {
                let certificate = self.read(&standing)?;
                if !self.is_ours(&standing, &certificate) || !is_due(certificate.not_after, today) {
                    return Ok(certificate);
                }
                tracing::info!(secret = name, "the default certificate is made anew");
                let made = self.made(&self_signed(today)?);
                let anew = json!({
                    "metadata": {"resourceVersion": standing.metadata.resource_version},
                    "data": made.data,
                });
                let by = PatchParams::default();
                self.api.patch(name, &by, &Patch::Merge(anew)).await
            }
        };
        // Another replica was first.
        let stands = match written {
            Err(kube::Error::Api(status)) if status.code == 409 => self.api.get(name).await,
            other => other,
        };
        self.read(&stands.map_err(|e| self.failed(e))?)
    }

    fn failed(&self, source: kube::Error) -> KeepError {
        KeepError::Api {
            name: self.object.name.clone(),
            source: Box::new(source),
        }
    }

    fn read(&self, secret: &Secret) -> Result<Certificate, KeepError> {
        certificate_of_secret(&self.object, secret).map_err(|why| KeepError::Unusable {
            name: self.object.name.clone(),
            why,
        })
    }

    /// Whether it was made here: what somebody else has put in its place is theirs to renew.
    fn is_ours(&self, secret: &Secret, certificate: &Certificate) -> bool {
        let labels = secret.metadata.labels.as_ref();
        let instance = labels.and_then(|labels| labels.get(INSTANCE_LABEL));
        instance == Some(&self.installation.to_string()) && certificate.names.is_empty()
    }

    fn made(&self, certificate: &Certificate) -> Secret {
        let text = certificate.pem.reveal();
        let (chain, key) = text.split_at(key_begins(text));
        let pair = [("tls.crt", chain), ("tls.key", key)];
        let bytes =
            |(key, text): (&str, &str)| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.object.name.clone()),
                namespace: Some(self.object.namespace.clone()),
                labels: Some([(INSTANCE_LABEL.to_owned(), self.installation.to_string())].into()),
                owner_references: owners(&self.owner),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(pair.map(bytes).into_iter().collect::<BTreeMap<_, _>>()),
            ..Secret::default()
        }
    }
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

/// Ends when somebody has written the Secret, or taken it away.
async fn seen<S>(events: &mut S)
where
    S: Stream<Item = watcher::Result<Event<PartialObjectMeta<Secret>>>> + Unpin,
{
    while let Some(event) = events.next().await {
        if matches!(
            event,
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)
        ) {
            return;
        }
    }
}

/// Where the key begins in a chain with its key.
fn key_begins(pem: &str) -> usize {
    let mark = "-----BEGIN PRIVATE KEY-----";
    pem.find(mark).unwrap_or(pem.len())
}
