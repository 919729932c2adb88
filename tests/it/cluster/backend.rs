//! What stands behind the proxies: backends that say who they are, and the Services that lead to them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::pod::set_ready;
use super::{Cluster, GLANCE, PATIENCE};
use crate::support::echo::{Echo, Identity, Listen, Mode, Report};

const PORT: u16 = 8080;

/// A backend on an address of its own, which answers with its name, and the Pod object of it.
pub struct Backend {
    pub name: String,
    pub address: SocketAddr,
    pods: Api<Pod>,
    echo: Echo,
}

impl Backend {
    /// What it was asked for.
    pub fn seen(&self) -> Vec<Report> {
        self.echo.seen()
    }

    pub async fn set_ready(&self, ready: bool) {
        set_ready(&self.pods, &self.name, address_of(&self.address), ready).await;
    }

    /// Deletes its pod, which is gone at once. The backend itself answers until it is dropped.
    pub async fn delete(&self) {
        self.delete_within(0).await;
    }

    /// Deletes its pod, which has so long a time that it stays terminating, and drains.
    pub async fn drain(&self) {
        self.delete_within(600).await;
    }

    async fn delete_within(&self, seconds: u32) {
        let how = DeleteParams::default().grace_period(seconds);
        let deleted = self.pods.delete(&self.name, &how).await;
        drop(deleted.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
    }
}

fn address_of(address: &SocketAddr) -> Ipv4Addr {
    match address {
        SocketAddr::V4(address) => *address.ip(),
        SocketAddr::V6(_) => panic!("{address} is not of our network"),
    }
}

impl Cluster {
    /// Starts a backend, and makes a Pod object with these labels that is ready and has its address.
    pub async fn backend(&self, name: &str, labels: &[(&str, &str)]) -> Backend {
        static MADE: AtomicU16 = AtomicU16::new(0);
        let [high, low] = MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Tests that choose addresses themselves take lower ones.
        let address = Ipv4Addr::new(10, 77, high + 128, low);
        let listen = Listen {
            address: (address, PORT).into(),
            mode: Mode::Http,
        };
        let identity = Identity::self_signed().expect("a certificate");
        let echo = Echo::start(name, &[listen], &identity).expect("the address is free");
        self.place(name, labels, address).await;
        Backend {
            name: name.to_owned(),
            address: listen.address,
            pods: self.api(),
            echo,
        }
    }

    /// Makes a Service, with port 80 named http, whose slices come of the pods with these labels.
    pub async fn service(&self, name: &str, selector: &[(&str, &str)]) {
        assert!(
            self.control_plane().has_controllers(),
            "nothing makes slices of pods: kube-controller-manager must be beside kube-apiserver"
        );
        let selector: Value = selector
            .iter()
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect();
        self.create_service(name, Some(selector)).await;
    }

    /// Makes a Service whose one slice is written by hand, and stays as it is.
    pub async fn service_of(&self, name: &str, backends: &[&Backend]) {
        self.create_service(name, None).await;
        let endpoint = |backend: &&Backend| json!({"addresses": [backend.address.ip()]});
        let endpoints: Vec<Value> = backends.iter().map(endpoint).collect();
        let slice = json!({
            "metadata": {
                "name": format!("{name}-1"),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": PORT}],
            "endpoints": endpoints,
        });
        let slice: EndpointSlice = serde_json::from_value(slice).expect("a slice");
        let created = self.api().create(&PostParams::default(), &slice).await;
        drop(created.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    async fn create_service(&self, name: &str, selector: Option<Value>) {
        let service = json!({
            "metadata": {"name": name},
            "spec": {
                "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
                "selector": selector,
            },
        });
        let service: Service = serde_json::from_value(service).expect("a service");
        let created = self.api().create(&PostParams::default(), &service).await;
        drop(created.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    /// Waits until the slices of a Service hold just these as ready.
    pub async fn until_sliced(&self, service: &str, backends: &[&Backend]) {
        let mut wanted: Vec<String> = backends
            .iter()
            .map(|b| b.address.ip().to_string())
            .collect();
        wanted.sort();
        let slices: Api<EndpointSlice> = self.api();
        let of_service =
            ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = slices.list(&of_service).await;
            let listed = listed.unwrap_or_else(|error| panic!("{error}"));
            let endpoints = listed.items.into_iter().flat_map(|slice| slice.endpoints);
            let ready = |conditions: Option<bool>| conditions.unwrap_or(true);
            let mut found: Vec<String> = endpoints
                .filter(|one| ready(one.conditions.as_ref().and_then(|all| all.ready)))
                .flat_map(|endpoint| endpoint.addresses)
                .collect();
            found.sort();
            if found == wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{service}: {found:?}, not {wanted:?}"
            );
            sleep(GLANCE).await;
        }
    }
}
