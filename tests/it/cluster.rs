//! A real Kubernetes without nodes, for tests of what talks to one: etcd, an API server, and the
//! controllers that make EndpointSlices of Pods. There is one for all tests of this process, started by
//! the first that asks; each test has a Kubernetes namespace of its own in it.
//!
//! A test that stops the API server has all of it for its own (`own`).
//!
//! Which programs these are is the business of scripts/control-plane.sh. Backends and proxies of such
//! tests listen on addresses of 10.77.0.0/16, see `network`; what must have all ports for itself, as an
//! agent with its proxy, runs in a `Pod`.

mod account;
mod ask;
mod audit;
mod backend;
pub mod between;
mod control_plane;
mod keys;
mod network;
mod pod;
mod process;
mod store;
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, NamespaceResourceScope, Status, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use vigie::api::route_health::RouteHealth;

pub use account::Account;
pub use ask::{ask, until_answer, until_backend};
pub use audit::Asked;
pub use backend::Backend;
pub use control_plane::ControlPlane;
pub use pod::Pod;
pub use process::{Process, vigie};

static SHARED: OnceCell<Result<Arc<ControlPlane>, String>> = OnceCell::const_new();

const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at what is waited for.
const GLANCE: Duration = Duration::from_millis(20);

/// What a test sees of the cluster.
pub struct Cluster {
    /// May do everything.
    pub client: Client,
    /// Where the test's objects lie unless they say otherwise.
    pub namespace: String,
    control_plane: Arc<ControlPlane>,
}

/// Runs a test with a namespace of its own, in the network of the cluster.
pub fn test(body: impl AsyncFnOnce(Cluster) + Send) {
    run(async move || {
        let shared = SHARED.get_or_init(ControlPlane::shared).await;
        let shared = shared.as_ref().unwrap_or_else(|error| panic!("{error}"));
        body(Cluster::new(shared.clone()).await).await;
    });
}

/// Runs a test with a cluster of its own, whose API server it may stop.
pub fn own(body: impl AsyncFnOnce(Cluster) + Send) {
    run(async move || {
        let own = ControlPlane::own().await;
        let own = own.unwrap_or_else(|error| panic!("{error}"));
        body(Cluster::new(own).await).await;
    });
}

fn run(test: impl AsyncFnOnce() + Send) {
    network::inside(move || {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(test());
    });
}

impl Cluster {
    async fn new(control_plane: Arc<ControlPlane>) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("test-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let client = control_plane.client(&namespace).await;
        let mut made = Namespace::default();
        made.metadata.name = Some(namespace.clone());
        let all = Api::all(client.clone());
        all.create(&PostParams::default(), &made)
            .await
            .expect("a namespace");
        Self {
            client,
            namespace,
            control_plane,
        }
    }

    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The objects of a kind in the test's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Brings manifests in, by server-side apply, one after the other.
    pub async fn apply(&self, manifests: &str) -> Vec<DynamicObject> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("manifests");
        let mut applied = Vec::new();
        for document in documents {
            match self.try_apply(&document).await {
                Ok(object) => applied.push(object),
                Err(refusal) => panic!("{}\n{document:#}", refusal.message),
            }
        }
        applied
    }

    /// Brings one in, or says with which words it was refused.
    pub async fn try_apply(&self, manifest: &Value) -> Result<DynamicObject, Status> {
        let types: TypeMeta = serde_json::from_value(manifest.clone()).expect("a kind");
        let kind = GroupVersionKind::try_from(&types).expect("a version");
        let (resource, capabilities) = pinned_kind(&self.client, &kind).await.map_err(refusal)?;
        let metadata = &manifest["metadata"];
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = metadata["namespace"].as_str().unwrap_or(&self.namespace);
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
        };
        let name = metadata["name"].as_str().expect("a name");
        let by = PatchParams::apply("test").force();
        api.patch(name, &by, &Patch::Apply(manifest))
            .await
            .map_err(refusal)
    }

    /// Brings our definitions in, and waits until objects of them are taken.
    pub async fn define(&self) -> CustomResourceDefinition {
        self.apply(&vigie::api::route_health::crd_yaml().expect("it prints"))
            .await;
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let taken = |crd: &CustomResourceDefinition| {
            let status = crd.status.as_ref();
            let conditions = status.and_then(|status| status.conditions.as_ref());
            let mut all = conditions.into_iter().flatten();
            all.any(|condition| condition.type_ == "Established" && condition.status == "True")
        };
        let defined = until(&definitions, "routehealths.vigie.dev", "established", taken).await;
        self.until_served().await;
        defined
    }

    /// What is established is told by the one that establishes; those that serve it, and those that tell
    /// what is served, hear of it a moment later.
    async fn until_served(&self) {
        let kind = GroupVersionKind::gvk("vigie.dev", "v1alpha1", "RouteHealth");
        let objects = self.api::<RouteHealth>();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = pinned_kind(&self.client, &kind).await.map(drop);
            let listed = objects.list(&ListParams::default()).await.map(drop);
            match told.and(listed) {
                Ok(()) => return,
                Err(error) if Instant::now() > deadline => panic!("RouteHealth: {error}"),
                Err(_) => sleep(GLANCE).await,
            }
        }
    }
}

/// The words of the API server; there is nothing to learn from a connection that breaks.
fn refusal(error: kube::Error) -> Status {
    match error {
        kube::Error::Api(status) => *status,
        other => panic!("{other}"),
    }
}

/// Waits until an object is as it is wanted, and returns it; shows it where it never is.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = api.get_opt(name).await;
        match seen {
            Ok(Some(object)) if wanted(&object) => return object,
            seen if Instant::now() > deadline => panic!("{name} is not {what}: {seen:#?}"),
            _ => sleep(GLANCE).await,
        }
    }
}
