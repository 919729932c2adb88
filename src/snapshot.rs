//! Frozen objects of one moment, and look-ups by reference.
//!
//! Holds the API's own types, pruned by the source; of pods and of what makes them, which are many and
//! large, only what bears on requests ([`pods`], [`workloads`], [`containers`]). It must never know the
//! model, a proxy or a client. Maps are ordered, so that two equal snapshots are walked alike.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod containers;
pub mod pods;
pub mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::api::route_health::RouteHealth;

use pods::Pod;
use workloads::{Workload, WorkloadName};

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

/// All objects that one build reads. Maps and objects are shared with the snapshots that this one was
/// made from, so that one changed object costs one map.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub ingresses: Arc<BTreeMap<ObjectName, Arc<Ingress>>>,
    pub classes: Arc<BTreeMap<String, Arc<IngressClass>>>,
    pub services: Arc<BTreeMap<ObjectName, Arc<Service>>>,
    /// By the Service that the label names; in each list by the slices' own names.
    pub slices: Arc<BTreeMap<ObjectName, BTreeMap<String, Arc<EndpointSlice>>>>,
    pub secrets: Arc<BTreeMap<ObjectName, Arc<Secret>>>,
    pub route_healths: Arc<BTreeMap<ObjectName, Arc<RouteHealth>>>,
    pub pods: Arc<BTreeMap<ObjectName, Arc<Pod>>>,
    pub workloads: Arc<BTreeMap<WorkloadName, Arc<Workload>>>,
    pub evidence: Evidence,
}

/// What it means that a pod or a workload is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing: manifests may be a part of what is applied, and pods are seldom among them.
    #[default]
    Manifests,
    /// All that there are, are here.
    Cluster,
    /// They cannot be seen for want of rights.
    Hidden,
}

/// Looks into objects only where they are not shared: snapshots that follow each other are compared
/// often.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            ingresses,
            classes,
            services,
            slices,
            secrets,
            route_healths,
            pods,
            workloads,
            evidence,
        } = self;
        let same_slices = || {
            let all = slices.iter().zip(other.slices.iter());
            slices.len() == other.slices.len()
                && all
                    .clone()
                    .all(|((a, of_a), (b, of_b))| a == b && same_entries(of_a, of_b))
        };
        same(ingresses, &other.ingresses)
            && same(classes, &other.classes)
            && same(services, &other.services)
            && (Arc::ptr_eq(slices, &other.slices) || same_slices())
            && same(secrets, &other.secrets)
            && same(route_healths, &other.route_healths)
            && same(pods, &other.pods)
            && same(workloads, &other.workloads)
            && *evidence == other.evidence
    }
}

fn same<K: PartialEq, V: PartialEq>(
    a: &Arc<BTreeMap<K, Arc<V>>>,
    b: &Arc<BTreeMap<K, Arc<V>>>,
) -> bool {
    Arc::ptr_eq(a, b) || same_entries(a, b)
}

fn same_entries<K: PartialEq, V: PartialEq>(
    a: &BTreeMap<K, Arc<V>>,
    b: &BTreeMap<K, Arc<V>>,
) -> bool {
    let same = |a: &Arc<V>, b: &Arc<V>| Arc::ptr_eq(a, b) || a == b;
    let mut pairs = a.iter().zip(b);
    a.len() == b.len() && pairs.all(|((a, of_a), (b, of_b))| a == b && same(of_a, of_b))
}

/// An object of any kind that a snapshot holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Ingress(Arc<Ingress>),
    Class(Arc<IngressClass>),
    Service(Arc<Service>),
    Slice(Arc<EndpointSlice>),
    Secret(Arc<Secret>),
    RouteHealth(Arc<RouteHealth>),
    Pod(Arc<Pod>),
    Workload(Arc<Workload>),
}

impl Snapshot {
    pub fn add_ingress(&mut self, ingress: Ingress) {
        self.add(Object::Ingress(Arc::new(ingress)));
    }

    pub fn add_class(&mut self, class: IngressClass) {
        self.add(Object::Class(Arc::new(class)));
    }

    pub fn add_service(&mut self, service: Service) {
        self.add(Object::Service(Arc::new(service)));
    }

    pub fn add_slice(&mut self, slice: EndpointSlice) {
        self.add(Object::Slice(Arc::new(slice)));
    }

    pub fn add_secret(&mut self, secret: Secret) {
        self.add(Object::Secret(Arc::new(secret)));
    }

    /// Keeps an object by its name, a slice under its Service; a slice without the label belongs to
    /// none and is dropped.
    pub fn add(&mut self, object: Object) {
        match object {
            Object::Ingress(object) => {
                Arc::make_mut(&mut self.ingresses).insert(named(&object.metadata), object);
            }
            Object::Class(object) => {
                Arc::make_mut(&mut self.classes).insert(named(&object.metadata).name, object);
            }
            Object::Service(object) => {
                Arc::make_mut(&mut self.services).insert(named(&object.metadata), object);
            }
            Object::Slice(object) => {
                if let Some((service, name)) = seat(&object) {
                    let slices = Arc::make_mut(&mut self.slices);
                    slices.entry(service).or_default().insert(name, object);
                }
            }
            Object::Secret(object) => {
                Arc::make_mut(&mut self.secrets).insert(named(&object.metadata), object);
            }
            Object::RouteHealth(object) => {
                Arc::make_mut(&mut self.route_healths).insert(named(&object.metadata), object);
            }
            Object::Pod(object) => {
                Arc::make_mut(&mut self.pods).insert(object.name.clone(), object);
            }
            Object::Workload(object) => {
                Arc::make_mut(&mut self.workloads).insert(object.name.clone(), object);
            }
        }
    }

    /// Takes out what stands where this object would.
    pub fn remove(&mut self, object: &Object) {
        match object {
            Object::Ingress(object) => {
                Arc::make_mut(&mut self.ingresses).remove(&named(&object.metadata));
            }
            Object::Class(object) => {
                Arc::make_mut(&mut self.classes).remove(&named(&object.metadata).name);
            }
            Object::Service(object) => {
                Arc::make_mut(&mut self.services).remove(&named(&object.metadata));
            }
            Object::Slice(object) => self.remove_slice(object),
            Object::Secret(object) => {
                Arc::make_mut(&mut self.secrets).remove(&named(&object.metadata));
            }
            Object::RouteHealth(object) => {
                Arc::make_mut(&mut self.route_healths).remove(&named(&object.metadata));
            }
            Object::Pod(object) => {
                Arc::make_mut(&mut self.pods).remove(&object.name);
            }
            Object::Workload(object) => {
                Arc::make_mut(&mut self.workloads).remove(&object.name);
            }
        }
    }

    fn remove_slice(&mut self, slice: &EndpointSlice) {
        let Some((service, name)) = seat(slice) else {
            return;
        };
        let slices = Arc::make_mut(&mut self.slices);
        let Some(of_service) = slices.get_mut(&service) else {
            return;
        };
        of_service.remove(&name);
        if of_service.is_empty() {
            slices.remove(&service);
        }
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

/// The Service of a slice, by its label, and the slice's name.
fn seat(slice: &EndpointSlice) -> Option<(ObjectName, String)> {
    let ObjectName { namespace, name } = named(&slice.metadata);
    let labels = slice.metadata.labels.as_ref()?;
    let service = labels.get(SERVICE_NAME_LABEL)?;
    Some((ObjectName::new(namespace, service.clone()), name))
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
