use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::snapshot::Snapshot;
use crate::translate::{Classes, Memory, Options, translate};

/// One Ingress with one rule for each path, whose backends are the Service of the path's name.
fn ingress(name: &str, class: &str, paths: &[&str]) -> Value {
    let path = |path: &&str| {
        json!({"path": path, "pathType": "Prefix",
            "backend": {"service": {"name": path.trim_start_matches('/'), "port": {"number": 80}}}})
    };
    json!({
        "metadata": {"namespace": "default", "name": name},
        "spec": {"ingressClassName": class, "rules": [{
            "host": format!("{name}.example.com"),
            "http": {"paths": paths.iter().map(path).collect::<Vec<_>>()},
        }]},
    })
}

/// `type status reason: message` of an Ingress, beside a Service `api` with port 80.
fn told(ingress: Value) -> Vec<String> {
    let name = ingress["metadata"]["name"].as_str().unwrap().to_owned();
    let mut snapshot = Snapshot::default();
    snapshot.add_ingress(serde_json::from_value(ingress).unwrap());
    let service = json!({"metadata": {"namespace": "default", "name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [{"port": 80}]}});
    snapshot.add_service(serde_json::from_value(service).unwrap());
    let options = Options {
        classes: Classes {
            name: "vigie".into(),
            controllers: Vec::new(),
            semantics: None,
            without_class: false,
        },
        default_backend: None,
        default_certificate_secret: None,
        default_certificate: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        today: date(2026, 11, 24),
        memory: Memory::default(),
    };
    let translation = translate(&snapshot, &options);
    let all = conditions(&translation.model, &translation.diagnostics);
    let of = &all[&ObjectRef::new(Kind::Ingress, "default", &name)];
    let line = |c: &Condition| format!("{:?} {:?} {}: {}", c.kind, c.status, c.reason, c.message);
    of.iter().map(line).collect()
}

#[test]
fn what_works_says_how_much_there_is() {
    assert_eq!(
        told(ingress("shop", "vigie", &["/api"])),
        [
            "Accepted True Accepted: 1 route of Ingress default/shop.",
            "ResolvedRefs True ResolvedRefs: 1 Service port.",
        ]
    );
}

#[test]
fn a_missing_service_breaks_the_references_and_not_the_acceptance() {
    let told = told(ingress("shop", "vigie", &["/api", "/pai"]));
    assert_eq!(
        told[0],
        "Accepted True Accepted: 2 routes of Ingress default/shop."
    );
    assert!(
        told[1].starts_with("ResolvedRefs False ServiceNotFound: ") && told[1].contains("pai"),
        "{}",
        told[1]
    );
}

#[test]
fn a_path_that_cannot_be_read_breaks_the_acceptance() {
    let told = told(ingress("shop", "vigie", &["/api", "/a//b"]));
    assert!(
        told[0].starts_with("Accepted False Invalid: "),
        "{}",
        told[0]
    );
}

#[test]
fn an_ingress_of_no_class_of_ours_is_not_accepted() {
    let told = told(ingress("shop", "traefik", &["/api"]));
    assert!(
        told[0].starts_with("Accepted False IngressClassNotFound: "),
        "{}",
        told[0]
    );
    assert_eq!(told[1], "ResolvedRefs True ResolvedRefs: 0 Service ports.");
}
