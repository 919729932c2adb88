//! Limits, and what no folder of rows shows well: names that are near, odd objects, and equal output.

mod bounds;
mod near;

use std::sync::Arc;

use jiff::civil::date;
use serde_json::{Value, json};

use super::{Findings, diagnose};
use crate::model::diagnostics::{Code, Diagnostic};
use crate::snapshot::pods::Pod;
use crate::snapshot::workloads::Workload;
use crate::snapshot::{Evidence, Object, Snapshot};
use crate::translate::{Options, tallies, translate};

/// Objects of one namespace.
#[derive(Default)]
struct Given {
    snapshot: Snapshot,
}

impl Given {
    fn in_cluster() -> Self {
        let mut given = Self::default();
        given.snapshot.evidence = Evidence::Cluster;
        given
    }

    /// A Service with these labels as its selector, to port 8080, and an Ingress that leads to it.
    fn service(&mut self, name: &str, selector: Value) -> &mut Self {
        let spec = json!({"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]});
        self.service_of(name, spec)
    }

    fn service_of(&mut self, name: &str, spec: Value) -> &mut Self {
        let service = json!({"metadata": {"namespace": "default", "name": name}, "spec": spec});
        let service = serde_json::from_value(service).expect("a Service");
        self.snapshot.add_service(service);
        let ingress = json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"ingressClassName": "vigie", "rules": [{
                "host": format!("h{}.example.com", self.snapshot.ingresses.len()),
                "http": {"paths": [{"path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": name, "port": {"number": 80}}}}]},
            }]},
        });
        let ingress = serde_json::from_value(ingress).expect("an Ingress");
        self.snapshot.add_ingress(ingress);
        self
    }

    fn pod(&mut self, pod: Value) -> &mut Self {
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod).expect("a Pod");
        self.snapshot.add(Object::Pod(Arc::new(Pod::of(&pod))));
        self
    }

    fn deployment(&mut self, name: &str, labels: Value, replicas: i32) -> &mut Self {
        let deployment = json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"replicas": replicas, "selector": {}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [container()]}}},
        });
        let made: k8s_openapi::api::apps::v1::Deployment =
            serde_json::from_value(deployment).expect("a Deployment");
        let made = Workload::from(&made);
        self.snapshot.add(Object::Workload(Arc::new(made)));
        self
    }

    fn findings(&self) -> Findings {
        let options = Options::of_class("vigie", date(2026, 11, 24));
        let model = translate(&self.snapshot, &options).model;
        diagnose(&self.snapshot, &model, &tallies(&self.snapshot, &model))
    }

    fn all(&self) -> Vec<Diagnostic> {
        self.findings().into_values().flatten().collect()
    }

    fn found(&self, code: Code) -> Option<Diagnostic> {
        self.all().into_iter().find(|found| found.code == code)
    }

    fn errors(&self) -> Vec<Diagnostic> {
        let all = self.all().into_iter();
        all.filter(Diagnostic::is_error).collect()
    }
}

fn container() -> Value {
    json!({"name": "api", "image": "api:1", "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}}})
}

/// A pod with these labels that runs; what of its status differs is given.
fn pod(name: &str, labels: Value, status: Value) -> Value {
    json!({"metadata": {"namespace": "default", "name": name, "labels": labels},
        "spec": {"containers": [container()]}, "status": status})
}

fn ready() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}

/// Of one container, not ready; `state`, `lastState` and the like are given.
fn unready(container: Value) -> Value {
    let mut of =
        json!({"name": "api", "image": "", "imageID": "", "ready": false, "restartCount": 0});
    let more = container.as_object().expect("an object").clone();
    of.as_object_mut().expect("an object").extend(more);
    json!({"phase": "Running", "containerStatuses": [of],
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-20T08:00:00Z"}]})
}
