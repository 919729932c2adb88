//! What an agent says to the cluster: its report, written when it has changed, and its Lease, renewed
//! as long as the agent lives. Both are owned by its pod, so that they go with it. With each renewal the
//! report is said again, which writes nothing as long as it stands, and puts it back where it does not.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::part::REPORT;
use crate::api::report::{LEASE_SECONDS, RENEW_SECONDS, Report, report_name};
use crate::api::{INSTANCE_LABEL, PART_LABEL, PROXY_LABEL};
use crate::moment::until;
use crate::telemetry::chain;

use super::follow::Followee;

const FIELD_MANAGER: &str = "vigie-agent";
const RENEW: Duration = Duration::from_secs(RENEW_SECONDS);
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pod that an agent runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    /// None outside of a cluster: then nothing owns what is reported, and it stays for a while.
    pub uid: Option<String>,
}

pub struct Reporter {
    client: Client,
    of: Followee,
    pod: Pod,
    name: String,
}

impl Reporter {
    pub fn new(client: Client, of: Followee, pod: Pod) -> Self {
        let name = report_name(pod.uid.as_deref().unwrap_or(&pod.name));
        Self {
            client,
            of,
            pod,
            name,
        }
    }

    /// Reports until nothing can change any more.
    pub async fn run(&self, mut reports: watch::Receiver<Option<Report>>) {
        // Before the first one there is no proxy to tell of.
        if reports.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let (mut pause, mut retry) = (FIRST_PAUSE, Some(Instant::now()));
        let mut renew = Instant::now();
        reports.mark_unchanged();
        loop {
            let write = tokio::select! {
                changed = reports.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = until(retry) => true,
                () = sleep_until(renew) => false,
            };
            let Some(mut report) = reports.borrow_and_update().clone() else {
                continue;
            };
            report.pod.clone_from(&self.pod.name);
            report.proxy = self.of.proxy.to_string();
            let done = if write {
                self.write(&report).await
            } else {
                renew = Instant::now() + RENEW;
                let renewed = match self.write(&report).await {
                    Ok(()) => self.renew().await,
                    failed => failed,
                };
                if renewed.is_err() {
                    renew = Instant::now() + pause;
                }
                renewed
            };
            match done {
                Ok(()) => (pause, retry) = (FIRST_PAUSE, None),
                Err(words) => {
                    tracing::warn!(error = %words, "reporting failed");
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    if write {
                        retry = Some(Instant::now() + pause);
                    }
                }
            }
        }
    }

    async fn write(&self, report: &Report) -> Result<(), String> {
        let object = ConfigMap {
            metadata: self.metadata(),
            data: Some(report.write()),
            ..ConfigMap::default()
        };
        self.apply(&object).await
    }

    async fn renew(&self) -> Result<(), String> {
        let object = Lease {
            metadata: self.metadata(),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.pod.name.clone()),
                lease_duration_seconds: i32::try_from(LEASE_SECONDS).ok(),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        self.apply(&object).await
    }

    async fn apply<K>(&self, object: &K) -> Result<(), String>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.of.namespace);
        let by = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(object);
        match timeout(PATIENCE, api.patch(&self.name, &by, &patch)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Takes back what was reported: this proxy does not count any more.
    pub async fn withdraw(&self) {
        let namespace = &self.of.namespace;
        let reports: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let how = DeleteParams::default();
        let withdraw = async {
            // What cannot be taken back runs out by itself.
            let _ = leases.delete(&self.name, &how).await;
            let _ = reports.delete(&self.name, &how).await;
        };
        let _ = timeout(PATIENCE, withdraw).await;
    }

    fn metadata(&self) -> ObjectMeta {
        let labels = [
            (INSTANCE_LABEL, self.of.installation.to_string()),
            (PROXY_LABEL, self.of.proxy.to_string()),
            (PART_LABEL, REPORT.to_owned()),
        ];
        let owner = self.pod.uid.clone().map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.pod.name.clone(),
            uid,
            ..OwnerReference::default()
        });
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.of.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        }
    }
}
