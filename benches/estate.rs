//! A made-up estate of Ingresses: one host, one Service and two endpoints each, TLS for one in five.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use vigie::snapshot::workloads::Workload;
use vigie::snapshot::{Evidence, Object, Snapshot, pods};

use crate::shared::of;

/// Certificates that are made; more Secrets share them, since making keys is not what is measured.
const KEYS: usize = 50;

/// What share of the Ingresses has TLS: 2,000 of 10,000.
const TLS_EVERY: usize = 5;

/// An estate of so many Ingresses, with `features` on every one or on none.
pub fn estate(ingresses: usize, features: bool) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let certificates: Vec<(String, String)> = (0..KEYS.min(ingresses)).map(certificate).collect();
    for i in 0..ingresses {
        let namespace = format!("team-{:03}", i % 100);
        let name = format!("shop-{i:05}");
        let host = format!("{name}.example.com");
        let tls = i % TLS_EVERY == 0;
        let annotations = if features {
            json!({
                "nginx.ingress.kubernetes.io/rewrite-target": "/$2",
                "nginx.ingress.kubernetes.io/use-regex": "true",
                "nginx.ingress.kubernetes.io/proxy-read-timeout": "120",
                "nginx.ingress.kubernetes.io/proxy-body-size": "20m",
            })
        } else {
            json!({})
        };
        let path = if features { "/app(/|$)(.*)" } else { "/" };
        let path_type = if features {
            "ImplementationSpecific"
        } else {
            "Prefix"
        };
        let mut spec = json!({
            "ingressClassName": "vigie",
            "rules": [{"host": host, "http": {"paths": [{
                "path": path, "pathType": path_type,
                "backend": {"service": {"name": name, "port": {"number": 80}}},
            }]}}],
        });
        if tls {
            spec["tls"] = json!([{"hosts": [host], "secretName": name}]);
            let (chain, key) = &certificates[(i / TLS_EVERY) % certificates.len()];
            snapshot.add_secret(secret(&namespace, &name, chain, key));
        }
        snapshot.add_ingress(of(json!({
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations}, "spec": spec,
        })));
        snapshot.add_service(of(json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        })));
        let address = |last: usize| format!("10.{}.{}.{last}", i / 250, i % 250);
        snapshot.add_slice(of(json!({
            "metadata": {"namespace": namespace, "name": format!("{name}-abcde"),
                "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": [address(1)], "conditions": {"ready": true}},
                {"addresses": [address(2)], "conditions": {"ready": true}},
            ],
        })));
    }
    snapshot
}

/// The same with a Deployment and two pods behind each Service, of which one in `broken_every` has none that
/// is ready.
#[allow(dead_code, reason = "not every benchmark looks behind Services")]
pub fn with_pods(snapshot: &mut Snapshot, broken_every: usize) {
    snapshot.evidence = Evidence::Cluster;
    let services: Vec<_> = snapshot.services.keys().cloned().collect();
    for (number, name) in services.iter().enumerate() {
        let (namespace, app) = (&name.namespace, &name.name);
        let is_broken = number % broken_every == 0;
        let template = json!({
            "metadata": {"labels": {"app": app, "tier": "web"}},
            "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1",
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}}}]},
        });
        let deployment: Deployment = of(json!({
            "metadata": {"namespace": namespace, "name": app},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": app}}, "template": template},
        }));
        snapshot.add(Object::Workload(Arc::new(Workload::from(&deployment))));
        for pod in ["x2k9q", "z7w4t"] {
            let pod: Pod = of(json!({
                "metadata": {"namespace": namespace, "name": format!("{app}-5d8f7c9b64-{pod}"),
                    "labels": {"app": app, "tier": "web", "pod-template-hash": "5d8f7c9b64"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "1",
                        "name": format!("{app}-5d8f7c9b64"), "controller": true}]},
                "spec": template["spec"],
                "status": {"phase": "Running",
                    "conditions": [{"type": "Ready", "status": if is_broken { "False" } else { "True" }}],
                    "containerStatuses": [{"name": "web", "ready": !is_broken, "started": true,
                        "restartCount": 0, "image": "", "imageID": "",
                        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]},
            }));
            snapshot.add(Object::Pod(Arc::new(pods::Pod::of(&pod))));
        }
    }
}

/// A self-signed ECDSA certificate for every name of the estate.
fn certificate(_: usize) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["*.example.com".into()])
        .expect("a certificate can be made");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn secret(namespace: &str, name: &str, chain: &str, key: &str) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(BTreeMap::from([
            ("tls.crt".into(), bytes(chain)),
            ("tls.key".into(), bytes(key)),
        ])),
        ..Secret::default()
    }
}
