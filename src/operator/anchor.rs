//! The ConfigMap that owns all that is published, so that it goes with the installation. It is known by
//! its UID: one that is made anew is another one, and whatever names the one before is taken away.

use std::pin::pin;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::telemetry::chain;
use crate::watching::watching;

use super::Settings;

/// As it is now; None where nothing is owned.
pub type Owner = watch::Receiver<Option<OwnerReference>>;

/// Begins to follow the owner that the settings name.
pub fn begin(client: &Client, settings: &Settings, tasks: &mut JoinSet<()>) -> Owner {
    let (telling, told) = watch::channel(settings.owner.clone());
    tasks.spawn(follow(client.clone(), settings.namespace.clone(), telling));
    told
}

/// For the metadata of what is written now.
pub fn owners(owner: &Owner) -> Option<Vec<OwnerReference>> {
    owner.borrow().clone().map(|owner| vec![owner])
}

/// Follows the ConfigMap until nobody listens any more. While there is none, what was known stays: what
/// is written then goes with the one before, as it should where the installation is being removed.
async fn follow(client: Client, namespace: String, owner: watch::Sender<Option<OwnerReference>>) {
    let Some(name) = owner.borrow().as_ref().map(|owner| owner.name.clone()) else {
        return owner.closed().await;
    };
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, &namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watching(api, config));
    loop {
        let event = tokio::select! {
            () = owner.closed() => return,
            Some(event) = events.next() => event,
        };
        match event {
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                owner.send_if_modified(|known| renew(known.as_mut(), object.metadata.uid));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "watching the ConfigMap {name} failed");
            }
        }
    }
}

/// Whether it is another one.
fn renew(known: Option<&mut OwnerReference>, uid: Option<String>) -> bool {
    let (Some(known), Some(uid)) = (known, uid) else {
        return false;
    };
    let differs = known.uid != uid;
    if differs {
        tracing::info!(
            name = known.name,
            uid,
            "what is published has another owner"
        );
    }
    known.uid = uid;
    differs
}
