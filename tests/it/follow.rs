//! Endpoints that change are followed by both real proxies: another address, another port, none at
//! all, and back.

use std::path::Path;

use vigie::render::ProxyKind;

use crate::case;
use crate::serve::Served;
use crate::support::expect::{self, Expectations};

/// The endpoints of the Service, one after the other, and what a client gets.
const STEPS: [(&str, &str); 6] = [
    ("127.1.0.1:8080", "status: 200, backend: 127.1.0.1:8080"),
    ("127.1.0.2:8080", "status: 200, backend: 127.1.0.2:8080"),
    ("127.1.0.93:8093", "status: 200, backend: 127.1.0.93:8093"),
    ("", "status: 503, backend: null"),
    ("127.1.0.2:8080", "status: 200, backend: 127.1.0.2:8080"),
    ("127.1.0.1:8080", "status: 200, backend: 127.1.0.1:8080"),
];

fn manifests(endpoint: &str) -> String {
    let (address, port) = endpoint.split_once(':').unwrap_or(("", "8080"));
    let endpoints = match address {
        "" => "[]".to_owned(),
        address => format!("[{{addresses: [{address}]}}]"),
    };
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop}}
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: api, port: {{number: 80}}}}}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: api}}
spec: {{selector: {{app: api}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: api-1, labels: {{kubernetes.io/service-name: api}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: {endpoints}
"
    )
}

async fn endpoints_are_followed(proxy: ProxyKind) {
    let mut served: Option<Served> = None;
    for (number, (endpoint, wanted)) in STEPS.into_iter().enumerate() {
        let model = case::of_text(&manifests(endpoint)).translate().0.model;
        match &mut served {
            None => served = Some(Served::start(&model, proxy).await.expect("it is served")),
            Some(served) => served.change(&model).await.expect("it is loaded"),
        }
        let expect = format!(
            "backends: ['127.1.0.93:8093']\nrequests:\n- get: http://shop.example.com/\n  eventually: 5s\n  expect: {{{wanted}}}\n"
        );
        let expect = Expectations::parse(&expect, Path::new(".")).expect("it can be read");
        let _backends = expect::start_backends(&expect).expect("backends");
        let failures = match &served {
            Some(served) => served.ask(&expect).await,
            None => Vec::new(),
        };
        let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
        assert!(
            failures.is_empty(),
            "step {number}: {}",
            failures.join("\n")
        );
    }
    if let Some(served) = served {
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_change_are_followed_by_nginx() {
    endpoints_are_followed(ProxyKind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_change_are_followed_by_haproxy() {
    endpoints_are_followed(ProxyKind::Haproxy).await;
}
