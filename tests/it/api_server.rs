//! What a real API server makes of our resources: it takes the definition of RouteHealth, fills in what
//! is left out, keeps what is ours to tell apart from what users say, and refuses what cannot be meant.

mod differences;
mod rules;

use std::process::Command;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use vigie::api::route_health::{
    EjectionMode, RouteHealth, RouteHealthSpec, RouteHealthStatus, RouteSelector, TargetRef,
};

use crate::cluster::{self, until};
use differences::differences;

const SHOP: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {nginx.ingress.kubernetes.io/use-regex: 'true'}}
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths: [{path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]
";

fn health_of(ingress: &str) -> RouteHealthSpec {
    RouteHealthSpec {
        target_ref: Some(TargetRef {
            group: "networking.k8s.io".to_owned(),
            kind: "Ingress".to_owned(),
            name: ingress.to_owned(),
        }),
        ..RouteHealthSpec::default()
    }
}

#[test]
fn the_definition_that_the_program_prints_is_taken_as_it_stands() {
    cluster::test(async |cluster| {
        let printed = Command::new(env!("CARGO_BIN_EXE_vigie"))
            .arg("crds")
            .output();
        let printed = String::from_utf8(printed.expect("it runs").stdout).expect("it is text");
        let stored = &cluster.apply(&printed).await[0];
        let asked: serde_json::Value = serde_saphyr::from_str(&printed).expect("it is YAML");
        let (asked, stored) = (&asked["spec"]["versions"], &stored.data["spec"]["versions"]);
        let differing = differences(&asked[0]["schema"], &stored[0]["schema"]);
        assert!(differing.is_empty(), "\n{}", differing.join("\n"));

        let defined = cluster.define().await;
        let status = defined.status.expect("a status");
        let unhappy = status.conditions.into_iter().flatten().find(|condition| {
            let good = condition.type_ == "Established" || condition.type_ == "NamesAccepted";
            good != (condition.status == "True")
        });
        assert_eq!(unhappy, None);
    });
}

#[test]
fn a_route_health_is_read_back_as_it_was_written_with_what_was_left_out() {
    cluster::test(async |cluster| {
        cluster.define().await;
        let all = cluster.api::<RouteHealth>();
        let mut spec = health_of("shop");
        spec.ejection.mode = EjectionMode::Eject;
        spec.routes = vec![RouteSelector {
            host: Some("*.example.com".to_owned()),
            ..RouteSelector::default()
        }];
        let written = RouteHealth::new("shop", spec.clone());
        all.create(&PostParams::default(), &written)
            .await
            .expect("it is taken");
        assert_eq!(all.get("shop").await.expect("it is there").spec, spec);

        // A manifest that says as little as it may is the same as one that spells it all out.
        let little = "
apiVersion: vigie.dev/v1alpha1
kind: RouteHealth
metadata: {name: little}
spec: {targetRef: {name: little}}
";
        cluster.apply(little).await;
        let read = all.get("little").await.expect("it is there").spec;
        assert_eq!(read, health_of("little"));

        let of_shop = ListParams::default().fields("spec.targetRef.name=shop");
        let found = all.list(&of_shop).await.expect("the field can be selected");
        assert_eq!(found.items.len(), 1);
    });
}

#[test]
fn the_status_of_a_route_health_is_written_apart_from_its_spec() {
    cluster::test(async |cluster| {
        cluster.define().await;
        let all = cluster.api::<RouteHealth>();
        let mut written = RouteHealth::new("shop", health_of("shop"));
        let told = RouteHealthStatus {
            target: "ingress/shop".to_owned(),
            ..RouteHealthStatus::default()
        };
        written.status = Some(told.clone());
        let made = all
            .create(&PostParams::default(), &written)
            .await
            .expect("it is taken");
        assert_eq!(made.status, None);

        let patch = Patch::Apply(json!({
            "apiVersion": "vigie.dev/v1alpha1",
            "kind": "RouteHealth",
            "metadata": {"name": "shop"},
            "status": told,
        }));
        let by = PatchParams::apply("vigie");
        all.patch_status("shop", &by, &patch)
            .await
            .expect("it is taken");
        let is_told = |read: &RouteHealth| read.status.as_ref() == Some(&told);
        let read = until(&all, "shop", "told", is_told).await;
        assert_eq!(read.spec, written.spec);
    });
}

#[test]
fn an_ingress_is_read_back_typed() {
    cluster::test(async |cluster| {
        cluster.apply(SHOP).await;
        let read = cluster
            .api::<Ingress>()
            .get("shop")
            .await
            .expect("it is there");
        let spec = read.spec.expect("a spec");
        assert_eq!(spec.ingress_class_name.as_deref(), Some("vigie"));
        let rules = spec.rules.expect("rules");
        assert_eq!(rules[0].host.as_deref(), Some("shop.example.com"));
        let paths = &rules[0].http.as_ref().expect("paths").paths;
        assert_eq!(paths[0].path.as_deref(), Some("/api"));
    });
}

/// Why such tests have a network of their own.
#[test]
fn endpoints_may_have_addresses_of_our_network_and_none_of_loopback() {
    let slice = |address: &str| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "api-1", "labels": {"kubernetes.io/service-name": "api"}},
            "addressType": "IPv4",
            "ports": [{"port": 8080}],
            "endpoints": [{"addresses": [address]}],
        })
    };
    cluster::test(async |cluster| {
        let refused = cluster.try_apply(&slice("127.1.0.1")).await;
        let words = refused.expect_err("it is refused").message;
        assert!(
            words.contains("may not be in the loopback range"),
            "{words}"
        );

        let listener = std::net::TcpListener::bind("10.77.1.2:8080").expect("it is local");
        cluster
            .try_apply(&slice("10.77.1.2"))
            .await
            .expect("it is taken");
        let read = cluster
            .api::<EndpointSlice>()
            .get("api-1")
            .await
            .expect("it is there");
        let address = &read.endpoints[0].addresses[0];
        std::net::TcpStream::connect((address.as_str(), 8080)).expect("it is reached");
        drop(listener);
    });
}
