//! What makes pods: how many are wanted, and what they would be.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::containers::{Labels, Shape};
use super::pods::{Owner, owner};
use super::{ObjectName, named};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    ReplicationController,
    Job,
    CronJob,
}

/// Of a kind, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    pub kind: WorkloadKind,
    pub name: ObjectName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub name: WorkloadName,
    pub owner: Option<Owner>,
    /// None where it is not said by a number, as of a DaemonSet.
    pub replicas: Option<i32>,
    /// Of the pods that it makes.
    pub labels: Labels,
    pub shape: Arc<Shape>,
}

impl WorkloadKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// Where the spec of its pods stands.
    pub fn pod_spec(self) -> &'static str {
        match self {
            Self::CronJob => "spec.jobTemplate.spec.template.spec",
            _ => "spec.template.spec",
        }
    }

    /// Whether its pods are there to end.
    pub fn ends(self) -> bool {
        matches!(self, Self::Job | Self::CronJob)
    }
}

impl Workload {
    fn new(
        kind: WorkloadKind,
        metadata: &ObjectMeta,
        replicas: Option<i32>,
        template: Option<&PodTemplateSpec>,
    ) -> Self {
        let of_pods = template.and_then(|template| template.metadata.as_ref());
        let spec = template.and_then(|template| template.spec.as_ref());
        Self {
            name: WorkloadName {
                kind,
                name: named(metadata),
            },
            owner: owner(metadata),
            replicas,
            labels: of_pods.and_then(|of| of.labels.clone()).unwrap_or_default(),
            shape: Arc::new(spec.map(Shape::of).unwrap_or_default()),
        }
    }
}

impl From<&Deployment> for Workload {
    fn from(object: &Deployment) -> Self {
        let spec = object.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let template = spec.map(|spec| &spec.template);
        let kind = WorkloadKind::Deployment;
        Self::new(kind, &object.metadata, Some(replicas), template)
    }
}

impl From<&StatefulSet> for Workload {
    fn from(object: &StatefulSet) -> Self {
        let spec = object.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let template = spec.map(|spec| &spec.template);
        let kind = WorkloadKind::StatefulSet;
        Self::new(kind, &object.metadata, Some(replicas), template)
    }
}

impl From<&DaemonSet> for Workload {
    fn from(object: &DaemonSet) -> Self {
        let template = object.spec.as_ref().map(|spec| &spec.template);
        Self::new(WorkloadKind::DaemonSet, &object.metadata, None, template)
    }
}

impl From<&ReplicaSet> for Workload {
    fn from(object: &ReplicaSet) -> Self {
        let spec = object.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let template = spec.and_then(|spec| spec.template.as_ref());
        let kind = WorkloadKind::ReplicaSet;
        Self::new(kind, &object.metadata, Some(replicas), template)
    }
}

impl From<&ReplicationController> for Workload {
    fn from(object: &ReplicationController) -> Self {
        let spec = object.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let template = spec.and_then(|spec| spec.template.as_ref());
        let kind = WorkloadKind::ReplicationController;
        Self::new(kind, &object.metadata, Some(replicas), template)
    }
}

impl From<&Job> for Workload {
    fn from(object: &Job) -> Self {
        let template = object.spec.as_ref().map(|spec| &spec.template);
        Self::new(WorkloadKind::Job, &object.metadata, None, template)
    }
}

impl From<&CronJob> for Workload {
    fn from(object: &CronJob) -> Self {
        let job = object.spec.as_ref().map(|spec| &spec.job_template);
        let template = job
            .and_then(|job| job.spec.as_ref())
            .map(|spec| &spec.template);
        Self::new(WorkloadKind::CronJob, &object.metadata, None, template)
    }
}
