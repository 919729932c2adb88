//! One write. The only place that patches a status.
//!
//! The status of a RouteHealth is ours alone: a merge patch sends it whole, so that lists are replaced
//! and nothing is left of what stood before; server-side apply would leave what another manager once
//! wrote, and would have the API server keep a list of every field of every route. The addresses of an
//! Ingress are applied, since the API server then knows which are ours: that is how they can be taken
//! back, also by a later process, without taking another controller's.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

use super::addresses::Address;
use super::events::Turn;
use super::report::Verb;
use super::work::{Job, Target, Write};
use super::{Settings, manager};
use crate::api::route_health::{RouteHealth, RouteHealthStatus};
use crate::api::{GENERATED_LABEL, INSTANCE_LABEL};
use crate::operator::lease::Guard;
use crate::snapshot::ObjectName;

/// Why a write was not made, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("another may lead by now")]
    TermOver,
}

pub fn verb(write: &Write) -> Verb {
    match write {
        Write::Create(_) => Verb::Create,
        Write::Release(_) => Verb::Release,
        Write::Delete { .. } => Verb::Delete,
        Write::Status { .. } => Verb::Status,
        Write::Addresses(_) => Verb::Addresses,
    }
}

/// Does it, if this process may still.
pub async fn write(
    client: Client,
    settings: &Settings,
    guard: &Guard,
    job: &Job,
) -> Result<(), WriteError> {
    if !guard.holds() {
        return Err(WriteError::TermOver);
    }
    let (Target::RouteHealth(name) | Target::Ingress(name)) = &job.target;
    let healths: Api<RouteHealth> = Api::namespaced(client.clone(), &name.namespace);
    let by = PatchParams {
        field_manager: Some(manager(&settings.installation)),
        ..PatchParams::default()
    };
    match &job.write {
        Write::Create(health) => {
            let by = PostParams {
                field_manager: by.field_manager,
                ..PostParams::default()
            };
            healths.create(&by, health).await?;
        }
        Write::Release(health) => {
            let patch = Patch::Merge(release(health, job.base.as_ref()));
            healths.patch(&name.name, &by, &patch).await?;
        }
        Write::Delete { uid } => {
            let still = Preconditions {
                uid: uid.clone(),
                resource_version: job.base.clone(),
            };
            let params = DeleteParams::default().preconditions(still);
            match healths.delete(&name.name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                done => drop(done?),
            }
        }
        Write::Status { wanted, standing } => {
            let patch = Patch::Merge(status(wanted, standing.status.as_ref()));
            healths.patch_status(&name.name, &by, &patch).await?;
        }
        Write::Addresses(addresses) => {
            let ingresses: Api<Ingress> = Api::namespaced(client, &name.namespace);
            let patch = Patch::Apply(shown(name, addresses));
            let by = PatchParams { force: true, ..by };
            ingresses.patch_status(&name.name, &by, &patch).await?;
        }
    }
    Ok(())
}

pub async fn tell(
    client: Client,
    settings: &Settings,
    guard: &Guard,
    turn: &Turn,
) -> Result<(), WriteError> {
    if !guard.holds() {
        return Err(WriteError::TermOver);
    }
    let events: Api<Event> = Api::namespaced(client, turn.namespace());
    let event = turn.event(Timestamp::now(), &settings.instance);
    events.create(&PostParams::default(), &event).await?;
    Ok(())
}

fn release(health: &RouteHealth, base: Option<&String>) -> Value {
    let owners = health.owner_references().iter();
    let theirs: Vec<_> = owners.filter(|owner| owner.kind != "Ingress").collect();
    json!({"metadata": {
        "resourceVersion": base,
        "labels": {GENERATED_LABEL: null, INSTANCE_LABEL: null},
        "ownerReferences": theirs,
    }})
}

fn status(wanted: &RouteHealthStatus, standing: Option<&RouteHealthStatus>) -> Value {
    let value = |status| serde_json::to_value(status).unwrap_or_default();
    let mut patch = value(Some(wanted));
    if let (Value::Object(patch), Value::Object(standing)) = (&mut patch, value(standing)) {
        drop_missing(patch, &standing);
    }
    json!({"status": patch})
}

/// What stands and is not wanted is taken away by a null.
fn drop_missing(patch: &mut Map<String, Value>, standing: &Map<String, Value>) {
    for (key, before) in standing {
        match (patch.get_mut(key), before) {
            (None, _) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Some(Value::Object(patch)), Value::Object(before)) => drop_missing(patch, before),
            _ => {}
        }
    }
}

/// Takes back the addresses that an Ingress shows by what an installation has written.
pub async fn take_back(client: Client, manager: &str, name: &ObjectName) -> kube::Result<()> {
    let ingresses: Api<Ingress> = Api::namespaced(client, &name.namespace);
    let by = PatchParams::apply(manager).force();
    let patch = Patch::Apply(shown(name, &[]));
    ingresses.patch_status(&name.name, &by, &patch).await?;
    Ok(())
}

fn shown(name: &ObjectName, addresses: &[Address]) -> Value {
    let one = |address: &Address| match address {
        Address::Ip(ip) => json!({"ip": ip}),
        Address::Hostname(hostname) => json!({"hostname": hostname}),
    };
    let status = match addresses {
        [] => json!({}),
        some => {
            json!({"loadBalancer": {"ingress": some.iter().map(one).collect::<Vec<_>>()}})
        }
    };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name.name}, "status": status,
    })
}
