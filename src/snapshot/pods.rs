//! Pods, as far as they bear on whether a route works. What ticks while nothing changes is left out,
//! and counts are rounded, so that a pod that restarts for ever does not wake a reader each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    self as core, ContainerStateTerminated, ContainerStatus, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::containers::{Container, Labels, Probe, Shape};
use super::{ObjectName, named};

/// Of the words of a kubelet or a scheduler: more is not shown to anybody.
const LONGEST_WORDS: usize = 300;
const LONGEST_REASON: usize = 40;
/// Seconds that a container must have run for its restarts to be forgotten by the kubelet.
const BACK_OFF_ENDS: u32 = 600;
const NOT_SCHEDULED: &str = "PodScheduled";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: ObjectName,
    pub labels: Labels,
    /// What made it and keeps it.
    pub owner: Option<Owner>,
    pub shape: Arc<Shape>,
    /// None of a manifest that no cluster has seen.
    pub state: Option<State>,
}

/// The kind and name of a controller in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    pub is_terminating: bool,
    pub is_ready: bool,
    /// Why no node takes it.
    pub unscheduled: Option<Unscheduled>,
    /// Gates of its own that are not True.
    pub closed_gates: Vec<String>,
    pub containers: BTreeMap<String, ContainerState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// A scheduler's reasons in classes: its words count nodes, which ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unscheduled {
    Resources,
    Taints,
    Affinity,
    Volumes,
    Ports,
    Gated,
    Other,
}

impl Unscheduled {
    fn of(condition: &PodCondition) -> Self {
        if condition.reason.as_deref() == Some("SchedulingGated") {
            return Self::Gated;
        }
        let words = condition.message.as_deref().unwrap_or_default();
        let classes = [
            ("Insufficient", Self::Resources),
            ("Too many pods", Self::Resources),
            ("taint", Self::Taints),
            ("persistentvolumeclaim", Self::Volumes),
            ("PersistentVolumeClaim", Self::Volumes),
            ("volume", Self::Volumes),
            ("affinity", Self::Affinity),
            ("selector", Self::Affinity),
            ("topology", Self::Affinity),
            ("free ports", Self::Ports),
        ];
        let found = classes.iter().find(|(word, _)| words.contains(word));
        found.map_or(Self::Other, |(_, class)| *class)
    }

    /// After "wait to be scheduled:".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "no node has the CPU, memory or room that they ask for",
            Self::Taints => "nodes have taints that they do not tolerate",
            Self::Affinity => "no node fits their node selector or affinity",
            Self::Volumes => "a volume that they need is missing or cannot be bound",
            Self::Ports => "the host ports that they ask for are taken",
            Self::Gated => "their scheduling gates are closed",
            Self::Other => "the scheduler has found no node",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerState {
    pub is_ready: bool,
    /// Its startup probe has passed, or it has none and runs.
    pub is_started: bool,
    pub is_running: bool,
    /// It does not run, and waits for nothing yet.
    pub has_ended: bool,
    /// Since it was last started its pod has been ready, and is not any more.
    pub was_ready: bool,
    /// Rounded down to 1, 3, 10, 30 and so on.
    pub restarts: u32,
    pub waiting: Option<Waiting>,
    /// How it last ended.
    pub last_exit: Option<Exit>,
}

/// Why a container does not run yet, with the kubelet's words where they do not tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    Image { reason: &'static str },
    Config { words: String },
    CrashLoop,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub code: i32,
    /// `Error`, `OOMKilled`, `Completed` and the like.
    pub reason: String,
    /// So soon after its start that the kubelet waits longer each time before it starts it again.
    pub is_soon: bool,
    /// By a signal, just when the time of its startup probe was over.
    pub by_startup: bool,
    /// The same of its liveness probe.
    pub by_liveness: bool,
}

impl Exit {
    /// How long it has run ticks, so of that only what it means is kept.
    fn of(ended: &ContainerStateTerminated, container: Option<&Container>) -> Self {
        let reason = ended.reason.as_deref().unwrap_or_default();
        let times = ended.started_at.as_ref().zip(ended.finished_at.as_ref());
        let seconds = times.map(|(from, to)| to.0.as_second().saturating_sub(from.0.as_second()));
        let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
        let killed = matches!(ended.exit_code, 0 | 137 | 143) && reason != "OOMKilled";
        let by = |probe: Option<&Probe>| {
            let gives_up = |probe: &Probe| seconds.is_some_and(|ran| probe.gives_up_after(ran));
            killed && probe.is_some_and(gives_up)
        };
        Self {
            code: ended.exit_code,
            reason: reason.chars().take(LONGEST_REASON).collect(),
            is_soon: seconds.is_none_or(|ran| ran < BACK_OFF_ENDS),
            by_startup: by(container.and_then(|c| c.startup.as_ref())),
            by_liveness: by(container.and_then(|c| c.liveness.as_ref())),
        }
    }
}

impl Pod {
    pub fn of(pod: &core::Pod) -> Self {
        let spec = pod.spec.as_ref();
        let shape = Arc::new(spec.map(Shape::of).unwrap_or_default());
        let status = pod.status.as_ref().filter(|status| status.phase.is_some());
        let is_terminating = pod.metadata.deletion_timestamp.is_some();
        Self {
            name: named(&pod.metadata),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            owner: owner(&pod.metadata),
            state: status.map(|status| State::of(status, &shape, is_terminating)),
            shape,
        }
    }

    /// Made to do some work and to end.
    pub fn is_of_job(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind == "Job")
    }

    /// What pods of one template have in common, and those of its earlier versions have not.
    pub fn revision(&self) -> Option<&str> {
        const LABELS: [&str; 3] = [
            "pod-template-hash",
            "controller-revision-hash",
            "rollouts-pod-template-hash",
        ];
        let mut hashes = LABELS.iter().filter_map(|key| self.labels.get(*key));
        hashes.next().map(String::as_str)
    }

    /// Its containers have ended for good: it serves nobody, whatever its labels say.
    pub fn has_ended(&self) -> bool {
        let phase = self.state.as_ref().map(|state| state.phase);
        matches!(phase, Some(Phase::Succeeded | Phase::Failed))
    }
}

pub(super) fn owner(metadata: &ObjectMeta) -> Option<Owner> {
    let owners = metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    let owner = controllers.next()?;
    Some(Owner {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
    })
}

impl State {
    fn of(status: &PodStatus, shape: &Shape, is_terminating: bool) -> Self {
        let conditions = || status.conditions.iter().flatten();
        let condition = |name: &str| conditions().find(|condition| condition.type_ == name);
        let is_true = |name: &str| condition(name).is_some_and(|found| found.status == "True");
        let unscheduled = condition(NOT_SCHEDULED).filter(|found| found.status == "False");
        let closed = shape.gates.iter().filter(|gate| !is_true(gate));
        let main = status.container_statuses.iter().flatten();
        let all = main.chain(status.init_container_statuses.iter().flatten());
        let not_ready = condition("Ready").filter(|found| found.status == "False");
        let not_ready = not_ready.and_then(|found| found.last_transition_time.as_ref());
        let not_ready = not_ready.map(|since| since.0);
        let seat = |name: &str| shape.containers.iter().find(|c| c.name == name);
        Self {
            phase: match status.phase.as_deref() {
                Some("Pending") => Phase::Pending,
                Some("Running") => Phase::Running,
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                _ => Phase::Unknown,
            },
            is_terminating,
            is_ready: is_true("Ready"),
            unscheduled: unscheduled.map(Unscheduled::of),
            closed_gates: closed.cloned().collect(),
            containers: all
                .map(|c| {
                    (
                        c.name.clone(),
                        ContainerState::of(c, seat(&c.name), not_ready),
                    )
                })
                .collect(),
        }
    }
}

impl ContainerState {
    fn of(
        status: &ContainerStatus,
        container: Option<&Container>,
        not_ready_since: Option<Timestamp>,
    ) -> Self {
        let state = status.state.as_ref();
        let now = state.and_then(|state| state.terminated.as_ref());
        let before = status.last_state.as_ref();
        let before = before.and_then(|state| state.terminated.as_ref());
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let running = state.and_then(|state| state.running.as_ref());
        let started = running.and_then(|running| running.started_at.as_ref());
        let started = started.map(|started| started.0);
        Self {
            is_ready: status.ready,
            is_started: status.started.unwrap_or(status.ready),
            is_running: running.is_some(),
            has_ended: now.is_some(),
            was_ready: not_ready_since
                .zip(started)
                .is_some_and(|(since, started)| since > started),
            restarts: rounded(status.restart_count),
            waiting: waiting.map(|waiting| {
                let words = waiting.message.as_deref().unwrap_or_default();
                Waiting::of(waiting.reason.as_deref().unwrap_or_default(), words)
            }),
            last_exit: now.or(before).map(|ended| Exit::of(ended, container)),
        }
    }
}

impl Waiting {
    fn of(reason: &str, words: &str) -> Self {
        match reason {
            // The two alternate while it is tried again.
            "ErrImagePull" | "ImagePullBackOff" => Self::Image {
                reason: "ImagePullBackOff",
            },
            "InvalidImageName" => Self::Image {
                reason: "InvalidImageName",
            },
            "ErrImageNeverPull" => Self::Image {
                reason: "ErrImageNeverPull",
            },
            "ImageInspectError" | "RegistryUnavailable" | "SignatureValidationFailed" => {
                Self::Image {
                    reason: "image not usable",
                }
            }
            "CreateContainerConfigError" | "CreateContainerError" => Self::Config {
                words: steady(words),
            },
            // The two alternate while its start is tried again.
            "CrashLoopBackOff" | "RunContainerError" => Self::CrashLoop,
            _ => Self::Other,
        }
    }
}

/// The words without what is another one each time: identifiers of containers that are made anew.
fn steady(words: &str) -> String {
    const ID: usize = 12;
    let words: String = words.chars().take(LONGEST_WORDS).collect();
    let mut steady = String::new();
    let mut rest = words.as_str();
    while let Some(first) = rest.chars().next() {
        let hex = rest.find(|c: char| !c.is_ascii_hexdigit());
        let (run, after) = rest.split_at(hex.unwrap_or(rest.len()));
        match run.len() {
            0 => {
                steady.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            ID.. => steady.push('…'),
            _ => steady.push_str(run),
        }
        rest = after;
    }
    steady
}

/// Down to 1, 3, 10, 30, 100 and so on.
fn rounded(count: i32) -> u32 {
    let count = u32::try_from(count).unwrap_or(0);
    let mut steps = (0..9).rev().flat_map(|zeros| {
        let step = 10_u32.pow(zeros);
        [3 * step, step]
    });
    steps.find(|step| *step <= count).unwrap_or(0)
}
