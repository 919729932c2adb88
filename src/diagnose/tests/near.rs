//! What a selector may have meant, and what is said of pods whose state changes while nothing does.

use super::*;

/// In a folder that may be a part of what is applied.
fn told_in_folder(selector: Value, name: &str, labels: Value) -> Option<String> {
    let mut given = Given::default();
    given.service("api", selector).deployment(name, labels, 1);
    given.found(Code::RH401).map(|found| found.message)
}

#[test]
fn a_slip_of_a_selector_is_found_in_a_folder() {
    for (selector, name, labels) in [
        (json!({"app": "backedn"}), "one", json!({"app": "backend"})),
        (
            json!({"app": "backend-api"}),
            "one",
            json!({"app": "backendapi"}),
        ),
        (json!({"app": "api"}), "api", json!({"app": "anything"})),
        (json!({"app": "api"}), "one", json!({"app": "backend-api"})),
        (
            json!({"app": "x"}),
            "one",
            json!({"app.kubernetes.io/name": "x"}),
        ),
        (
            json!({"app": "x", "tier": "web"}),
            "one",
            json!({"app": "x"}),
        ),
    ] {
        let told = told_in_folder(selector.clone(), name, labels.clone());
        assert!(told.is_some(), "{selector} {name} {labels}");
    }
}

#[test]
fn what_may_be_another_part_of_an_application_is_no_slip_in_a_folder() {
    for (selector, name, labels) in [
        (json!({"app": "web-1"}), "one", json!({"app": "web-2"})),
        (json!({"app": "api-v1"}), "one", json!({"app": "api-v2"})),
        (json!({"app": "cache-a"}), "one", json!({"app": "cache-b"})),
        (
            json!({"app": "shop", "part": "web"}),
            "one",
            json!({"app": "shop", "part": "worker"}),
        ),
        (json!({"app": "front"}), "one", json!({"app": "mailer"})),
        (
            json!({"app": "web", "env": "test"}),
            "one",
            json!({"app": "db", "env": "prod"}),
        ),
    ] {
        let told = told_in_folder(selector.clone(), name, labels.clone());
        assert_eq!(told, None, "{selector} {name} {labels}");
    }
}

#[test]
fn what_another_service_selects_was_not_meant_by_this_one_in_a_folder() {
    let mut given = Given::default();
    given
        .service("api", json!({"app": "backedn"}))
        .service("other", json!({"app": "backend"}))
        .deployment("backend", json!({"app": "backend"}), 1);
    assert_eq!(given.all().iter().filter(|f| f.is_error()).count(), 0);
}

#[test]
fn a_selector_is_not_blamed_while_slices_have_endpoints() {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    let slice = json!({"metadata": {"namespace": "default", "name": "s",
            "labels": {"kubernetes.io/service-name": "api"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": ["10.0.0.1"]}]});
    given
        .snapshot
        .add_slice(serde_json::from_value(slice).expect("a slice"));
    assert_eq!(given.all(), []);
}

#[test]
fn a_deployment_that_an_operator_made_speaks_for_itself() {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    let made = json!({
        "metadata": {"namespace": "default", "name": "api", "ownerReferences": [
            {"apiVersion": "example.com/v1", "kind": "Shop", "name": "s", "uid": "u", "controller": true}]},
        "spec": {"replicas": 0, "selector": {}, "template": {"metadata": {"labels": {"app": "api"}}}},
    });
    let made: k8s_openapi::api::apps::v1::Deployment =
        serde_json::from_value(made).expect("a Deployment");
    given
        .snapshot
        .add(Object::Workload(Arc::new(Workload::from(&made))));
    assert!(given.found(Code::RH402).is_some());
    assert_eq!(given.errors(), []);
}

/// The moments of a container that ends again and again, in the kubelet's words.
fn moments(code: i32, seconds: [u32; 2]) -> Vec<Value> {
    let ended = |seconds: u32| {
        json!({"terminated": {"exitCode": code, "reason": "Error",
            "startedAt": "2026-11-20T08:00:00Z", "finishedAt": format!("2026-11-20T08:00:{seconds:02}Z")}})
    };
    let waiting =
        |reason: &str, words: &str| json!({"waiting": {"reason": reason, "message": words}});
    let [one, other] = seconds;
    vec![
        json!({"restartCount": 4, "state": waiting("CrashLoopBackOff", "back-off 40s"), "lastState": ended(one)}),
        json!({"restartCount": 5, "state": {"running": {"startedAt": "2026-11-20T08:01:00Z"}}, "lastState": ended(one)}),
        json!({"restartCount": 5, "state": ended(other), "lastState": ended(one)}),
        json!({"restartCount": 5, "state": waiting("CrashLoopBackOff", "back-off 1m20s"), "lastState": ended(other)}),
        json!({"restartCount": 9, "state": waiting("RunContainerError", "id 3"), "lastState": ended(one)}),
    ]
}

#[test]
fn a_container_that_ends_again_and_again_is_told_of_alike_at_every_moment() {
    for code in [0, 1, 137, 255] {
        let told = moments(code, [1, 2]).into_iter().map(|moment| {
            let mut given = Given::in_cluster();
            given.service("api", json!({"app": "api"}));
            given.pod(pod("a", json!({"app": "api"}), unready(moment)));
            given.errors()
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told[0][0].code, Code::RH404);
        assert!(told.iter().all(|one| *one == told[0]), "{code}: {told:#?}");
    }
}

#[test]
fn how_long_a_container_ran_and_how_often_wakes_nobody() {
    let kept = |moment: &Value| {
        let of = pod("a", json!({"app": "api"}), unready(moment.clone()));
        Pod::of(&serde_json::from_value(of).expect("a Pod"))
    };
    let (one, other) = (moments(1, [1, 2]), moments(1, [3, 5]));
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(kept(one), kept(other));
    }
    let mut later = one[0].clone();
    later["restartCount"] = json!(8);
    later["state"]["waiting"]["message"] = json!("back-off 5m0s");
    assert_eq!(kept(&one[0]), kept(&later));
}

#[test]
fn readiness_that_is_lost_long_after_restarts_is_no_crash() {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    let moment = json!({"restartCount": 30, "started": true,
        "state": {"running": {"startedAt": "2026-10-01T08:00:00Z"}},
        "lastState": {"terminated": {"exitCode": 1,
            "startedAt": "2026-10-01T07:59:00Z", "finishedAt": "2026-10-01T07:59:01Z"}}});
    given.pod(pod("a", json!({"app": "api"}), unready(moment)));
    let codes: Vec<Code> = given.errors().iter().map(|found| found.code).collect();
    assert_eq!(codes, [Code::RH406]);
}

#[test]
fn a_probe_that_does_not_pass_proves_no_protocol() {
    let mut given = Given::in_cluster();
    given.service("api", json!({"app": "api"}));
    let moment = json!({"started": true, "state": {"running": {}}});
    let mut of = pod("a", json!({"app": "api"}), unready(moment));
    of["spec"]["containers"][0]["readinessProbe"]["httpGet"]["scheme"] = json!("HTTPS");
    given.pod(of.clone());
    assert_eq!(given.found(Code::RH515), None);
    of["metadata"]["name"] = json!("b");
    of["status"] = ready();
    given.pod(of);
    assert!(given.found(Code::RH515).is_some());
}

#[test]
fn a_target_port_is_read_as_the_api_server_reads_it() {
    for target in [
        Value::Null,
        json!(0),
        json!(""),
        json!(8080),
        json!("8080"),
        json!("http"),
    ] {
        let mut given = Given::in_cluster();
        let mut spec = json!({"selector": {"app": "api"}, "ports": [{"port": 8080}]});
        spec["ports"][0]["targetPort"] = target.clone();
        given.service_of("api", spec);
        let ingress = given
            .snapshot
            .ingresses
            .values()
            .next()
            .expect("one")
            .clone();
        let mut ingress = serde_json::to_value(&*ingress).expect("it prints");
        ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] =
            json!({"number": 8080});
        given
            .snapshot
            .add_ingress(serde_json::from_value(ingress).expect("an Ingress"));
        let mut of = pod("a", json!({"app": "api"}), ready());
        of["spec"]["containers"][0]["ports"][0]["name"] = json!("http");
        given.pod(of);
        let codes: Vec<Code> = given.all().iter().map(|found| found.code).collect();
        assert_eq!(codes, [Code::RH907], "{target}");
    }
}
