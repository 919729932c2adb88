//! `vigie controller` and `vigie agent` with a real API server and real proxies, as a user sees them:
//! each with the rights that ship with it, the agents in pods.
//!
//! Each test has a namespace, an installation and a class of its own; what it does is not seen by the
//! others, though all of them watch the whole cluster.

mod acme;
mod anchor;
mod apart;
mod aside;
mod certificates;
mod changes;
mod hostile;
pub mod installation;
mod killed;
mod neighbours;
mod outage;
mod refused;
mod replicas;
mod restored;
mod scope;
mod shop;
mod slow;
mod told;
mod unreadable;
mod watched;

use serde_json::{Value, json};

use crate::change::load::{Load, Log};
use crate::cluster::{Cluster, Pod, until_backend};
use installation::{Controller, Installation, Proxy};

/// A host as most tests have one; load is only put on hosts whose names are known at compile time.
const HOST: &str = "shop.example";

/// An Ingress that leads a host's root to a Service.
fn ingress(name: &str, class: &str, host: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"ingressClassName": class, "rules": [{
            "host": host,
            "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}},
            }]},
        }]},
    })
}

async fn apply(cluster: &Cluster, manifest: &Value) {
    let applied = cluster.try_apply(manifest).await;
    drop(applied.unwrap_or_else(|refusal| panic!("{}\n{manifest:#}", refusal.message)));
}

/// Both proxies, on the way to one backend of that name.
async fn until_both(proxies: &[Proxy], host: &str, backend: &str) {
    for proxy in proxies {
        proxy.until_backend(host, backend).await;
    }
}

fn load(proxies: &[Proxy]) -> Vec<Load> {
    let on = |proxy: &Proxy| load_on(&proxy.pod);
    proxies.iter().map(on).collect()
}

/// Asks what serves in a pod all the time.
fn load_on(pod: &Pod) -> Load {
    let address = pod.address;
    Load::begin(HOST, (address, 8080).into(), (address, 8443).into())
}

/// Every request was answered by a backend, and there were some.
async fn nothing_is_lost(loads: Vec<Load>) {
    for load in loads {
        load.until_answered(51).await;
        let Log { answered, failed } = load.end().await;
        assert!(
            failed.is_empty(),
            "of {answered}:\n{}",
            failed[..failed.len().min(20)].join("\n")
        );
        assert!(answered > 50, "only {answered} requests");
    }
}

/// An installation that serves one host by one backend, on both proxies.
async fn served(cluster: &Cluster, backend: &str) -> (Installation, Controller, Vec<Proxy>) {
    let installation = Installation::new(cluster).await;
    let (controller, proxies) = served_by(cluster, &installation, backend).await;
    (installation, controller, proxies)
}

/// The same for an installation that is there.
async fn served_by(
    cluster: &Cluster,
    installation: &Installation,
    backend: &str,
) -> (Controller, Vec<Proxy>) {
    let controller = installation.controller(cluster, "one", "");
    let mut proxies = Vec::new();
    for kind in ["nginx", "haproxy"] {
        proxies.push(installation.proxy(cluster, kind, kind).await);
    }
    apply(cluster, &ingress("shop", &installation.class, HOST, "shop")).await;
    controller.until_ready().await;
    until_both(&proxies, HOST, backend).await;
    let current = "vigie_proxies_current";
    controller
        .until_metric(current, "2", |count| count == 2.0)
        .await;
    (controller, proxies)
}

impl Proxy {
    async fn until_backend(&self, host: &str, backend: &str) {
        let url = format!("http://{host}/");
        until_backend(self.pod.address.into(), &url, backend).await;
    }

    async fn until_status(&self, url: &str, status: u16) {
        let what = status.to_string();
        let is_so = |answer: &crate::support::client::Response| answer.status == status;
        crate::cluster::until_answer(self.pod.address.into(), url, &what, is_so).await;
    }
}
