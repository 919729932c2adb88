//! Which pods and workloads a Service selects, without asking each Service of each pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::snapshot::containers::{Container, Labels, Shape};
use crate::snapshot::pods::Pod;
use crate::snapshot::workloads::{Workload, WorkloadKind, WorkloadName};
use crate::snapshot::{ObjectName, Snapshot};

/// Everything of a snapshot that has labels, by namespace and by label.
pub struct Matching<'a> {
    snapshot: &'a Snapshot,
    pods: ByLabel<'a, Pod>,
    workloads: ByLabel<'a, Workload>,
}

struct ByLabel<'a, T> {
    of_label: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a T>>,
}

/// What a Service selects.
pub struct Behind<'a> {
    pub has_selector: bool,
    pub selector: Labels,
    /// By name; those that have ended are not among them.
    pods: Vec<&'a Pod>,
    /// What makes pods that serve, by kind and name; not what another one of them makes.
    pub workloads: Vec<&'a Workload>,
}

impl Behind<'_> {
    /// Pods that are there or are coming, and have not ended.
    pub fn alive(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().copied()
    }
}

/// What a person would edit to change a pod.
pub struct Seat {
    pub object: ObjectRef,
    /// The spec of its pods.
    pub spec: &'static str,
}

impl Seat {
    pub fn of_workload(name: &WorkloadName) -> Self {
        Self {
            object: workload_ref(name),
            spec: name.kind.pod_spec(),
        }
    }

    pub fn at(&self, field: &str) -> Origin {
        let field = FieldPath::new(format!("{}.{field}", self.spec));
        Origin::new(self.object.clone(), field)
    }

    pub fn container(&self, container: &Container) -> Origin {
        self.at(&container.field)
    }
}

pub fn workload_ref(name: &WorkloadName) -> ObjectRef {
    let kind = match name.kind {
        WorkloadKind::Deployment => Kind::Deployment,
        WorkloadKind::StatefulSet => Kind::StatefulSet,
        WorkloadKind::DaemonSet => Kind::DaemonSet,
        WorkloadKind::ReplicaSet => Kind::ReplicaSet,
        WorkloadKind::ReplicationController => Kind::ReplicationController,
        WorkloadKind::Job => Kind::Job,
        WorkloadKind::CronJob => Kind::CronJob,
    };
    ObjectRef::new(kind, &name.name.namespace, &name.name.name)
}

impl<'a, T> ByLabel<'a, T> {
    fn of(all: impl Iterator<Item = (&'a str, &'a Labels, &'a T)>) -> Self {
        let mut of_label: BTreeMap<_, Vec<&T>> = BTreeMap::new();
        for (namespace, labels, thing) in all {
            for (key, value) in labels {
                let of_this = of_label.entry((namespace, &**key, &**value)).or_default();
                of_this.push(thing);
            }
        }
        Self { of_label }
    }

    /// Those that carry all labels: few of them are looked at, as the rarest label says which.
    fn selected<'l>(
        &'l self,
        namespace: &'l str,
        selector: &'l Labels,
        labels: fn(&T) -> &Labels,
    ) -> impl Iterator<Item = &'a T> + 'l {
        let pairs = selector.iter();
        let lists = pairs.map(|(key, value)| {
            let found = self.of_label.get(&(namespace, &**key, &**value));
            found.map_or(&[][..], Vec::as_slice)
        });
        let rarest = lists.min_by_key(|list| list.len()).unwrap_or_default();
        let rarest = rarest.iter().copied();
        rarest.filter(move |thing| carries(labels(thing), selector))
    }
}

pub fn carries(labels: &Labels, selector: &Labels) -> bool {
    let mut pairs = selector.iter();
    pairs.all(|(key, value)| labels.get(key) == Some(value))
}

impl<'a> Matching<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let pods = snapshot.pods.values().map(Arc::as_ref);
        let pods = pods.filter(|pod| !pod.has_ended());
        let workloads = snapshot.workloads.values().map(Arc::as_ref);
        // One that another makes says nothing that the other does not; a Job's pods are there to end.
        let workloads = workloads.filter(|made| made.owner.is_none() && !made.name.kind.ends());
        Self {
            snapshot,
            pods: ByLabel::of(pods.map(|pod| (&*pod.name.namespace, &pod.labels, pod))),
            workloads: ByLabel::of(
                workloads.map(|made| (&*made.name.name.namespace, &made.labels, made)),
            ),
        }
    }

    pub fn behind(&self, name: &ObjectName, service: &Service) -> Behind<'a> {
        let spec = service.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.clone());
        let selector = selector.unwrap_or_default();
        let namespace = &name.namespace;
        let pods = self.pods.selected(namespace, &selector, |pod| &pod.labels);
        let workloads = self
            .workloads
            .selected(namespace, &selector, |made| &made.labels);
        let (pods, workloads) = (pods.collect(), workloads.collect());
        Behind {
            has_selector: !selector.is_empty(),
            selector,
            pods,
            workloads,
        }
    }

    /// Where a pod is made as it is: its controller where that is known, otherwise itself.
    pub fn seat(&self, pod: &Pod) -> Seat {
        match self.maker(pod) {
            Some(name) => Seat::of_workload(name),
            None => Seat {
                object: ObjectRef::new(Kind::Pod, &pod.name.namespace, &pod.name.name),
                spec: "spec",
            },
        }
    }

    fn maker(&self, pod: &Pod) -> Option<&'a WorkloadName> {
        let owner = pod.owner.as_ref()?;
        let (kind, name) = match owner.kind.as_str() {
            "ReplicaSet" => {
                // A Deployment names its ReplicaSets by itself and the hash that their pods carry.
                let hash = pod.labels.get("pod-template-hash");
                let made_by = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str()));
                match made_by.and_then(|name| name.strip_suffix('-')) {
                    Some(name) => (WorkloadKind::Deployment, name),
                    None => (WorkloadKind::ReplicaSet, owner.name.as_str()),
                }
            }
            "StatefulSet" => (WorkloadKind::StatefulSet, owner.name.as_str()),
            "DaemonSet" => (WorkloadKind::DaemonSet, owner.name.as_str()),
            "ReplicationController" => (WorkloadKind::ReplicationController, owner.name.as_str()),
            _ => return None,
        };
        let name = WorkloadName {
            kind,
            name: ObjectName::new(pod.name.namespace.clone(), name),
        };
        let (name, _) = self.snapshot.workloads.get_key_value(&name)?;
        Some(name)
    }

    /// The different pods that there are behind a Service, or that would be: each once, with its seat.
    pub fn shapes<'b>(&self, behind: &'b Behind<'_>) -> Vec<(Seat, &'b Shape)> {
        let mut shapes: Vec<(Seat, &Shape)> = Vec::new();
        let mut known: BTreeSet<(ObjectRef, Option<&str>)> = BTreeSet::new();
        for pod in behind.alive() {
            let seat = self.seat(pod);
            // Pods of one revision are alike; without a label that says so each is looked at.
            let hashes = ["pod-template-hash", "controller-revision-hash"];
            let revision = hashes.iter().find_map(|key| pod.labels.get(*key));
            if known.insert((seat.object.clone(), revision.map(String::as_str))) {
                shapes.push((seat, &pod.shape));
            }
        }
        if shapes.is_empty() {
            let made = behind.workloads.iter();
            shapes.extend(made.map(|made| (Seat::of_workload(&made.name), &*made.shape)));
        }
        shapes
    }

    /// Whether some Service selects what carries these labels.
    pub fn is_selected(&self, namespace: &str, labels: &Labels) -> bool {
        let services = self
            .snapshot
            .services
            .range(ObjectName::new(namespace, "")..);
        let mut here = services.take_while(|(name, _)| name.namespace == namespace);
        here.any(|(_, service)| {
            let selector = service
                .spec
                .as_ref()
                .and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| !selector.is_empty() && carries(labels, selector))
        })
    }

    /// What has labels in a namespace, each set once: workloads, and pods that none of them makes.
    pub fn neighbours(&self, namespace: &str) -> impl Iterator<Item = (ObjectRef, &'a Labels)> {
        let from = ObjectName::new(namespace, "");
        let here = namespace.to_owned();
        let pods = self.snapshot.pods.range(from..);
        let pods = pods
            .take_while(move |(name, _)| name.namespace == here)
            .map(|(_, pod)| pod.as_ref())
            .filter(|pod| !pod.has_ended() && pod.owner.is_none());
        let pods = pods.map(|pod| {
            let object = ObjectRef::new(Kind::Pod, &pod.name.namespace, &pod.name.name);
            (object, &pod.labels)
        });
        let here = namespace.to_owned();
        let workloads = self.snapshot.workloads.values().map(Arc::as_ref);
        let workloads = workloads
            .filter(move |made| made.name.name.namespace == here && !made.name.kind.ends())
            .map(|made| (workload_ref(&made.name), &made.labels));
        workloads.chain(pods)
    }
}
