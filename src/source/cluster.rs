//! The objects of a Kubernetes API, watched.
//!
//! Each watch is a task that reads, prunes and passes on what the API says. One more task owns all
//! objects and hands over snapshots: none before every required watch has delivered its first list,
//! since what is built of half the objects takes routes away; then the first change after quiet at
//! once, and storms in steps ([`Pace`]). What is equal to the last snapshot wakes nobody. Watches that
//! are not required degrade to a named state ([`Watches`]), and that is all that happens.
//!
//! Why not `kube`'s reflectors: their stores are shared by a lock, copied as a whole in no order, and
//! hold each kind by itself; a snapshot is to be one moment of all, with unchanged objects shared.

mod index;
mod kept;
mod pace;
mod owner;
mod secrets;
mod statuses;
mod store;
mod stream;
mod watches;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use tokio::sync::{oneshot, watch};

use crate::model::diagnostics::Kind;
use crate::snapshot::{ObjectName, Snapshot};

use owner::Owner;
pub use pace::Pace;
pub use statuses::{IngressSeen, Statuses};
pub use watches::{Watch, WatchName, WatchState, Watches};

/// Without all of these, nothing is concluded from what is not there.
const EVIDENCE: [Kind; 4] = [
    Kind::Pod,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
];

/// What is watched, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub namespaces: Namespaces,
    /// Secrets that are kept whether or not an Ingress refers to them; those of namespaces that are not
    /// watched are watched by themselves.
    pub secrets: Vec<ObjectName>,
    /// Lists come as streams, which spares the API server memory; only newer ones can do it, and to
    /// an older one the watch fails for ever.
    pub streaming_lists: bool,
    pub pace: Pace,
}

/// Where objects are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    #[default]
    All,
    /// Only in these, with rights in these only: IngressClasses, which lie in none, are then not
    /// required.
    Only(BTreeSet<String>),
}

/// A cluster that is watched. The watching ends when nobody listens any more: when this is dropped
/// before there was a snapshot, or all receivers of snapshots after that.
#[derive(Debug)]
pub struct Cluster {
    /// How the watches stand, from the beginning on.
    pub watches: watch::Receiver<Watches>,
    /// What is told beside snapshots; empty at first.
    pub statuses: watch::Receiver<Arc<Statuses>>,
    first: oneshot::Receiver<watch::Receiver<Arc<Snapshot>>>,
}

impl Cluster {
    /// Waits for every required watch's first list, however long that takes; from then on there is
    /// always a latest snapshot. May be dropped and called again. None only where the task that
    /// watches has died.
    pub async fn snapshots(&mut self) -> Option<watch::Receiver<Arc<Snapshot>>> {
        (&mut self.first).await.ok()
    }
}

/// Begins to watch, on the runtime that this is called on.
pub fn watch(client: Client, settings: Settings) -> Cluster {
    let (first, receiver) = oneshot::channel();
    let (owner, watches, statuses) = Owner::new(client, settings, first);
    tokio::spawn(owner.run());
    Cluster {
        watches,
        statuses,
        first: receiver,
    }
}

/// The watches that settings ask for, and whether each is required.
fn wanted(namespaces: &Namespaces, secrets: &[ObjectName]) -> Vec<(WatchName, bool)> {
    let everywhere = *namespaces == Namespaces::All;
    let kinds = [
        // Before Secrets, whose first list is sifted by what Ingresses refer to.
        (Kind::Ingress, true),
        (Kind::IngressClass, everywhere),
        (Kind::Service, true),
        (Kind::EndpointSlice, true),
        (Kind::Secret, true),
        (Kind::RouteHealth, false),
    ];
    // Why nothing stands behind a Service is told without them, and less of it.
    let kinds = kinds.into_iter().chain(EVIDENCE.map(|kind| (kind, false)));
    let places = |kind| match namespaces {
        Namespaces::Only(names) if kind != Kind::IngressClass => {
            names.iter().cloned().map(Some).collect()
        }
        _ => vec![None],
    };
    let watches = kinds.flat_map(|(kind, required)| {
        let names = places(kind).into_iter();
        names.map(move |namespace| {
            let name = None;
            let watch = WatchName {
                kind,
                namespace,
                name,
            };
            (watch, required)
        })
    });
    let elsewhere = secrets.iter().filter(|secret| match namespaces {
        Namespaces::All => false,
        Namespaces::Only(names) => !names.contains(&secret.namespace),
    });
    let single = elsewhere.map(|secret| {
        let watch = WatchName {
            kind: Kind::Secret,
            namespace: Some(secret.namespace.clone()),
            name: Some(secret.name.clone()),
        };
        // Without the right to it, all else is served.
        (watch, false)
    });
    watches.chain(single).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(namespaces: &Namespaces, required: bool) -> Vec<String> {
        let secrets = [
            ObjectName::new("edge", "tls"),
            ObjectName::new("shop", "tls"),
        ];
        let watches = wanted(namespaces, &secrets).into_iter();
        let of_these = watches.filter(|(_, r)| *r == required);
        of_these.map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn only_what_routes_are_made_of_is_required() {
        let kinds = [
            "Ingress",
            "IngressClass",
            "Service",
            "EndpointSlice",
            "Secret",
        ];
        assert_eq!(names(&Namespaces::All, true), kinds);
        let evidence = [
            "RouteHealth",
            "Pod",
            "Deployment",
            "StatefulSet",
            "DaemonSet",
        ];
        assert_eq!(names(&Namespaces::All, false), evidence);
    }

    #[test]
    fn without_rights_everywhere_classes_and_a_secret_elsewhere_are_not_required() {
        let shop = Namespaces::Only(["shop".to_owned(), "blog".to_owned()].into());
        let optional = names(&shop, false);
        for name in [
            "IngressClass",
            "RouteHealth in blog",
            "RouteHealth in shop",
            "Secret tls in edge",
        ] {
            assert!(optional.contains(&name.to_owned()), "{name}");
        }
        assert!(names(&shop, true).contains(&"Secret in shop".to_owned()));
        assert!(!names(&shop, true).contains(&"Secret".to_owned()));
    }
}
