//! Objects that pass every check of ours and that the proxy refuses all the same: they are set aside
//! with the proxy's words, everyone else's change goes through, and they are tried again when they
//! change.

use std::path::Path;

use serde_json::Value;
use vigie::render::ProxyKind;

use crate::run::Running;
use crate::support::expect;

/// Both proxies count no further than 65535, which our own reader of expressions does.
const REFUSED: &str = "/(a)\\1{70000}";

fn ingress(name: &str, path: &str) -> String {
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, annotations: {{vigie.dev/use-regex: 'true'}}}}
spec:
  ingressClassName: vigie
  rules:
  - host: {name}.example.com
    http:
      paths: [{{path: '{path}', pathType: ImplementationSpecific, backend: {{service: {{name: api, port: {{number: 80}}}}}}}}]
---
"
    )
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [127.1.0.1]}]
";

/// Replaced at once, as an editor does: half a file is never read.
fn write(folder: &Path, ingresses: &[(&str, &str)]) {
    let all: String = ingresses.iter().map(|(n, p)| ingress(n, p)).collect();
    let beside = folder.join(".beside");
    std::fs::write(&beside, all + SERVICE).expect("it can be written");
    std::fs::rename(beside, folder.join("all.yaml")).expect("it can be renamed");
}

fn is_loaded(event: &Value) -> bool {
    event["event"] == "loaded"
}

/// Codes and names of the findings.
fn told(event: &Value) -> Vec<(&str, &str)> {
    let all = event["findings"].as_array().into_iter().flatten();
    all.map(|finding| {
        let code = finding["code"].as_str().unwrap_or_default();
        let name = finding["object"]["name"].as_str().unwrap_or_default();
        (code, name)
    })
    .collect()
}

async fn one_object_is_refused_and_the_others_are_served(proxy: ProxyKind) {
    let folder = tempfile::tempdir().expect("a folder");
    let _backends = expect::start_backends(&expect::Expectations::default());
    write(folder.path(), &[("old", "/x"), ("bad", REFUSED)]);
    let mut running = Running::start(folder.path(), proxy);
    let refused = running.until(|event| event["event"] == "refused").await;
    assert_eq!(refused["object"], "Ingress default/bad");
    let findings = running.until(|event| event["event"] == "findings").await;
    assert_eq!(told(&findings), [("RH302", "bad")]);
    running.until(is_loaded).await;
    assert_eq!(running.status("old.example.com", "/x").await, 200);
    assert_eq!(running.status("bad.example.com", "/aa").await, 404);

    // Others go on changing; what was set aside stays so.
    write(
        folder.path(),
        &[("old", "/x"), ("bad", REFUSED), ("new", "/y")],
    );
    running.until(is_loaded).await;
    assert_eq!(running.status("new.example.com", "/y").await, 200);

    // It is tried again when it changes, and from then on its last good version stays.
    write(
        folder.path(),
        &[("old", "/x"), ("bad", "/ab"), ("new", "/y")],
    );
    running.until(is_loaded).await;
    assert_eq!(running.status("bad.example.com", "/ab").await, 200);
    write(
        folder.path(),
        &[("old", "/z"), ("bad", REFUSED), ("new", "/y")],
    );
    running.until(|event| event["event"] == "refused").await;
    running.until(is_loaded).await;
    assert_eq!(running.status("old.example.com", "/z").await, 200);
    assert_eq!(running.status("bad.example.com", "/ab").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_nginx_refuses_is_set_aside_and_hurts_nobody_else() {
    one_object_is_refused_and_the_others_are_served(ProxyKind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_haproxy_refuses_is_set_aside_and_hurts_nobody_else() {
    one_object_is_refused_and_the_others_are_served(ProxyKind::Haproxy).await;
}
