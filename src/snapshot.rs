//! Frozen objects of one moment, and look-ups by reference.
//!
//! Holds the API's own types, pruned by the source. It must never know the model, a proxy or a
//! client. Maps are ordered, so that two equal snapshots are walked alike.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The label by which a slice belongs to a Service (EndpointSlice API; names of slices mean nothing).
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// All objects that one build reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub ingresses: BTreeMap<ObjectName, Arc<Ingress>>,
    pub classes: BTreeMap<String, Arc<IngressClass>>,
    pub services: BTreeMap<ObjectName, Arc<Service>>,
    /// By the Service that the label names; in each list by the slices' own names.
    pub slices: BTreeMap<ObjectName, BTreeMap<String, Arc<EndpointSlice>>>,
    pub secrets: BTreeMap<ObjectName, Arc<Secret>>,
}

impl Snapshot {
    pub fn add_ingress(&mut self, ingress: Ingress) {
        self.ingresses
            .insert(named(&ingress.metadata), Arc::new(ingress));
    }

    pub fn add_class(&mut self, class: IngressClass) {
        self.classes
            .insert(named(&class.metadata).name, Arc::new(class));
    }

    pub fn add_service(&mut self, service: Service) {
        self.services
            .insert(named(&service.metadata), Arc::new(service));
    }

    /// Keeps a slice under its Service; one without the label belongs to none and is dropped.
    pub fn add_slice(&mut self, slice: EndpointSlice) {
        let name = named(&slice.metadata);
        let label = slice
            .metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(SERVICE_NAME_LABEL));
        if let Some(service) = label {
            let service = ObjectName::new(name.namespace, service.clone());
            self.slices
                .entry(service)
                .or_default()
                .insert(name.name, Arc::new(slice));
        }
    }

    pub fn add_secret(&mut self, secret: Secret) {
        self.secrets
            .insert(named(&secret.metadata), Arc::new(secret));
    }

    /// The slices of a Service, by name.
    pub fn slices_of(&self, service: &ObjectName) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.slices
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// Names of the Services of a namespace.
    pub fn service_names(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.services
            .range(ObjectName::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(key, _)| key.name.as_str())
    }
}

/// An object without a namespace stands in `default`, as kubectl applies it; cluster-scoped kinds
/// ignore the namespace.
fn named(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> ObjectName {
    let namespace = meta
        .namespace
        .as_deref()
        .filter(|n| !n.is_empty())
        .unwrap_or("default");
    ObjectName::new(namespace, meta.name.clone().unwrap_or_default())
}
