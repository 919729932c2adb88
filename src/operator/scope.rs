//! Namespaces by their labels: only Ingresses and RouteHealths of those that a selector takes are seen.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use crate::snapshot::{ObjectName, Snapshot};
use crate::telemetry::chain;
use crate::watching::watching;

/// None before the first list.
pub type Scope = Option<Arc<BTreeSet<String>>>;

/// Follows the namespaces that a selector takes, until nobody listens any more.
pub async fn follow(client: Client, selector: String, scope: watch::Sender<Scope>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let config = watcher::Config::default().labels(&selector);
    let mut events = pin!(watching(api, config));
    let mut names = BTreeSet::new();
    let mut listing = BTreeSet::new();
    loop {
        let event = tokio::select! {
            () = scope.closed() => return,
            Some(event) = events.next() => event,
        };
        match event {
            Ok(Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(object.name_any());
                continue;
            }
            Ok(Event::InitDone) => names = std::mem::take(&mut listing),
            Ok(Event::Apply(object)) => {
                names.insert(object.name_any());
            }
            Ok(Event::Delete(object)) => {
                names.remove(&object.name_any());
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "watching namespaces failed");
                continue;
            }
        }
        let now = Some(Arc::new(names.clone()));
        scope.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

/// What is seen of a snapshot; the same one where nothing is out of scope.
pub fn within(snapshot: &Arc<Snapshot>, names: &BTreeSet<String>) -> Arc<Snapshot> {
    let outside = |name: &ObjectName| !names.contains(&name.namespace);
    if !snapshot.ingresses.keys().any(outside) && !snapshot.route_healths.keys().any(outside) {
        return snapshot.clone();
    }
    let mut seen = Snapshot::clone(snapshot);
    seen.ingresses = sifted(&seen.ingresses, names);
    seen.route_healths = sifted(&seen.route_healths, names);
    Arc::new(seen)
}

fn sifted<V>(
    objects: &BTreeMap<ObjectName, Arc<V>>,
    names: &BTreeSet<String>,
) -> Arc<BTreeMap<ObjectName, Arc<V>>> {
    let seen = objects
        .iter()
        .filter(|(name, _)| names.contains(&name.namespace));
    Arc::new(
        seen.map(|(name, object)| (name.clone(), object.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::Ingress;

    use super::*;

    fn snapshot() -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        for namespace in ["blog", "shop"] {
            let mut ingress = Ingress::default();
            ingress.metadata.namespace = Some(namespace.to_owned());
            ingress.metadata.name = Some("web".to_owned());
            snapshot.add_ingress(ingress);
        }
        Arc::new(snapshot)
    }

    #[test]
    fn ingresses_of_other_namespaces_are_not_seen() {
        let seen = within(&snapshot(), &["shop".to_owned()].into());
        let names: Vec<&ObjectName> = seen.ingresses.keys().collect();
        assert_eq!(names, [&ObjectName::new("shop", "web")]);
    }

    #[test]
    fn where_all_are_seen_the_snapshot_is_the_same() {
        let all = snapshot();
        let seen = within(&all, &["blog".to_owned(), "shop".to_owned()].into());
        assert!(Arc::ptr_eq(&all, &seen));
    }
}
