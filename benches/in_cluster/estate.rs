//! The objects of a cluster of some size, and changes to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::support::echo::{Echo, Identity, Listen, Mode};

/// Requests at the same time while the estate grows.
const AT_ONCE: usize = 32;
const TLS_EVERY: usize = 10;
/// All endpoints lie on these: each backend answers with its own address.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 200, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 200, 2);
const PORT: u16 = 8080;

pub struct Estate {
    client: Client,
    namespace: String,
    size: usize,
    /// Numbers of routes that come beyond the size.
    next: usize,
    pem: Arc<(String, String)>,
    _backends: Vec<Echo>,
}

pub fn host(number: usize) -> String {
    format!("h{number}.bench.example")
}

pub fn address(second: bool) -> IpAddr {
    if second { SECOND.into() } else { FIRST.into() }
}

impl Estate {
    pub async fn new(cluster: &Cluster) -> Self {
        let mut backends = Vec::new();
        for address in [FIRST, SECOND] {
            let listen = Listen {
                address: SocketAddr::from((address, PORT)),
                mode: Mode::Http,
            };
            let identity = Identity::self_signed().expect("a certificate");
            let echo = Echo::start(&address.to_string(), &[listen], &identity);
            backends.push(echo.expect("a backend"));
        }
        let class: IngressClass = object(json!({
            "metadata": {"name": "vigie"}, "spec": {"controller": "vigie.dev/ingress-controller"},
        }));
        let classes: Api<IngressClass> = Api::all(cluster.client.clone());
        classes
            .create(&PostParams::default(), &class)
            .await
            .expect("a class");
        let made = rcgen::generate_simple_self_signed(["bench.example".to_owned()]);
        let made = made.expect("a certificate");
        Self {
            client: cluster.client.clone(),
            namespace: cluster.namespace.clone(),
            size: 0,
            next: 100_000,
            pem: Arc::new((made.cert.pem(), made.signing_key.serialize_pem())),
            _backends: backends,
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Brings in what is missing up to a size.
    pub async fn grow(&mut self, size: usize) {
        let numbers = self.size..size;
        self.size = size;
        let this = &*self;
        let made = stream::iter(numbers).map(|number| async move {
            this.behind(number).await;
            this.ingress(number).await;
        });
        made.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// Takes out what came beyond the size.
    pub async fn shrink(&mut self) {
        let numbers: Vec<usize> = (100_000..self.next).collect();
        self.next = 100_000;
        for number in numbers {
            let how = DeleteParams::default();
            let name = name(number);
            // What a round has taken out already is gone.
            let _ = self.api::<Ingress>().delete(&name, &how).await;
            let _ = self.api::<Service>().delete(&name, &how).await;
            let _ = self.api::<EndpointSlice>().delete(&name, &how).await;
            let _ = self.api::<Secret>().delete(&name, &how).await;
        }
    }

    /// Routes to ask for: the first, the last, and some in between.
    pub fn sample(&self, count: usize) -> Vec<usize> {
        let step = (self.size / count).max(1);
        let mut sample: Vec<usize> = (0..self.size).step_by(step).collect();
        sample.push(self.size - 1);
        sample
    }

    /// A number that no route has yet, with its Service and endpoints in place.
    pub async fn prepare(&mut self) -> usize {
        let number = self.next;
        self.next += 1;
        self.behind(number).await;
        number
    }

    /// Service, endpoints and Secret of a route.
    async fn behind(&self, number: usize) {
        let by = PostParams::default();
        let name = name(number);
        let service: Service = object(json!({
            "metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
        }));
        self.api().create(&by, &service).await.expect("a Service");
        let slice: EndpointSlice = object(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": PORT}],
            "endpoints": endpoints(&[FIRST, SECOND]),
        }));
        self.api().create(&by, &slice).await.expect("a slice");
        if number.is_multiple_of(TLS_EVERY) {
            let mut secret: Secret = object(json!({
                "metadata": {"name": name}, "type": "kubernetes.io/tls",
            }));
            let (chain, key) = &*self.pem;
            let bytes = |text: &String| ByteString(text.as_bytes().to_vec());
            let pair = [("tls.crt", bytes(chain)), ("tls.key", bytes(key))];
            secret.data = Some(pair.map(|(key, bytes)| (key.to_owned(), bytes)).into());
            self.api().create(&by, &secret).await.expect("a Secret");
        }
    }

    pub async fn ingress(&self, number: usize) {
        let name = name(number);
        let mut spec = json!({
            "ingressClassName": "vigie",
            "rules": [{"host": host(number), "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": name, "port": {"number": 80}}},
            }]}}],
        });
        if number.is_multiple_of(TLS_EVERY) {
            spec["tls"] = json!([{"hosts": [host(number)], "secretName": name}]);
        }
        let ingress: Ingress = object(json!({"metadata": {"name": name}, "spec": spec}));
        let by = PostParams::default();
        self.api().create(&by, &ingress).await.expect("an Ingress");
    }

    /// From now on one of the two endpoints is all that a route has.
    pub async fn only(&self, number: usize, second: bool) {
        let left = if second { SECOND } else { FIRST };
        let patch = json!({"endpoints": endpoints(&[left])});
        let slices = self.api::<EndpointSlice>();
        let (name, by) = (name(number), PatchParams::default());
        let patched = slices.patch(&name, &by, &Patch::Merge(&patch)).await;
        patched.expect("a slice");
    }
}

fn name(number: usize) -> String {
    format!("bench-{number}")
}

fn endpoints(addresses: &[Ipv4Addr]) -> Value {
    let endpoint =
        |address: &Ipv4Addr| json!({"addresses": [address], "conditions": {"ready": true}});
    addresses.iter().map(endpoint).collect()
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object")
}
