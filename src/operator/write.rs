//! Single writes to our own namespace: each has its time, and none begins that another process may make
//! by now.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::api::part::{ENDPOINTS, INDEX, SHARD};
use crate::api::{INSTANCE_LABEL, PART_LABEL, PROXY_LABEL};
use crate::model::PrivatePem;
use crate::render::bundle::ProxyKind;
use crate::render::wire::{Installation, Plain, Shard};

use super::anchor::{Owner, owners};
use super::lease::Guard;
use super::standing::Stands;

/// Who the API server takes us for, where fields are managed.
pub const FIELD_MANAGER: &str = "vigie-controller";

/// What one write may take.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write {object}")]
    Write {
        object: String,
        source: Box<kube::Error>,
    },
    #[error("cannot write {object}: no answer within {} s", PATIENCE.as_secs())]
    Slow { object: String },
    #[error("cannot write {object}: another may lead by now")]
    TermOver { object: String },
}

/// Writes what is published for one proxy.
pub struct Writer {
    pub client: Client,
    pub namespace: String,
    pub installation: Installation,
    pub proxy: ProxyKind,
    pub owner: Owner,
    pub guard: Guard,
}

/// An object of a publication, as it is to stand.
#[derive(Clone, Copy)]
pub enum Part<'p> {
    Index(&'p Plain),
    Endpoints(&'p Plain),
    Shard(&'p Shard),
}

pub enum Written {
    Plain(Box<ConfigMap>),
    Private(Box<Secret>),
}

impl Writer {
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Writes one object, and says what then stands.
    pub async fn write(&self, name: &str, part: Part<'_>) -> Result<Written, WriteError> {
        match part {
            Part::Index(data) => self.plain(INDEX, name, data).await,
            Part::Endpoints(data) => self.plain(ENDPOINTS, name, data).await,
            Part::Shard(shard) => self.shard(name, shard).await,
        }
    }

    /// Server-side apply leaves keys alone that somebody else has added, and then the object is not
    /// what was published: it is made anew.
    async fn plain(&self, part: &str, name: &str, data: &Plain) -> Result<Written, WriteError> {
        let mut written = self.apply(part, name, data).await?;
        if written.data.as_ref() != Some(data) {
            self.delete::<ConfigMap>(name).await?;
            written = self.apply(part, name, data).await?;
        }
        Ok(Written::Plain(Box::new(written)))
    }

    async fn apply(&self, part: &str, name: &str, data: &Plain) -> Result<ConfigMap, WriteError> {
        self.may_write(name)?;
        let wanted = ConfigMap {
            metadata: self.metadata(part, name),
            data: Some(data.clone()),
            ..ConfigMap::default()
        };
        let by = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.api::<ConfigMap>();
        call(name, api.patch(name, &by, &Patch::Apply(&wanted))).await
    }

    async fn shard(&self, name: &str, shard: &Shard) -> Result<Written, WriteError> {
        let metadata = self.metadata(SHARD, name);
        match shard {
            Shard::Plain(data) => {
                let object = ConfigMap {
                    metadata,
                    data: Some(data.clone()),
                    immutable: Some(true),
                    ..ConfigMap::default()
                };
                let made = self.create(name, &object).await?;
                Ok(Written::Plain(Box::new(made)))
            }
            Shard::Private(data) => {
                let bytes = |(key, text): (&String, &PrivatePem)| {
                    (key.clone(), ByteString(text.reveal().as_bytes().to_vec()))
                };
                let object = Secret {
                    metadata,
                    data: Some(data.iter().map(bytes).collect()),
                    immutable: Some(true),
                    ..Secret::default()
                };
                let made = self.create(name, &object).await?;
                Ok(Written::Private(Box::new(made)))
            }
        }
    }

    /// What stands in the way under this name is what was to be written, as a list that was under way
    /// did not know; or it was altered, and goes.
    async fn create<K>(&self, name: &str, object: &K) -> Result<K, WriteError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Serialize + Debug + Stands,
    {
        let by = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.may_write(name)?;
        let api = self.api::<K>();
        match call(name, api.create(&by, object)).await {
            Err(error) if error.code() == Some(409) => {
                if let Some(standing) = call(name, api.get_opt(name)).await?
                    && standing.is_intact()
                {
                    return Ok(standing);
                }
                self.delete::<K>(name).await?;
                call(name, api.create(&by, object)).await
            }
            other => other,
        }
    }

    /// What is gone already is as good as removed.
    pub async fn delete<K>(&self, name: &str) -> Result<(), WriteError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug,
    {
        self.may_write(name)?;
        let api = self.api::<K>();
        match call(name, api.delete(name, &DeleteParams::default())).await {
            Err(error) if error.code() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    fn may_write(&self, object: &str) -> Result<(), WriteError> {
        if self.guard.holds() {
            return Ok(());
        }
        let object = object.to_owned();
        Err(WriteError::TermOver { object })
    }

    fn metadata(&self, part: &str, name: &str) -> ObjectMeta {
        let labels = [
            (INSTANCE_LABEL, self.installation.to_string()),
            (PROXY_LABEL, self.proxy.to_string()),
            (PART_LABEL, part.to_owned()),
        ];
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            owner_references: owners(&self.owner),
            ..ObjectMeta::default()
        }
    }
}

impl WriteError {
    /// The API server's status code, where it answered.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Write { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Slow { .. } | Self::TermOver { .. } => None,
        }
    }
}

async fn call<T>(
    object: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, WriteError> {
    let object = object.to_owned();
    match timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(WriteError::Write {
            object,
            source: Box::new(source),
        }),
        Err(_) => Err(WriteError::Slow { object }),
    }
}
