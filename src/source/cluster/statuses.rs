//! What snapshots leave out, since nothing is built of it: the status of Ingresses and RouteHealths, for
//! whoever writes it and wants to compare before. A status that is written wakes no build by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use crate::api::route_health::RouteHealth;
use crate::model::diagnostics::Kind;
use crate::snapshot::ObjectName;

/// As the API server last told; shared with those that were handed over before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statuses {
    pub ingresses: Arc<BTreeMap<ObjectName, Arc<IngressSeen>>>,
    /// Whole objects, but for who manages which field.
    pub route_healths: Arc<BTreeMap<ObjectName, Arc<RouteHealth>>>,
    /// Every watch of RouteHealths has delivered its first list: one that is not here does not exist.
    pub route_healths_known: bool,
}

/// What an Ingress says beside what it asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressSeen {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub is_deleted: bool,
    pub addresses: Vec<IngressLoadBalancerIngress>,
    /// The managers of status.loadBalancer.
    pub managers: BTreeSet<String>,
}

/// What comes with an object beside what is kept of it in snapshots.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    Ingress(Arc<IngressSeen>),
    RouteHealth(Arc<RouteHealth>),
}

impl IngressSeen {
    pub fn of(ingress: &Ingress) -> Self {
        let metadata = &ingress.metadata;
        let status = ingress.status.as_ref();
        let balancer = status.and_then(|status| status.load_balancer.as_ref());
        let managed = metadata.managed_fields.as_deref().unwrap_or_default();
        let managers = managed.iter().filter(|entry| has_addresses(entry));
        Self {
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            is_deleted: metadata.deletion_timestamp.is_some(),
            addresses: balancer
                .and_then(|balancer| balancer.ingress.clone())
                .unwrap_or_default(),
            managers: managers.filter_map(|entry| entry.manager.clone()).collect(),
        }
    }
}

fn has_addresses(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref();
    let status = fields.and_then(|fields| fields.0.get("f:status"));
    status.is_some_and(|status| status.get("f:loadBalancer").is_some())
}

impl Statuses {
    /// Whether anything is another one by it.
    pub fn put(&mut self, name: &ObjectName, beside: Beside) -> bool {
        match beside {
            Beside::Ingress(seen) => put(&mut self.ingresses, name, seen),
            Beside::RouteHealth(health) => put(&mut self.route_healths, name, health),
        }
    }

    pub fn remove(&mut self, kind: Kind, name: &ObjectName) -> bool {
        match kind {
            Kind::Ingress => remove(&mut self.ingresses, name),
            Kind::RouteHealth => remove(&mut self.route_healths, name),
            _ => false,
        }
    }
}

fn put<T: PartialEq>(
    map: &mut Arc<BTreeMap<ObjectName, Arc<T>>>,
    name: &ObjectName,
    object: Arc<T>,
) -> bool {
    let differs = map.get(name) != Some(&object);
    if differs {
        Arc::make_mut(map).insert(name.clone(), object);
    }
    differs
}

fn remove<T>(map: &mut Arc<BTreeMap<ObjectName, Arc<T>>>, name: &ObjectName) -> bool {
    map.contains_key(name) && Arc::make_mut(map).remove(name).is_some()
}
