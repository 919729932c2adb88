//! What is kept of an object: all that some room reads, and nothing that changes without a meaning.
//! Most of an object's bytes are neither, and what differs in nothing else wakes nobody.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;

use crate::api::route_health::RouteHealth;
use crate::snapshot::workloads::Workload;
use crate::snapshot::{Object, ObjectName, pods};

use super::statuses::{Beside, IngressSeen};

/// Annotations that others write for their own use, and write often.
const NOISE: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
];

/// An object as it came from the API, pruned, or why it cannot be read.
#[derive(Clone, Debug)]
pub struct Read {
    pub name: ObjectName,
    pub object: Result<Object, String>,
    pub beside: Option<Beside>,
}

/// A kind that is watched.
pub trait Watched {
    fn kept(self) -> Read;
}

impl Watched for Ingress {
    fn kept(mut self) -> Read {
        let seen = IngressSeen::of(&self);
        self.status = None;
        let name = prune(&mut self.metadata);
        Read {
            beside: Some(Beside::Ingress(Arc::new(seen))),
            ..Read::of(name, Object::Ingress(Arc::new(self)))
        }
    }
}

impl Watched for IngressClass {
    fn kept(mut self) -> Read {
        let name = prune(&mut self.metadata);
        Read::of(name, Object::Class(Arc::new(self)))
    }
}

impl Watched for Service {
    fn kept(mut self) -> Read {
        if let Some(status) = &mut self.status {
            status.conditions = None;
        }
        let name = prune(&mut self.metadata);
        Read::of(name, Object::Service(Arc::new(self)))
    }
}

impl Watched for EndpointSlice {
    fn kept(mut self) -> Read {
        for endpoint in &mut self.endpoints {
            endpoint.deprecated_topology = None;
            endpoint.hints = None;
            endpoint.zone = None;
            if let Some(target) = &mut endpoint.target_ref {
                target.resource_version = None;
            }
        }
        let name = prune(&mut self.metadata);
        Read::of(name, Object::Slice(Arc::new(self)))
    }
}

impl Watched for Secret {
    fn kept(mut self) -> Read {
        let name = prune(&mut self.metadata);
        Read::of(name, Object::Secret(Arc::new(self)))
    }
}

impl Watched for Pod {
    fn kept(self) -> Read {
        let pod = pods::Pod::of(&self);
        Read::of(name_of(&self.metadata), Object::Pod(Arc::new(pod)))
    }
}

impl Watched for Deployment {
    fn kept(self) -> Read {
        workload(name_of(&self.metadata), (&self).into())
    }
}

impl Watched for StatefulSet {
    fn kept(self) -> Read {
        workload(name_of(&self.metadata), (&self).into())
    }
}

impl Watched for DaemonSet {
    fn kept(self) -> Read {
        workload(name_of(&self.metadata), (&self).into())
    }
}

fn workload(name: ObjectName, workload: Workload) -> Read {
    Read::of(name, Object::Workload(Arc::new(workload)))
}

/// A list of typed objects fails as a whole where one cannot be decoded; of a kind whose definition
/// may be older or newer than we are, each is decoded by itself.
impl Watched for DeserializeGuard<RouteHealth> {
    fn kept(self) -> Read {
        match self.0 {
            Ok(mut object) => {
                object.metadata.managed_fields = None;
                let whole = object.clone();
                object.status = None;
                let name = prune(&mut object.metadata);
                Read {
                    beside: Some(Beside::RouteHealth(Arc::new(whole))),
                    ..Read::of(name, Object::RouteHealth(Arc::new(object)))
                }
            }
            Err(invalid) => Read {
                name: name_of(&invalid.metadata),
                object: Err(invalid.error),
                beside: None,
            },
        }
    }
}

impl Read {
    fn of(name: ObjectName, object: Object) -> Self {
        Self {
            name,
            object: Ok(object),
            beside: None,
        }
    }
}

/// The namespace is empty for what has none.
pub fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

fn prune(metadata: &mut ObjectMeta) -> ObjectName {
    metadata.managed_fields = None;
    metadata.resource_version = None;
    metadata.self_link = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| !NOISE.contains(&name.as_str()));
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
    name_of(metadata)
}
