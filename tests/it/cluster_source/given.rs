//! A namespace of an API server, for one test, and acts in it.

use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use vigie::api::route_health::RouteHealth;

use crate::cluster::{self, Cluster};

/// How long something may take that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Runs a test with a namespace of its own.
pub fn test(body: impl AsyncFnOnce(Given) + Send) {
    cluster::test(async move |cluster| body(Given::new(cluster)).await);
}

/// Runs one with an API server of its own.
pub fn own(body: impl AsyncFnOnce(Given) + Send) {
    cluster::own(async move |cluster| body(Given::new(cluster)).await);
}

pub struct Given {
    pub client: Client,
    pub namespace: String,
    pub cluster: Cluster,
}

pub async fn create<K>(api: &Api<K>, object: Value)
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let created = api.create(&PostParams::default(), &object).await;
    created.unwrap_or_else(|error| panic!("{}: {error}", object.name_any()));
}

impl Given {
    fn new(cluster: Cluster) -> Self {
        Self {
            client: cluster.client.clone(),
            namespace: cluster.namespace.clone(),
            cluster,
        }
    }

    /// Of somebody who may do everything.
    pub async fn config(&self) -> Config {
        self.cluster.control_plane().config().await
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create<K>(&self, object: Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
    {
        create(&self.api::<K>(), object).await;
    }

    pub async fn patch<K>(&self, api: &Api<K>, name: &str, patch: Value)
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = api.patch(name, &params, &patch).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn patch_status<K>(&self, name: &str, patch: Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = self.api();
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let patched = api.patch_status(name, &params, &patch).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let deleted = self.api::<K>().delete(name, &DeleteParams::default()).await;
        drop(deleted.unwrap_or_else(|error| panic!("{name}: {error}")));
    }

    /// A client of somebody who may only read these, everywhere or in the namespace.
    pub async fn user(&self, resources: &[&str], everywhere: bool) -> Client {
        self.grant(resources, everywhere).await;
        let mut config = self.config().await;
        config.auth_info.impersonate = Some(self.namespace.clone());
        Client::try_from(config).expect("a client")
    }

    /// Lets that somebody read these too.
    pub async fn grant(&self, resources: &[&str], everywhere: bool) {
        let name = format!("{}-{}", self.namespace, resources[0]);
        let user = json!([{
            "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": self.namespace,
        }]);
        let metadata = json!({"name": name});
        let rules = json!([{
            "apiGroups": ["", "networking.k8s.io", "discovery.k8s.io", "vigie.dev"],
            "resources": resources,
            "verbs": ["get", "list", "watch"],
        }]);
        let kind = if everywhere { "ClusterRole" } else { "Role" };
        let role = json!({"metadata": metadata, "rules": rules});
        let binding = json!({"metadata": metadata, "subjects": user, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name,
        }});
        if everywhere {
            create(&Api::<ClusterRole>::all(self.client.clone()), role).await;
            create(
                &Api::<ClusterRoleBinding>::all(self.client.clone()),
                binding,
            )
            .await;
        } else {
            self.create::<Role>(role).await;
            self.create::<RoleBinding>(binding).await;
        }
    }

    pub async fn undefine_route_healths(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let deleted = api.delete(&crd_name(), &DeleteParams::default()).await;
        if deleted.is_ok() {
            let gone = async {
                while !matches!(api.get_opt(&crd_name()).await, Ok(None)) {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, gone).await.expect("it goes");
        }
    }

    /// Ends when the API server serves it.
    pub async fn define_route_healths(&self, crd: &CustomResourceDefinition) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let apply = PatchParams::apply("test").force();
        let applied = api.patch(&crd_name(), &apply, &Patch::Apply(crd)).await;
        applied.unwrap_or_else(|error| panic!("{error}"));
        let healths: Api<DynamicObject> = self.route_healths();
        let served = async {
            while healths
                .list(&kube::api::ListParams::default())
                .await
                .is_err()
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, served).await.expect("it is served");
    }

    pub async fn create_route_health(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": "vigie.dev/v1alpha1",
            "kind": "RouteHealth",
            "metadata": {"name": name},
            "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let api = self.route_healths();
        let created = api.create(&PostParams::default(), &object).await;
        created.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    fn route_healths(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<RouteHealth>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

fn crd_name() -> String {
    "routehealths.vigie.dev".to_owned()
}

/// The same definition, which takes any specification.
pub fn loose(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        version.selectable_fields = None;
        let schema = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut());
        let properties = schema.and_then(|schema| schema.properties.as_mut());
        let anything = JSONSchemaProps {
            type_: Some("object".to_owned()),
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..JSONSchemaProps::default()
        };
        properties
            .expect("a schema")
            .insert("spec".to_owned(), anything);
    }
    crd
}
