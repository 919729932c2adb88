//! The same beside a real API server: one controller with one proxy, each row in a namespace of its own,
//! all at once. There is no kubelet and nothing that makes pods: what they would say of pods is written
//! through the status. Slices are made by the controller that makes them everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vigie::api::route_health::{RouteHealth, RouteHealthStatus};
use vigie::model::diagnostics::{Kind, ObjectRef};

use super::row::{Row, Unusual};
use super::seen::{Telling, is_made, telling};
use super::{Told, ensure};
use crate::cluster::{Cluster, test};
use crate::operator::installation::Installation;

const PATIENCE: Duration = Duration::from_secs(90);
const GLANCE: Duration = Duration::from_millis(100);
/// So many rows are played beside each other.
const AT_ONCE: usize = 24;
const NODE: &str = "node-of-rows";
/// Of a pod that stays while it terminates.
const LONG: u32 = 600;

#[test]
fn every_row_is_told_beside_a_real_api_server_and_of_its_healthy_twin_nothing() {
    test(async |cluster| {
        let (rows, unusual) = (Row::all(), Unusual::all());
        cluster.define().await;
        let installation = Installation::new(&cluster).await;
        let controller = installation.controller(&cluster, "one", "");
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        controller.until_ready().await;
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": NODE}})).expect("a node");
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        drop(nodes.create(&PostParams::default(), &node).await);
        let stage = Stage {
            cluster: &cluster,
            class: &installation.class,
        };
        let rows = rows.iter().filter(|row| row.expected.cluster.is_none());
        let unusual = unusual
            .iter()
            .filter(|one| one.cluster.is_none() && !one.part);
        let rows = rows.map(Play::Row);
        let plays = rows.chain(unusual.map(Play::Unusual)).enumerate();
        let played = stream::iter(plays).map(|(number, play)| {
            let stage = &stage;
            async move {
                let words = stage.played(number, &play).await.err()?;
                Some(format!("{}: {words}", play.name()))
            }
        });
        let failed: Vec<Option<String>> = played.buffer_unordered(AT_ONCE).collect().await;
        let failed: Vec<String> = failed.into_iter().flatten().collect();
        let count = failed.len();
        assert!(
            failed.is_empty(),
            "{count} failed\n\n{}",
            failed.join("\n\n")
        );
        drop(proxy);
    });
}

enum Play<'r> {
    Row(&'r Row),
    Unusual(&'r Unusual),
}

impl Play<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Row(row) => &row.name,
            Self::Unusual(unusual) => &unusual.name,
        }
    }
}

/// Where all of them are played.
struct Stage<'c> {
    cluster: &'c Cluster,
    class: &'c str,
}

impl Stage<'_> {
    async fn played(&self, number: usize, play: &Play<'_>) -> Told {
        let namespace = format!("{}-row-{number}", self.cluster.namespace);
        let made = json!({"metadata": {"name": &namespace}});
        let made: Namespace = serde_json::from_value(made).expect("a namespace");
        let all: Api<Namespace> = Api::all(self.cluster.client.clone());
        let created = all.create(&PostParams::default(), &made).await;
        drop(created.expect("a namespace"));
        let mut site = Site {
            client: &self.cluster.client,
            class: self.class,
            namespace: namespace.clone(),
            uids: BTreeMap::new(),
        };
        match play {
            Play::Row(row) => {
                site.bring(&row.broken).await;
                if row.expected.code == "RH210" {
                    site.ask_for("shop").await;
                }
                let wanted = |told: &_| row.expected.is_told(told, &namespace);
                site.until("broken", wanted).await?;
                site.clear().await;
                site.bring(&row.healthy).await;
                let is_healthy = |status: &_| telling(status) == Telling::healthy();
                site.until_each("healthy", is_healthy).await?;
            }
            Play::Unusual(unusual) => {
                site.bring(&unusual.objects).await;
                let wanted = |status: &_| telling(status).is(&unusual.healthy);
                site.until_each(&unusual.healthy, wanted).await?;
            }
        }
        site.clear().await;
        drop(all.delete(&namespace, &DeleteParams::default()).await);
        Ok(())
    }
}

/// The objects of one row.
struct Site<'c> {
    client: &'c Client,
    class: &'c str,
    namespace: String,
    /// By kind and name.
    uids: BTreeMap<(String, String), String>,
}

impl Site<'_> {
    /// Brings a folder's objects in; routes come last, so that what is told first is told of all.
    async fn bring(&mut self, manifests: &str) {
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("manifests");
        objects.retain(|object| {
            let labels = object["metadata"]["labels"].clone();
            let labels: Option<BTreeMap<String, String>> = serde_json::from_value(labels).ok();
            object["kind"] != "EndpointSlice" || !is_made(labels.as_ref())
        });
        let rank = |object: &Value| match object["kind"].as_str() {
            Some("Ingress") => 2,
            Some("Pod") => 1,
            _ => 0,
        };
        objects.sort_by_key(rank);
        for mut object in objects {
            self.fit(&mut object);
            match object["kind"].as_str() {
                Some("Pod") => self.pod(object).await,
                _ => self.apply(&object).await,
            }
        }
    }

    /// As an API server takes it from a user.
    fn fit(&self, object: &mut Value) {
        let ours = |place: &mut Value| {
            if *place == "vigie" {
                *place = json!(self.class);
            }
        };
        if object["kind"] == "Ingress" {
            if let Some(place) = object.pointer_mut("/spec/ingressClassName") {
                ours(place);
            }
            if let Some(place) =
                object.pointer_mut("/metadata/annotations/kubernetes.io~1ingress.class")
            {
                ours(place);
            }
        }
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.remove("creationTimestamp");
    }

    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let types: TypeMeta = serde_json::from_value(object.clone()).expect("a kind");
        let kind = GroupVersionKind::try_from(&types).expect("a version");
        let resource = ApiResource::from_gvk(&kind);
        match kind.kind.as_str() {
            "IngressClass" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), &self.namespace, &resource),
        }
    }

    async fn apply(&mut self, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let by = PatchParams::apply("test").force();
        let deadline = Instant::now() + PATIENCE;
        let api = self.api(object);
        let applied = loop {
            match api.patch(name, &by, &Patch::Apply(object)).await {
                Ok(applied) => break applied,
                // The account that all pods have is made a moment after their namespace.
                Err(kube::Error::Api(refusal))
                    if refusal.message.contains("serviceaccount \"default\"")
                        && Instant::now() < deadline => {}
                Err(error) => panic!("{error}\n{object:#}"),
            }
            sleep(GLANCE).await;
        };
        let key = (
            object["kind"].as_str().expect("a kind").to_owned(),
            name.to_owned(),
        );
        self.uids.insert(key, applied.uid().expect("it has one"));
    }

    /// A pod, and then what a kubelet would say of it.
    async fn pod(&mut self, mut pod: Value) {
        let status = pod["status"].take();
        let metadata = pod["metadata"].as_object_mut().expect("metadata");
        metadata.remove("status");
        let goes = metadata.remove("deletionTimestamp").is_some();
        let owner = metadata
            .get("ownerReferences")
            .map(|owners| owners[0].clone());
        if let Some(owner) = owner {
            let uid = self.owner(&owner).await;
            pod["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
        }
        let conditions = status["conditions"].as_array();
        let is_placed = conditions
            .into_iter()
            .flatten()
            .all(|condition| condition["type"] != "PodScheduled" || condition["status"] == "True");
        if is_placed {
            pod["spec"]["nodeName"] = json!(NODE);
        }
        pod["spec"]["automountServiceAccountToken"] = json!(false);
        pod.as_object_mut().expect("an object").remove("status");
        self.apply(&pod).await;
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"status": status}));
        let patched = pods
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
        drop(patched.unwrap_or_else(|error| panic!("{name}: {error}")));
        if goes {
            let slowly = DeleteParams::default().grace_period(LONG);
            drop(pods.delete(name, &slowly).await.expect("it begins to go"));
        }
    }

    /// The UID of what owns a pod; what no folder shows, as ReplicaSets, is made. What nobody has would
    /// have its pods collected.
    async fn owner(&mut self, owner: &Value) -> String {
        let text = |key: &str| owner[key].as_str().expect("a text").to_owned();
        let key = (text("kind"), text("name"));
        if !self.uids.contains_key(&key) {
            let labels = json!({"made-for": "its-uid"});
            let template = json!({
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "none", "image": "none"}]},
            });
            let mut made = json!({
                "apiVersion": owner["apiVersion"], "kind": owner["kind"],
                "metadata": {"name": owner["name"]}, "spec": {"template": template},
            });
            if key.0 == "ReplicaSet" {
                made["spec"]["replicas"] = json!(0);
                made["spec"]["selector"] = json!({"matchLabels": labels});
                made["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
            }
            self.apply(&made).await;
        }
        self.uids[&key].clone()
    }

    /// A RouteHealth of a user: of an Ingress that nobody can claim one is made after a while only.
    async fn ask_for(&mut self, ingress: &str) {
        self.apply(&json!({
            "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
            "metadata": {"name": ingress}, "spec": {"targetRef": {"name": ingress}},
        }))
        .await;
    }

    /// Takes pods away at once, as they cannot be changed.
    async fn clear(&mut self) {
        let now = DeleteParams::default().grace_period(0);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        for pod in pods.list(&ListParams::default()).await.expect("a list") {
            drop(pods.delete(&pod.name_any(), &now).await);
        }
    }

    async fn told(&self) -> BTreeMap<ObjectRef, RouteHealthStatus> {
        let healths: Api<RouteHealth> = Api::namespaced(self.client.clone(), &self.namespace);
        let listed = healths.list(&ListParams::default()).await.expect("a list");
        let with_status = listed.into_iter().filter_map(|health| {
            let name = ObjectRef::new(Kind::RouteHealth, &self.namespace, &health.name_any());
            Some((name, health.status?))
        });
        with_status.collect()
    }

    async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&BTreeMap<ObjectRef, RouteHealthStatus>) -> Told,
    ) -> Told {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match wanted(&self.told().await) {
                Ok(()) => return Ok(()),
                Err(words) if Instant::now() > deadline => {
                    return Err(format!("never {what}: {words}"));
                }
                Err(_) => sleep(GLANCE).await,
            }
        }
    }

    /// There are some, and all are so.
    async fn until_each(&self, what: &str, wanted: impl Fn(&RouteHealthStatus) -> bool) -> Told {
        let all = |told: &BTreeMap<_, RouteHealthStatus>| {
            let tellings: Vec<Telling> = told.values().map(telling).collect();
            ensure(
                !told.is_empty() && told.values().all(&wanted),
                "told",
                &tellings,
            )
        };
        self.until(what, all).await
    }
}
