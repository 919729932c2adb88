//! Which pods and workloads a Service selects, without asking each Service of each pod.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

use super::troubles::{Survey, is_ready};
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::snapshot::containers::{Container, Labels, Shape};
use crate::snapshot::pods::Pod;
use crate::snapshot::workloads::{Workload, WorkloadKind, WorkloadName};
use crate::snapshot::{ObjectName, Snapshot};

/// Of what stands behind one Service, so many different shapes are looked at.
const MOST_SHAPES: usize = 16;
/// What a selector may have meant is looked for among so many of its namespace, so that a namespace of
/// thousands is not compared with itself.
const MOST_NEIGHBOURS: usize = 200;

#[cfg(test)]
thread_local! {
    /// How many things were looked at, for tests of how that grows.
    pub static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts one thing that is looked at, where tests ask.
pub fn look() {
    #[cfg(test)]
    LOOKED_AT.with(|looked| looked.set(looked.get() + 1));
}

static NO_LABELS: Labels = Labels::new();

/// Everything of a snapshot that has labels, by namespace and by label.
pub struct Matching<'a> {
    snapshot: &'a Snapshot,
    pods: ByLabel<'a, Pod>,
    workloads: ByLabel<'a, Workload>,
    neighbours: OnceCell<BTreeMap<&'a str, Vec<Neighbour<'a>>>>,
}

struct ByLabel<'a, T> {
    of_label: BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a T>>,
}

/// What a selector selects.
pub struct Behind<'a> {
    pub selector: &'a Labels,
    /// By name; those that have ended are not among them, and those of a Job are not where others are.
    pub pods: Vec<&'a Pod>,
    /// What makes pods that serve, by kind and name; not what another one of them makes.
    pub workloads: Vec<&'a Workload>,
    /// Of the pods that there are, otherwise of those that would be made: each kind once.
    pub revisions: Vec<Revision<'a>>,
    pub survey: Survey<'a>,
}

/// Pods that are alike, or would be.
pub struct Revision<'a> {
    maker: Option<&'a WorkloadName>,
    hash: Option<&'a str>,
    pub seat: Seat,
    pub shape: &'a Shape,
    /// There are such pods, and none of them is ready: their probes prove nothing.
    pub is_unproven: bool,
}

/// Something with labels that a selector may have meant.
pub struct Neighbour<'a> {
    pub object: ObjectRef,
    pub labels: &'a Labels,
    pub shape: &'a Shape,
    /// Some Service has it.
    pub is_selected: bool,
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
    /// Of labels that no selector asks for, nothing is kept.
    fn of(asked: &BTreeSet<&str>, all: impl Iterator<Item = (&'a str, &'a Labels, &'a T)>) -> Self {
        let mut of_label: BTreeMap<_, Vec<&T>> = BTreeMap::new();
        for (namespace, labels, thing) in all {
            let wanted = |(key, _): &(&String, _)| asked.contains(key.as_str());
            for (key, value) in labels.iter().filter(wanted) {
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
    look();
    let mut pairs = selector.iter();
    pairs.all(|(key, value)| labels.get(key) == Some(value))
}

impl<'a> Matching<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let pods = snapshot.pods.values().map(Arc::as_ref);
        let pods = pods.filter(|pod| !pod.has_ended());
        let workloads = snapshot.workloads.values().map(Arc::as_ref);
        let workloads = workloads.filter(|made| speaks(made, snapshot));
        let services = snapshot.services.values();
        let asked = services.flat_map(|service| selector(service).keys());
        let asked: BTreeSet<&str> = asked.map(String::as_str).collect();
        let of_pod = |pod: &'a Pod| (&*pod.name.namespace, &pod.labels, pod);
        let of_workload = |made: &'a Workload| (&*made.name.name.namespace, &made.labels, made);
        Self {
            snapshot,
            pods: ByLabel::of(&asked, pods.map(of_pod)),
            workloads: ByLabel::of(&asked, workloads.map(of_workload)),
            neighbours: OnceCell::new(),
        }
    }

    pub fn behind(&self, namespace: &str, selector: &'a Labels) -> Behind<'a> {
        let pods = self.pods.selected(namespace, selector, |pod| &pod.labels);
        let (of_jobs, mut pods): (Vec<&Pod>, Vec<&Pod>) = pods.partition(|pod| pod.is_of_job());
        if pods.is_empty() {
            pods = of_jobs;
        }
        let workloads: Vec<&Workload> = self.workloads(namespace, selector).collect();
        Behind {
            selector,
            revisions: self.revisions(&pods, &workloads),
            survey: Survey::of(&pods),
            pods,
            workloads,
        }
    }

    /// What makes pods that such a selector selects.
    pub fn workloads<'l>(
        &'l self,
        namespace: &'l str,
        selector: &'l Labels,
    ) -> impl Iterator<Item = &'a Workload> + 'l {
        self.workloads
            .selected(namespace, selector, |made| &made.labels)
    }

    fn revisions(&self, pods: &[&'a Pod], workloads: &[&'a Workload]) -> Vec<Revision<'a>> {
        let mut revisions: Vec<Revision<'a>> = Vec::new();
        // Pods come by name, so those of one revision follow each other.
        let mut before: Option<(&Pod, Option<&WorkloadName>)> = None;
        for pod in pods {
            look();
            let hash = pod.revision();
            let maker = match before {
                Some((other, maker)) if other.owner == pod.owner && other.revision() == hash => {
                    maker
                }
                _ => self.maker(pod),
            };
            before = Some((pod, maker));
            // Pods of one revision are alike, and those of nobody that is known are compared.
            let known = revisions.iter().position(|known| {
                known.maker == maker
                    && known.hash == hash
                    && (hash.is_some() && maker.is_some() || *known.shape == *pod.shape)
            });
            let is_unproven = pod.state.is_some() && !is_ready(pod);
            match known {
                Some(at) => revisions[at].is_unproven &= is_unproven,
                None if revisions.len() < MOST_SHAPES => revisions.push(Revision {
                    maker,
                    hash,
                    seat: seat_of(pod, maker),
                    shape: &pod.shape,
                    is_unproven,
                }),
                None => {}
            }
        }
        if pods.is_empty() {
            let made = workloads.iter().take(MOST_SHAPES);
            revisions.extend(made.map(|made| Revision {
                maker: Some(&made.name),
                hash: None,
                seat: Seat::of_workload(&made.name),
                shape: &made.shape,
                is_unproven: false,
            }));
        }
        revisions
    }

    /// Where a pod is made as it is: its controller where that is known, otherwise itself.
    pub fn seat(&self, pod: &Pod) -> Seat {
        seat_of(pod, self.maker(pod))
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

    /// What has labels in a namespace, each set once: what makes pods, and pods that nothing known makes.
    /// What no Service has comes first.
    pub fn neighbours(&self, namespace: &str) -> &[Neighbour<'a>] {
        let all = self.neighbours.get_or_init(|| self.all_neighbours());
        all.get(namespace).map_or(&[], Vec::as_slice)
    }

    fn all_neighbours(&self) -> BTreeMap<&'a str, Vec<Neighbour<'a>>> {
        let selected = self.selected_by_any();
        let mut all: BTreeMap<&str, Vec<Neighbour<'_>>> = BTreeMap::new();
        let mut known: BTreeSet<(&str, &Labels)> = BTreeSet::new();
        let workloads = self.snapshot.workloads.values().map(Arc::as_ref);
        let workloads = workloads.filter(|made| speaks(made, self.snapshot));
        let workloads = workloads.map(|made| {
            let namespace = &*made.name.name.namespace;
            (
                namespace,
                &made.labels,
                &made.shape,
                workload_ref(&made.name),
            )
        });
        let pods = self.snapshot.pods.values().map(Arc::as_ref);
        let pods = pods.filter(|pod| !pod.has_ended() && self.maker(pod).is_none());
        let pods = pods.map(|pod| {
            let namespace = &*pod.name.namespace;
            let object = ObjectRef::new(Kind::Pod, namespace, &pod.name.name);
            (namespace, &pod.labels, &pod.shape, object)
        });
        for (namespace, labels, shape, object) in workloads.chain(pods) {
            if labels.is_empty() || !known.insert((namespace, labels)) {
                continue;
            }
            all.entry(namespace).or_default().push(Neighbour {
                object,
                labels,
                shape,
                is_selected: selected.contains(&(namespace, labels)),
            });
        }
        for here in all.values_mut() {
            here.sort_by_key(|neighbour| neighbour.is_selected);
            here.truncate(MOST_NEIGHBOURS);
        }
        all
    }

    /// The sets of labels that some Service selects, by namespace.
    fn selected_by_any(&self) -> BTreeSet<(&'a str, &'a Labels)> {
        let services = self.snapshot.services.iter();
        let selectors: BTreeSet<(&str, &Labels)> = services
            .map(|(name, service)| (&*name.namespace, selector(service)))
            .collect();
        let mut selected = BTreeSet::new();
        for (namespace, selector) in selectors {
            let pods = self.pods.selected(namespace, selector, |pod| &pod.labels);
            selected.extend(pods.map(|pod| (&*pod.name.namespace, &pod.labels)));
            let made = self
                .workloads
                .selected(namespace, selector, |made| &made.labels);
            selected.extend(made.map(|made| (&*made.name.name.namespace, &made.labels)));
        }
        selected
    }
}

fn seat_of(pod: &Pod, maker: Option<&WorkloadName>) -> Seat {
    match maker {
        Some(name) => Seat::of_workload(name),
        None => Seat {
            object: ObjectRef::new(Kind::Pod, &pod.name.namespace, &pod.name.name),
            spec: "spec",
        },
    }
}

/// Empty of a Service that has none.
pub fn selector(service: &Service) -> &Labels {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.selector.as_ref())
        .unwrap_or(&NO_LABELS)
}

/// Not what a Deployment makes, which says nothing that the Deployment does not; a Job's pods are there
/// to end. What a kind that is not read makes speaks for itself.
fn speaks(made: &Workload, snapshot: &Snapshot) -> bool {
    let of_deployment = made.owner.as_ref().is_some_and(|owner| {
        let name = ObjectName::new(&*made.name.name.namespace, &*owner.name);
        let kind = WorkloadKind::Deployment;
        owner.kind == kind.as_str()
            && snapshot
                .workloads
                .contains_key(&WorkloadName { kind, name })
    });
    let made_again = made.name.kind == WorkloadKind::ReplicaSet && of_deployment;
    !(made.name.kind.ends() || made_again)
}
