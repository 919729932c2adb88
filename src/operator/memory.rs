//! What is known of refused objects, kept from one process to the next in a Secret of our namespace:
//! without it, a controller that starts anew while an object is set aside could not know its last good
//! version, and would take its routes away. Secrets of users may be among the objects.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::api::INSTANCE_LABEL;
use crate::render::wire::Installation;
use crate::telemetry::chain;
use crate::translate::Quarantine;

use super::Settings;
use super::anchor::{Owner, owners};
use super::lease::Guard;
use super::write::FIELD_MANAGER;

const KEY: &str = "quarantine";
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Refusals after which nothing else is waited for.
const TRIES: u32 = 6;
/// In octets: the API takes Secrets of 1 MiB.
const MOST: usize = 900 << 10;

/// Where it is kept.
#[derive(Clone)]
pub struct Place {
    pub client: Client,
    pub namespace: String,
    pub installation: Installation,
    pub owner: Owner,
    pub guard: Guard,
}

#[derive(Debug, thiserror::Error)]
enum MemoryError {
    #[error("cannot read or write the Secret {name}")]
    Api {
        name: String,
        source: Box<kube::Error>,
    },
    #[error("no answer about the Secret {name} in time")]
    Slow { name: String },
    #[error("the Secret {name} is not written: another may lead by now")]
    TermOver { name: String },
    #[error("what is known of refused objects takes {found} octets; a Secret holds {MOST} of it")]
    TooLarge { found: usize },
    #[error("what is known of refused objects cannot be written")]
    Write(#[from] serde_json::Error),
}

impl MemoryError {
    /// Whether the API server has answered, and will most likely answer the same next time.
    fn is_answer(&self) -> bool {
        match self {
            Self::Api { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(status) if status.code < 500)
            }
            _ => false,
        }
    }
}

impl Place {
    pub fn new(client: &Client, settings: &Settings, owner: &Owner, guard: &Guard) -> Self {
        Self {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            installation: settings.installation.clone(),
            owner: owner.clone(),
            guard: guard.clone(),
        }
    }

    fn name(&self) -> String {
        format!("{}-memory", self.installation)
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What an earlier process has kept; nothing where there is none, or none that can be had. Without an
    /// answer it is waited for.
    pub async fn kept(&self) -> Quarantine {
        let (mut pause, mut answers) = (FIRST_PAUSE, 0);
        while answers < TRIES {
            match self.read().await {
                Ok(kept) => return kept,
                Err(error) => {
                    answers += u32::from(error.is_answer());
                    tracing::warn!(error = %chain(&error), "no memory of refused objects yet");
                }
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        Quarantine::default()
    }

    async fn read(&self) -> Result<Quarantine, MemoryError> {
        let name = self.name();
        let found = self.call(self.api().get_opt(&name)).await?;
        let data = found.and_then(|secret| secret.data);
        let Some(ByteString(text)) = data.and_then(|mut data| data.remove(KEY)) else {
            return Ok(Quarantine::default());
        };
        // What another version wrote is learnt anew.
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// Keeps the latest, while this process leads, until nobody can send any more.
    pub async fn keep(
        self,
        mut latest: watch::Receiver<Quarantine>,
        mut leads: watch::Receiver<bool>,
    ) {
        let (mut pause, mut failed) = (FIRST_PAUSE, false);
        latest.mark_unchanged();
        loop {
            tokio::select! {
                changed = latest.changed() => if changed.is_err() {
                    return;
                },
                Ok(()) = leads.changed() => {}
                () = sleep(pause), if failed => pause = (2 * pause).min(LONGEST_PAUSE),
            }
            if !*leads.borrow_and_update() {
                continue;
            }
            let newest = latest.borrow_and_update().clone();
            let written = self.write(&newest).await;
            failed = written.is_err();
            match written {
                Ok(()) => pause = FIRST_PAUSE,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the memory of refused objects");
                }
            }
        }
    }

    async fn write(&self, quarantine: &Quarantine) -> Result<(), MemoryError> {
        let name = self.name();
        if *quarantine == Quarantine::default() {
            if self.call(self.api().get_opt(&name)).await?.is_some() {
                let how = DeleteParams::default();
                self.may_write()?;
                drop(self.call(self.api().delete(&name, &how)).await?);
            }
            return Ok(());
        }
        let text = serde_json::to_vec(quarantine)?;
        if text.len() > MOST {
            return Err(MemoryError::TooLarge { found: text.len() });
        }
        let instance = self.installation.to_string();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some([(INSTANCE_LABEL.to_owned(), instance)].into()),
                owner_references: owners(&self.owner),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(text))])),
            ..Secret::default()
        };
        let by = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&secret);
        self.may_write()?;
        drop(self.call(self.api().patch(&name, &by, &patch)).await?);
        Ok(())
    }

    fn may_write(&self) -> Result<(), MemoryError> {
        match self.guard.holds() {
            true => Ok(()),
            false => Err(MemoryError::TermOver { name: self.name() }),
        }
    }

    async fn call<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, MemoryError> {
        let name = self.name();
        match timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(MemoryError::Api {
                name,
                source: Box::new(source),
            }),
            Err(_) => Err(MemoryError::Slow { name }),
        }
    }
}
