//! Watches of a real API server: what is handed over, when, and what happens where it goes wrong.
//!
//! Each test has a namespace of its own; what is said of the whole cluster holds beside what others do.

mod forgotten;
mod given;
mod line;
mod rights;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::Api;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use vigie::api::route_health::crd;
use vigie::model::diagnostics::Kind;
use vigie::snapshot::{ObjectName, Snapshot};
use vigie::source::cluster::{self, Cluster, Namespaces, Settings, WatchState};

use given::{Given, PATIENCE};
use line::Line;

/// The latest snapshot for which something holds.
async fn until(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    what: &str,
    holds: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let found = timeout(PATIENCE, snapshots.wait_for(|snapshot| holds(snapshot))).await;
    let found = found.unwrap_or_else(|_| panic!("never came: {what}"));
    found.expect("the source lives").clone()
}

async fn first(cluster: &mut Cluster) -> watch::Receiver<Arc<Snapshot>> {
    let first = timeout(PATIENCE, cluster.snapshots()).await;
    let watches = cluster.watches.borrow().clone();
    first
        .unwrap_or_else(|_| panic!("no snapshot: {watches:#?}"))
        .expect("the source lives")
}

/// Waits until the watch of a kind stands as told.
async fn until_state(cluster: &mut Cluster, kind: Kind, stands: impl Fn(&WatchState) -> bool) {
    let holds = |watches: &cluster::Watches| {
        let mut of_kind = watches.iter().filter(|(name, _)| name.kind == kind);
        of_kind.any(|(_, watch)| stands(&watch.state))
    };
    let found = timeout(PATIENCE, cluster.watches.wait_for(holds)).await;
    drop(found.unwrap_or_else(|_| panic!("{kind} never stood so")));
}

async fn a_cold_list_and_changes(given: Given, streaming_lists: bool) {
    given.estate().await;
    let mut cluster = cluster::watch(
        given.client.clone(),
        Settings {
            streaming_lists,
            ..Settings::default()
        },
    );
    let mut snapshots = first(&mut cluster).await;
    let cold = snapshots.borrow_and_update().clone();
    let (shop, api) = (given.name("shop"), given.name("api"));
    assert!(cold.classes.contains_key(&given.namespace));
    assert!(cold.services.contains_key(&api));
    assert_eq!(cold.slices[&api].len(), 1);
    assert!(cold.secrets.contains_key(&given.name("pair")));
    assert!(!cold.secrets.contains_key(&given.name("unused")));
    let ingress = &cold.ingresses[&shop];
    assert_eq!(ingress.metadata.managed_fields, None);

    let slices: Api<EndpointSlice> = given.api();
    let endpoints = json!({"endpoints": [{"addresses": ["10.77.0.12"]}]});
    given.patch(&slices, "api-1", endpoints).await;
    let addressed = until(&mut snapshots, "the new address", |snapshot| {
        let mut slices = snapshot.slices_of(&api);
        slices.any(|slice| slice.endpoints[0].addresses == ["10.77.0.12"])
    })
    .await;
    assert!(Arc::ptr_eq(&addressed.ingresses[&shop], ingress));

    given.delete::<Service>("api").await;
    let gone = |snapshot: &Snapshot| !snapshot.services.contains_key(&api);
    until(&mut snapshots, "the Service goes", gone).await;
    let state = |kind| {
        let watches = cluster.watches.borrow();
        let mut of_kind = watches.iter().filter(|(name, _)| name.kind == kind);
        of_kind.next().map(|(_, watch)| watch.state.clone())
    };
    assert_eq!(state(Kind::Ingress), Some(WatchState::Synced));
}

#[test]
fn a_cold_list_is_handed_over_whole_and_changes_follow() {
    given::test(async |given| a_cold_list_and_changes(given, false).await);
}

#[test]
fn lists_may_come_as_streams() {
    given::test(async |given| a_cold_list_and_changes(given, true).await);
}

#[test]
fn a_status_wakes_nobody() {
    given::test(async |given| {
        given.estate().await;
        let mut cluster = given.watch();
        let mut snapshots = first(&mut cluster).await;
        snapshots.mark_unchanged();
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.77.0.1"}]}}});
        given.patch_status::<Ingress>("shop", status).await;
        // What comes after it by the same watch has come: so has the status.
        given.create::<Ingress>(json!({
        "metadata": {"name": "after"}, "spec": {"defaultBackend": {"service": {"name": "api", "port": {"number": 80}}}},
    }))
    .await;
        let changed = timeout(PATIENCE, snapshots.changed()).await;
        changed.expect("a change comes").expect("the source lives");
        let woken = snapshots.borrow_and_update().clone();
        assert!(
            woken.ingresses.contains_key(&given.name("after")),
            "woken by the status"
        );
    });
}

#[test]
fn what_was_deleted_while_nothing_could_be_heard_is_gone() {
    given::test(async |given| {
        given.estate().await;
        let mut line = Line::to(&given.config().await).await;
        let mut cluster = cluster::watch(line.client(given.config().await), given.settings());
        let mut snapshots = first(&mut cluster).await;
        let api = given.name("api");
        assert!(snapshots.borrow().services.contains_key(&api));

        line.cut().await;
        let failing = |state: &WatchState| matches!(state, WatchState::Failing(_));
        until_state(&mut cluster, Kind::Service, failing).await;
        given.delete::<Service>("api").await;
        assert!(
            snapshots.borrow().services.contains_key(&api),
            "what is known stays"
        );

        line.mend().await;
        let gone = |snapshot: &Snapshot| !snapshot.services.contains_key(&api);
        until(&mut snapshots, "the Service goes", gone).await;
        until_state(&mut cluster, Kind::Service, |s| *s == WatchState::Synced).await;
    });
}

/// With an API server of its own: for a while its definition of RouteHealths says nothing.
#[test]
fn a_route_health_that_cannot_be_read_costs_only_itself() {
    given::own(async |given| {
        given.estate().await;
        given.undefine_route_healths().await;
        let mut cluster = given.watch();
        // It is optional.
        let mut snapshots = first(&mut cluster).await;
        until_state(&mut cluster, Kind::RouteHealth, |s| {
            *s == WatchState::Absent
        })
        .await;

        given.define_route_healths(&given::loose(crd())).await;
        given
            .create_route_health("good", json!({"targetRef": {"name": "shop"}}))
            .await;
        given
            .create_route_health("bad", json!({"targetRef": ["no", "reference"]}))
            .await;
        let good = given.name("good");
        let listed = |snapshot: &Snapshot| snapshot.route_healths.contains_key(&good);
        let snapshot = until(&mut snapshots, "the good one", listed).await;
        assert!(!snapshot.route_healths.contains_key(&given.name("bad")));
        let bad = given.name("bad");
        let named = |watches: &cluster::Watches| {
            let mut all = watches.iter();
            all.any(|(_, watch)| watch.unreadable.contains_key(&bad))
        };
        let named = timeout(PATIENCE, cluster.watches.wait_for(named)).await;
        drop(named.expect("the bad one is named"));
        given.define_route_healths(&crd()).await;
    });
}

#[test]
fn a_secret_comes_with_the_ingress_that_names_it() {
    given::test(async |given| {
        given.estate().await;
        let mut cluster = given.watch();
        let mut snapshots = first(&mut cluster).await;
        let unused = given.name("unused");
        let has = |snapshot: &Snapshot| snapshot.secrets.contains_key(&unused);
        assert!(!has(&snapshots.borrow()));

        let ingresses: Api<Ingress> = given.api();
        let naming = json!({"metadata": {"annotations": {"vigie.dev/auth-secret": "unused"}}});
        given.patch(&ingresses, "shop", naming).await;
        until(&mut snapshots, "the Secret", has).await;

        let secrets: Api<Secret> = given.api();
        given
            .patch(&secrets, "unused", json!({"data": {"auth": "bmV3"}}))
            .await;
        until(&mut snapshots, "its new content", |snapshot| {
            let data = snapshot.secrets.get(&unused).and_then(|s| s.data.as_ref());
            data.is_some_and(|data| data["auth"].0 == b"new")
        })
        .await;

        let silent = json!({"metadata": {"annotations": {"vigie.dev/auth-secret": null}}});
        given.patch(&ingresses, "shop", silent).await;
        until(&mut snapshots, "it goes", |snapshot| !has(snapshot)).await;
    });
}

#[test]
fn a_storm_comes_in_few_snapshots() {
    given::test(async |given| {
        const OBJECTS: usize = 200;
        let mut cluster = given.watch();
        let mut snapshots = first(&mut cluster).await;
        let counting = tokio::spawn(async move {
            let mut seen = 0;
            while snapshots.borrow_and_update().services.len() < OBJECTS {
                snapshots.changed().await.expect("the source lives");
                seen += 1;
            }
            seen
        });
        for number in 0..OBJECTS {
            given
                .create::<Service>(json!({
                    "metadata": {"name": format!("s{number}")}, "spec": {"ports": [{"port": 80}]},
                }))
                .await;
        }
        let seen = timeout(PATIENCE, counting)
            .await
            .expect("all come")
            .unwrap();
        assert!(seen < OBJECTS / 2, "{seen} snapshots of {OBJECTS} objects");
    });
}

#[test]
fn it_ends_when_nobody_listens() {
    given::test(async |given| {
        let mut cluster = given.watch();
        let snapshots = first(&mut cluster).await;
        let mut watches = cluster.watches.clone();
        drop((cluster, snapshots));
        let ended = async { while watches.changed().await.is_ok() {} };
        timeout(PATIENCE, ended).await.expect("the task ends");
    });
}

impl Given {
    fn settings(&self) -> Settings {
        Settings {
            namespaces: Namespaces::Only([self.namespace.clone()].into()),
            ..Settings::default()
        }
    }

    fn watch(&self) -> Cluster {
        cluster::watch(self.client.clone(), self.settings())
    }

    fn name(&self, name: &str) -> ObjectName {
        ObjectName::new(&*self.namespace, name)
    }

    /// One of each kind, and a Secret that nothing needs.
    async fn estate(&self) {
        let classes: Api<IngressClass> = Api::all(self.client.clone());
        let class = json!({
            "metadata": {"name": self.namespace}, "spec": {"controller": "example.com/other"},
        });
        given::create(&classes, class).await;
        self.create::<Ingress>(json!({
            "metadata": {"name": "shop"},
            "spec": {
                "ingressClassName": self.namespace,
                "defaultBackend": {"service": {"name": "api", "port": {"number": 80}}},
            },
        }))
        .await;
        self.create::<Service>(json!({
            "metadata": {"name": "api"}, "spec": {"ports": [{"port": 80}]},
        }))
        .await;
        self.create::<EndpointSlice>(json!({
            "metadata": {"name": "api-1", "labels": {"kubernetes.io/service-name": "api"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.77.0.11"]}],
            "ports": [{"port": 8080}],
        }))
        .await;
        let pair = json!({"tls.crt": "eA==", "tls.key": "eA=="});
        self.create::<Secret>(json!({"metadata": {"name": "pair"}, "data": pair}))
            .await;
        let unused = json!({"auth": "eA=="});
        self.create::<Secret>(json!({"metadata": {"name": "unused"}, "data": unused}))
            .await;
    }
}
