//! Pods, as far as they bear on whether a route works. What ticks while nothing changes is left out,
//! and counts are rounded, so that a pod that restarts for ever does not wake a reader each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{self as core, ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::containers::{Labels, Shape};
use super::{ObjectName, named};

/// Of the words of a kubelet or a scheduler: more is not shown to anybody.
const LONGEST_WORDS: usize = 300;
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
    /// How long it had run.
    pub seconds: Option<u32>,
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
                .map(|c| (c.name.clone(), ContainerState::of(c)))
                .collect(),
        }
    }
}

impl ContainerState {
    fn of(status: &ContainerStatus) -> Self {
        let state = status.state.as_ref();
        let now = state.and_then(|state| state.terminated.as_ref());
        let before = status.last_state.as_ref();
        let before = before.and_then(|state| state.terminated.as_ref());
        let waiting = state.and_then(|state| state.waiting.as_ref());
        Self {
            is_ready: status.ready,
            is_started: status.started.unwrap_or(status.ready),
            is_running: state.is_some_and(|state| state.running.is_some()),
            restarts: rounded(status.restart_count),
            waiting: waiting.map(|waiting| {
                let words = waiting.message.as_deref().unwrap_or_default();
                Waiting::of(waiting.reason.as_deref().unwrap_or_default(), words)
            }),
            last_exit: now.or(before).map(|ended| Exit {
                code: ended.exit_code,
                reason: ended.reason.clone().unwrap_or_default(),
                seconds: ended
                    .started_at
                    .as_ref()
                    .zip(ended.finished_at.as_ref())
                    .and_then(|(from, to)| {
                        u32::try_from(to.0.as_second() - from.0.as_second()).ok()
                    }),
            }),
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
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Self::Config {
                    words: words.chars().take(LONGEST_WORDS).collect(),
                }
            }
            "CrashLoopBackOff" => Self::CrashLoop,
            _ => Self::Other,
        }
    }
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
