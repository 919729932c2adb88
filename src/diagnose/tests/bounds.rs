//! Many objects, odd ones, and any order of them.

use proptest::prelude::*;

use super::*;
use crate::diagnose::matching::{LOOKED_AT, Matching};

/// How many things were looked at.
fn looks(given: &Given) -> usize {
    LOOKED_AT.with(|looked| looked.set(0));
    given.findings();
    LOOKED_AT.with(std::cell::Cell::get)
}

fn crowd(pods: usize) -> Given {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    for n in 0..pods {
        let status = match n % 3 {
            0 => ready(),
            _ => unready(json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}})),
        };
        given.pod(pod(&format!("api-{n}"), json!({"app": "api"}), status));
    }
    given
}

fn empties(services: usize) -> Given {
    let mut given = Given::in_cluster();
    for n in 0..services {
        let (name, value) = (format!("api-{n}"), format!("shop-{n}-api"));
        given.service(&name, json!({"app": value}));
        given.deployment(&name, json!({"app": format!("{value}-{n}")}), 1);
    }
    given
}

#[test]
fn five_thousand_pods_behind_a_service_are_looked_at_once_each() {
    let (few, many) = (crowd(500), crowd(5000));
    assert!(
        looks(&many) <= 11 * looks(&few),
        "{} {}",
        looks(&few),
        looks(&many)
    );
    let told = many.all();
    assert!(told.len() < 40, "{told:#?}");
}

#[test]
fn a_thousand_services_of_one_selector_look_at_its_pods_once() {
    let mut given = crowd(1000);
    let one = looks(&given);
    for n in 0..1000 {
        given.service(&format!("same-{n}"), json!({"app": "api"}));
    }
    assert!(looks(&given) <= 2 * one, "{one} {}", looks(&given));
}

#[test]
fn a_thousand_services_without_pods_are_not_compared_with_everything() {
    let (few, many) = (empties(250), empties(1000));
    let (few, many) = (looks(&few), looks(&many));
    assert!(many <= 5 * few, "{few} {many}");
}

#[test]
fn empty_selectors_select_nothing() {
    for selector in [json!({}), Value::Null] {
        let mut given = crowd(3);
        given.service("all", selector);
        let told = given.findings();
        assert_eq!(told.len(), 1, "{told:#?}");
        let nothing = Default::default();
        assert!(
            Matching::new(&given.snapshot)
                .behind("default", &nothing)
                .pods
                .is_empty()
        );
    }
}

#[test]
fn owners_in_a_circle_end_nobodys_search() {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    for (kind, name, owner) in [
        ("ReplicaSet", "a", "b"),
        ("ReplicaSet", "b", "a"),
        ("ReplicaSet", "c", "c"),
    ] {
        let set = json!({
            "metadata": {"namespace": "default", "name": name, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true}]},
            "spec": {"replicas": 1, "selector": {}, "template": {"metadata": {"labels": {"app": "api"}}}},
        });
        let set: k8s_openapi::api::apps::v1::ReplicaSet =
            serde_json::from_value(set).expect("a ReplicaSet");
        given
            .snapshot
            .add(Object::Workload(Arc::new(Workload::from(&set))));
    }
    let mut of = pod(
        "p",
        json!({"app": "other", "pod-template-hash": "p"}),
        ready(),
    );
    of["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]);
    given.pod(of);
    let codes: Vec<Code> = given.errors().iter().map(|found| found.code).collect();
    assert_eq!(codes, [Code::RH403]);
}

#[test]
fn megabytes_and_control_characters_are_told_of_briefly() {
    let mut given = Given::in_cluster();
    let long = "x\u{1b}[31m\n".repeat(200_000);
    given.service("api", json!({"app": "api", &long: &long}));
    let waiting =
        json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": &long}}});
    let mut of = pod("a", json!({"app": "api", &long: &long}), unready(waiting));
    given.pod(of.clone());
    of["metadata"]["name"] = json!("b");
    of["spec"]["containers"][0]["name"] = json!(&long);
    of["spec"]["containers"][0]["image"] = json!(&long);
    of["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = json!(&long);
    of["spec"]["readinessGates"] = json!([{"conditionType": &long}]);
    for reason in ["ImagePullBackOff", "CrashLoopBackOff", "Other"] {
        of["status"] = unready(json!({"name": &long, "state": {"waiting": {"reason": reason}}}));
        let mut alone = Given::in_cluster();
        alone.service("api", json!({"app": "api"})).pod(of.clone());
        of["status"] = unready(json!({"name": &long, "started": true, "state": {"running": {}}}));
        alone.pod(of.clone());
        for found in given.all().iter().chain(&alone.all()) {
            let texts = [&*found.message, &*found.fix, found.origin.field.as_str()];
            for text in texts {
                assert!(text.chars().count() <= 1001, "{}", text.len());
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
}

#[test]
fn names_of_maximal_length_are_compared_and_told() {
    let mut given = Given::in_cluster();
    for n in 0..200 {
        let (name, value) = (format!("{n:0>253}"), format!("{n:a>63}"));
        given.service(&name, json!({&value: &value}));
        given.deployment(&name, json!({&value: format!("{n:b>63}")}), 1);
    }
    let told = given.all();
    assert_eq!(told.len(), 200);
    assert!(
        told.iter()
            .all(|found| found.message.chars().count() <= 1001)
    );
}

/// Parts of objects, of which any may be missing.
fn half_a_pod() -> impl Strategy<Value = Value> {
    let labels = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"app": "api"})),
        Just(json!({"app": "apj", "pod-template-hash": "h"}))
    ];
    let owner = prop_oneof![
        Just(Value::Null),
        Just(json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": "api-h", "uid": "", "controller": true}]))
    ];
    const REASONS: &[&str] = &[
        "",
        "CrashLoopBackOff",
        "ErrImagePull",
        "ContainerCreating",
        "RunContainerError",
    ];
    let state = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"running": {}})),
        Just(json!({"terminated": {"exitCode": 137}})),
        proptest::sample::select(REASONS).prop_map(|reason| json!({"waiting": {"reason": reason}})),
    ];
    let probes = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"exec": {}})),
        Just(json!({"httpGet": {"port": ""}})),
        Just(json!({"grpc": {"port": -1}, "periodSeconds": -7})),
        Just(
            json!({"tcpSocket": {"port": i32::MAX}, "failureThreshold": i32::MAX, "periodSeconds": i32::MAX})
        )
    ];
    let ports = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!([{"containerPort": 0}])),
        Just(json!([{"containerPort": 8080, "protocol": "UDP", "name": "http"}]))
    ];
    let phase = prop_oneof![
        Just(Value::Null),
        Just(json!("Running")),
        Just(json!("Failed")),
        Just(json!("?"))
    ];
    let parts = (
        0..6_u8,
        labels,
        owner,
        state,
        probes,
        ports,
        phase,
        any::<i32>(),
        any::<bool>(),
    );
    parts.prop_map(|(n, labels, owner, state, probe, ports, phase, restarts, goes)| {
        let times = if goes { json!("2026-11-20T08:00:00Z") } else { Value::Null };
        json!({
            "metadata": {"namespace": "default", "name": format!("p{n}"), "labels": labels,
                "ownerReferences": owner, "deletionTimestamp": times},
            "spec": {"containers": [{"name": "api", "ports": ports, "readinessProbe": probe,
                "startupProbe": probe, "livenessProbe": probe}]},
            "status": {"phase": phase, "containerStatuses": [{"name": "api", "image": "", "imageID": "",
                "ready": goes, "restartCount": restarts, "state": state, "lastState": state}]},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn half_objects_in_any_order_are_told_of_alike(
        pods in proptest::collection::vec(half_a_pod(), 0..6),
        cluster in any::<bool>(),
        target in prop_oneof![Just(json!(8080)), Just(json!("http")), Just(json!(-1)), Just(Value::Null)],
    ) {
        let given = |pods: &mut dyn Iterator<Item = &Value>| {
            let mut given = Given::default();
            if cluster {
                given.snapshot.evidence = Evidence::Cluster;
            }
            let ports = json!([{"port": 80, "targetPort": target}]);
            given.service_of("api", json!({"selector": {"app": "api"}, "ports": ports}));
            for pod in pods {
                given.pod(pod.clone());
            }
            given
        };
        let mut by_name = std::collections::BTreeMap::new();
        for pod in &pods {
            by_name.insert(pod["metadata"]["name"].as_str().expect("a name"), pod);
        }
        let forth = given(&mut by_name.values().copied()).findings();
        let back = given(&mut by_name.values().rev().copied()).findings();
        prop_assert_eq!(forth, back);
    }
}
