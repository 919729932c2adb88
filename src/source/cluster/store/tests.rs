use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::core::DeserializeGuard;
use serde_json::{Value, json};

use super::*;
use crate::api::route_health::RouteHealth;
use crate::source::cluster::kept::Watched;

const KINDS: [Kind; 4] = [
    Kind::Ingress,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::RouteHealth,
];
const INGRESS: usize = 0;
const SLICE: usize = 1;
const SECRET: usize = 2;
const HEALTH: usize = 3;

struct Given(Store);

impl Given {
    fn new() -> Self {
        let name = |kind| WatchName {
            kind,
            namespace: None,
            name: None,
        };
        let watches = KINDS.map(|kind| (name(kind), kind != Kind::RouteHealth));
        Self(Store::new(watches.into(), Secrets::default()))
    }

    fn say(&mut self, watch: usize, said: Said) -> bool {
        self.0.take(Message { watch, said })
    }

    fn list(&mut self, watch: usize, objects: impl IntoIterator<Item = Read>) -> bool {
        let mut changed = self.say(watch, Said::ListBegins);
        for object in objects {
            changed |= self.say(watch, Said::Listed(object));
        }
        changed | self.say(watch, Said::ListEnds)
    }

    fn change(&mut self, watch: usize, object: Read) -> bool {
        self.say(watch, Said::Changed(object))
    }

    fn watch(&self, watch: usize) -> crate::source::cluster::Watch {
        let mut of_kind = self.0.watches.iter();
        let found = of_kind.find(|(name, _)| name.kind == KINDS[watch]);
        found.expect("it is in the table").1.clone()
    }

    fn secrets(&self) -> Vec<&str> {
        let names = self.0.snapshot.secrets.keys();
        names.map(|name| name.name.as_str()).collect()
    }

    fn look_ups(&mut self) -> Vec<String> {
        let names = self.0.look_ups().into_iter();
        names.map(|(_, name)| name.name).collect()
    }
}

fn read<K: Watched + serde::de::DeserializeOwned>(object: Value) -> Read {
    serde_json::from_value::<K>(object)
        .expect("an object")
        .kept()
}

fn ingress(name: &str, secret: Option<&str>) -> Read {
    let tls = secret.map(|name| json!([{"secretName": name}]));
    read::<Ingress>(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"tls": tls},
    }))
}

fn slice(name: &str, service: &str) -> Read {
    read::<EndpointSlice>(json!({
        "metadata": {
            "name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [],
    }))
}

fn secret(name: &str, keys: &[&str]) -> Read {
    let data: BTreeMap<&str, &str> = keys.iter().map(|key| (*key, "eA==")).collect();
    read::<Secret>(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "data": data,
    }))
}

fn health(name: &str, routes: Value) -> Read {
    read::<DeserializeGuard<RouteHealth>>(json!({
        "apiVersion": "vigie.dev/v1alpha1",
        "kind": "RouteHealth",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"targetRef": {"name": "shop"}, "routes": routes},
    }))
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("shop", name)
}

#[test]
fn what_a_new_list_does_not_hold_has_gone() {
    let mut given = Given::new();
    given.list(INGRESS, [ingress("a", None), ingress("b", None)]);
    let a = given.0.snapshot.ingresses[&name("a")].clone();
    assert!(given.list(INGRESS, [ingress("a", None)]));
    let left: Vec<_> = given.0.snapshot.ingresses.values().collect();
    assert_eq!(left.len(), 1);
    assert!(Arc::ptr_eq(left[0], &a), "unchanged objects stay the same");
}

#[test]
fn a_list_that_fails_takes_nothing_away() {
    let mut given = Given::new();
    given.list(INGRESS, [ingress("a", None), ingress("b", None)]);
    given.say(INGRESS, Said::ListBegins);
    given.say(INGRESS, Said::Listed(ingress("a", None)));
    assert!(!given.say(INGRESS, Said::Failed(WatchState::Forbidden)));
    assert_eq!(given.0.snapshot.ingresses.len(), 2);
    assert!(!given.list(INGRESS, [ingress("a", None), ingress("b", None)]));
    assert_eq!(given.0.snapshot.ingresses.len(), 2);
}

#[test]
fn what_changes_without_a_meaning_changes_nothing() {
    let mut given = Given::new();
    let version = |version: &str| {
        read::<Ingress>(json!({
            "metadata": {
                "name": "a", "namespace": "shop", "resourceVersion": version,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": version},
                "managedFields": [{"manager": version}],
            },
            "spec": {"ingressClassName": "vigie"},
            "status": {"loadBalancer": {"ingress": [{"hostname": version}]}},
        }))
    };
    assert!(given.list(INGRESS, [version("1")]));
    assert!(!given.change(INGRESS, version("2")));
    let kept = &given.0.snapshot.ingresses[&name("a")];
    assert_eq!(kept.metadata.annotations, None);
    assert_eq!(kept.metadata.managed_fields, None);
    assert_eq!(kept.status, None);
}

#[test]
fn a_slice_leaves_the_service_that_its_label_named() {
    let mut given = Given::new();
    given.list(SLICE, [slice("a-1", "a")]);
    assert!(given.change(SLICE, slice("a-1", "b")));
    let services: Vec<&str> = given.0.snapshot.slices.keys().map(|n| &*n.name).collect();
    assert_eq!(services, ["b"]);
}

#[test]
fn it_is_complete_when_all_that_is_required_was_listed() {
    let mut given = Given::new();
    given.list(INGRESS, []);
    given.list(SLICE, []);
    assert!(!given.0.watches.complete());
    given.list(SECRET, []);
    assert!(given.0.watches.complete());
    assert!(!given.0.watches.answered(), "RouteHealths may still come");
    given.say(HEALTH, Said::Failed(WatchState::Absent));
    assert!(given.0.watches.answered());
    assert_eq!(given.watch(HEALTH).state, WatchState::Absent);
    assert!(!given.watch(HEALTH).listed);
}

#[test]
fn a_watch_that_failed_and_runs_again_is_synced() {
    let mut given = Given::new();
    given.list(INGRESS, []);
    given.say(INGRESS, Said::Failed(WatchState::Failing("refused".into())));
    assert_eq!(given.watch(INGRESS).state.to_string(), "failing: refused");
    assert!(given.watch(INGRESS).listed);
    given.say(INGRESS, Said::Calm);
    assert_eq!(given.watch(INGRESS).state, WatchState::Synced);
}

#[test]
fn one_that_cannot_be_read_is_named_and_the_others_are_there() {
    let mut given = Given::new();
    given.list(
        HEALTH,
        [health("good", json!([])), health("bad", json!("no list"))],
    );
    let healths: Vec<&str> = given
        .0
        .snapshot
        .route_healths
        .keys()
        .map(|n| &*n.name)
        .collect();
    assert_eq!(healths, ["good"]);
    let unreadable = given.watch(HEALTH).unreadable;
    assert_eq!(unreadable.keys().collect::<Vec<_>>(), [&name("bad")]);
    assert!(given.change(HEALTH, health("bad", json!([]))));
    assert!(given.watch(HEALTH).unreadable.is_empty());
    assert_eq!(given.0.snapshot.route_healths.len(), 2);
}

#[test]
fn secrets_that_nothing_needs_are_dropped() {
    let mut given = Given::new();
    given.list(INGRESS, [ingress("a", Some("odd"))]);
    let opaque = ["password"];
    given.list(
        SECRET,
        [
            secret("odd", &opaque),
            secret("other", &opaque),
            secret("pair", &["tls.crt", "tls.key"]),
        ],
    );
    assert_eq!(given.secrets(), ["odd", "pair"]);
    assert!(
        given.look_ups().is_empty(),
        "the list was sifted by all references"
    );
}

#[test]
fn a_secret_that_is_referred_to_later_is_looked_up_once() {
    let mut given = Given::new();
    given.list(INGRESS, []);
    given.list(SECRET, [secret("odd", &["password"])]);
    given.change(INGRESS, ingress("a", Some("odd")));
    assert_eq!(given.look_ups(), ["odd"]);
    given.change(INGRESS, ingress("b", Some("odd")));
    assert!(given.look_ups().is_empty());
    let answer = Said::LookedUp(name("odd"), Some(secret("odd", &["password"])));
    assert!(given.say(SECRET, answer));
    assert_eq!(given.secrets(), ["odd"]);
    given.change(INGRESS, ingress("a", None));
    assert_eq!(given.secrets(), ["odd"]);
    given.say(INGRESS, Said::Gone(name("b")));
    assert!(given.secrets().is_empty());
}

#[test]
fn annotations_refer_to_secrets_too() {
    let mut given = Given::new();
    let guarded = read::<Ingress>(json!({"metadata": {
        "name": "a", "namespace": "shop", "annotations": {
            "nginx.ingress.kubernetes.io/auth-secret": "users",
            "vigie.dev/auth-tls-secret": "shop/authority",
            "example.com/other-secret": "stranger",
        },
    }}));
    given.list(INGRESS, [guarded]);
    let names = ["users", "authority", "stranger"];
    given.list(SECRET, names.map(|name| secret(name, &["x"])));
    assert_eq!(given.secrets(), ["authority", "users"]);
}

#[test]
fn an_answer_that_is_older_than_the_watch_is_not_taken() {
    let mut given = Given::new();
    given.list(INGRESS, []);
    given.list(SECRET, []);
    given.change(INGRESS, ingress("a", Some("odd")));
    assert_eq!(given.look_ups(), ["odd"]);
    given.say(SECRET, Said::Gone(name("odd")));
    let answer = Said::LookedUp(name("odd"), Some(secret("odd", &["password"])));
    assert!(!given.say(SECRET, answer));
    assert!(given.secrets().is_empty());
}

#[test]
fn what_was_asked_for_during_a_list_is_asked_again_after_it() {
    let mut given = Given::new();
    given.list(INGRESS, []);
    given.list(SECRET, []);
    given.say(SECRET, Said::ListBegins);
    given.change(INGRESS, ingress("a", Some("odd")));
    assert_eq!(given.look_ups(), ["odd"]);
    let answer = || Said::LookedUp(name("odd"), Some(secret("odd", &["password"])));
    assert!(!given.say(SECRET, answer()));
    given.say(SECRET, Said::ListEnds);
    assert_eq!(given.look_ups(), ["odd"]);
    assert!(given.say(SECRET, answer()));
    assert_eq!(given.secrets(), ["odd"]);
}

#[test]
fn a_status_is_told_beside_the_snapshot_and_goes_with_its_object() {
    let told = |ip: &str| {
        read::<Ingress>(json!({
            "metadata": {"name": "a", "namespace": "shop", "managedFields": [
                {"manager": "vigie", "fieldsV1": {"f:status": {"f:loadBalancer": {"f:ingress": {}}}}},
                {"manager": "kubectl", "fieldsV1": {"f:spec": {}}},
            ]},
            "spec": {},
            "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
        }))
    };
    let mut given = Given::new();
    given.list(INGRESS, [told("10.0.0.1")]);
    assert!(std::mem::take(&mut given.0.statuses_changed));
    let changed = given.change(INGRESS, told("10.0.0.2"));
    assert!(!changed, "the snapshot is the same");
    assert!(std::mem::take(&mut given.0.statuses_changed));
    given.change(INGRESS, told("10.0.0.2"));
    assert!(!given.0.statuses_changed);
    let seen = &given.0.statuses.ingresses[&name("a")];
    assert_eq!(seen.addresses[0].ip.as_deref(), Some("10.0.0.2"));
    assert_eq!(seen.managers, ["vigie".to_owned()].into());
    given.list(INGRESS, []);
    assert!(given.0.statuses.ingresses.is_empty());
}

#[test]
fn route_healths_are_told_whole_once_all_of_them_are_known() {
    let mut given = Given::new();
    given.say(HEALTH, Said::ListBegins);
    given.say(HEALTH, Said::Listed(health("a", json!([]))));
    assert!(!given.0.statuses.route_healths_known);
    given.say(HEALTH, Said::ListEnds);
    assert!(given.0.statuses.route_healths_known);
    let mut told = serde_json::to_value(&*given.0.statuses.route_healths[&name("a")]).unwrap();
    told["status"] = json!({"target": "ingress/shop"});
    let told = read::<DeserializeGuard<RouteHealth>>(told);
    assert!(!given.change(HEALTH, told));
    let kept = given.0.statuses.route_healths[&name("a")].status.as_ref();
    assert_eq!(kept.map(|s| s.target.as_str()), Some("ingress/shop"));
    given.change(HEALTH, health("a", json!("no list")));
    assert!(given.0.statuses.route_healths.is_empty());
}

#[test]
fn pods_of_one_revision_share_what_they_are() {
    let pod = |name: &str, image: &str| {
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"containers": [{"name": "web", "image": image}]},
        }))
        .expect("a pod");
        pod.kept()
    };
    let name = WatchName {
        kind: Kind::Pod,
        namespace: None,
        name: None,
    };
    let mut store = Store::new(vec![(name, false)], Secrets::default());
    for (name, image) in [
        ("web-c", "one"),
        ("web-a", "one"),
        ("web-b", "two"),
        ("web-d", "one"),
    ] {
        let said = Said::Changed(pod(name, image));
        store.take(Message { watch: 0, said });
    }
    let shapes: Vec<&Arc<_>> = store.snapshot.pods.values().map(|pod| &pod.shape).collect();
    let [a, b, c, d] = shapes[..] else {
        panic!("{} pods", shapes.len())
    };
    assert!(Arc::ptr_eq(a, c) && Arc::ptr_eq(c, d));
    assert!(!Arc::ptr_eq(a, b) && b.containers[0].image == "two");
}
