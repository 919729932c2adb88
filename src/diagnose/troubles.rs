//! Pods that are there and do not get ready: what keeps each, and which of it speaks for all.

use std::collections::BTreeMap;

use super::Place;
use crate::model::diagnostics::{Diagnostic, endpoints, pods};
use crate::model::names::shown;
use crate::snapshot::containers::{Container, Probe, Role};
use crate::snapshot::pods::{ContainerState, Exit, Phase, Pod, State, Unscheduled, Waiting};

/// A container that was restarted so often and does not get ready will be restarted again.
const AGAIN: u32 = 3;

/// What keeps a pod from getting requests, in the order in which it matters.
#[derive(Clone, Debug)]
pub enum Trouble<'p> {
    Image {
        container: &'p Container,
        reason: &'static str,
    },
    Config {
        container: &'p Container,
        words: &'p str,
    },
    Unscheduled(Unscheduled),
    Liveness {
        container: &'p Container,
        probe: &'p Probe,
    },
    StartupGivesUp {
        container: &'p Container,
        probe: &'p Probe,
    },
    Crash {
        container: &'p Container,
        state: &'p ContainerState,
    },
    Starting {
        container: &'p Container,
        probe: &'p Probe,
    },
    Initialising {
        container: &'p Container,
    },
    BeingMade,
    Gate(&'p str),
    Readiness {
        container: &'p Container,
        probe: &'p Probe,
    },
    NotReady,
    Terminating,
}

impl Trouble<'_> {
    /// Of the same trouble on several pods one speaks for all.
    fn rank(&self) -> u8 {
        match self {
            Self::Image { .. } => 0,
            Self::Config { .. } => 1,
            Self::Unscheduled(_) => 2,
            Self::Liveness { .. } => 3,
            Self::StartupGivesUp { .. } => 4,
            Self::Crash { .. } => 5,
            Self::Starting { .. } => 6,
            Self::Initialising { .. } => 7,
            Self::BeingMade => 8,
            Self::Gate(_) => 9,
            Self::Readiness { .. } => 10,
            Self::NotReady => 11,
            Self::Terminating => 12,
        }
    }

    /// Whether it does not go away by waiting, as the rest of a rollout does.
    fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Image { .. }
                | Self::Config { .. }
                | Self::Unscheduled(_)
                | Self::Liveness { .. }
                | Self::StartupGivesUp { .. }
                | Self::Crash { .. }
        )
    }
}

/// Whether a pod gets requests, as far as it says so itself.
pub fn is_ready(pod: &Pod) -> bool {
    let state = pod.state.as_ref();
    state.is_some_and(|state| state.is_ready && !state.is_terminating)
}

/// How the pods behind a Service stand.
#[derive(Default)]
pub struct Survey<'p> {
    /// Those that say how they stand.
    all: usize,
    pub any_ready: bool,
    /// By rank: how many have such a trouble, and the first of them by name.
    kinds: BTreeMap<u8, (usize, &'p Pod, Trouble<'p>)>,
}

impl<'p> Survey<'p> {
    pub fn of(pods: &[&'p Pod]) -> Self {
        let mut survey = Self::default();
        for pod in pods {
            let Some(state) = &pod.state else { continue };
            survey.all += 1;
            survey.any_ready |= is_ready(pod);
            if let Some(trouble) = trouble(pod, state) {
                let known = survey.kinds.entry(trouble.rank());
                let (count, ..) = known.or_insert((0, pod, trouble));
                *count += 1;
            }
        }
        // A pod that goes says nothing while others come.
        if survey.kinds.len() > 1 {
            survey.kinds.remove(&Trouble::Terminating.rank());
        }
        survey
    }
}

impl Place<'_, '_> {
    pub(super) fn troubles(&self) -> Option<Diagnostic> {
        let felt = !self.has_ready();
        let kinds = self.behind.survey.kinds.values();
        let told = kinds.filter(|(.., trouble)| felt || trouble.lasts());
        // The most frequent, and of those the first by rank.
        let (count, pod, trouble) = told.rev().max_by_key(|(count, ..)| *count)?;
        let share = pods::Share {
            pods: *count,
            of: self.behind.survey.all,
        };
        Some(self.told(pod, trouble, &share))
    }

    fn told(&self, pod: &Pod, trouble: &Trouble<'_>, share: &pods::Share) -> Diagnostic {
        let seat = self.matching.seat(pod);
        let name = &pod.name.name;
        let consequence = self.consequence();
        let probe_at =
            |container: &Container, probe: &str| seat.at(&format!("{}.{probe}", container.field));
        match trouble {
            Trouble::Image { container, reason } => pods::image_pull_failing(
                probe_at(container, "image"),
                &container.name,
                reason,
                &shown(&container.image),
                consequence,
            ),
            Trouble::Config { container, words } => pods::container_config(
                seat.container(container),
                &container.name,
                words,
                consequence,
            ),
            Trouble::Unscheduled(class) => pods::unscheduled(
                seat.at("containers"),
                share,
                class.as_str(),
                name,
                consequence,
            ),
            Trouble::Initialising { container } => pods::initialising(
                seat.container(container),
                share,
                &container.name,
                name,
                consequence,
            ),
            Trouble::BeingMade => pods::being_made(seat.at("containers"), share, name, consequence),
            Trouble::Crash { container, state } => pods::crash_looping(
                seat.container(container),
                &container.name,
                state.restarts,
                &ended(state.last_exit.as_ref()),
                name,
                consequence,
            ),
            Trouble::Liveness { container, probe } => pods::liveness_kills_starter(
                probe_at(container, "livenessProbe"),
                &probe.action.to_string(),
                &container.name,
                probe.patience(),
                consequence,
            ),
            Trouble::StartupGivesUp { container, probe } => pods::startup_gives_up(
                probe_at(container, "startupProbe"),
                &probe.action.to_string(),
                &container.name,
                probe.patience(),
                consequence,
            ),
            Trouble::Starting { container, probe } => pods::starting(
                probe_at(container, "startupProbe"),
                &probe.action.to_string(),
                &container.name,
                probe.patience(),
                consequence,
            ),
            Trouble::Gate(gate) => {
                pods::gate_waiting(seat.at("readinessGates"), &shown(gate), share, consequence)
            }
            Trouble::Readiness { container, probe } => pods::readiness_failing(
                probe_at(container, "readinessProbe"),
                &probe.action.to_string(),
                &container.name,
                share,
                consequence,
            ),
            Trouble::NotReady => pods::not_ready(seat.at("containers"), share, consequence),
            Trouble::Terminating => {
                endpoints::only_terminating(self.at_service("spec.selector"), &self.service_path())
            }
        }
    }
}

fn trouble<'p>(pod: &'p Pod, state: &'p State) -> Option<Trouble<'p>> {
    if state.is_terminating {
        return Some(Trouble::Terminating);
    }
    if state.is_ready {
        return None;
    }
    if let Some(class) = state.unscheduled {
        return Some(Trouble::Unscheduled(class));
    }
    let none = ContainerState::default();
    let all = pod.shape.containers.iter();
    let found = all.filter_map(|container| {
        let state = state.containers.get(&container.name);
        of_container(container, state?)
    });
    let found = found.min_by_key(Trouble::rank);
    if found.is_some() {
        return found;
    }
    let main = || pod.shape.containers.iter().filter(|c| c.role == Role::Main);
    let is_told = state.phase != Phase::Running || !state.containers.is_empty();
    let of = |container: &Container| state.containers.get(&container.name).unwrap_or(&none);
    if is_told && main().any(|container| !of(container).is_running) {
        return Some(Trouble::BeingMade);
    }
    match state.closed_gates.first() {
        Some(gate) => Some(Trouble::Gate(gate)),
        None => Some(Trouble::NotReady),
    }
}

fn of_container<'p>(container: &'p Container, state: &'p ContainerState) -> Option<Trouble<'p>> {
    match &state.waiting {
        Some(Waiting::Image { reason }) => return Some(Trouble::Image { container, reason }),
        Some(Waiting::Config { words }) => return Some(Trouble::Config { container, words }),
        _ => {}
    }
    if ends_again(container, state) {
        return Some(why_restarted(container, state));
    }
    match (container.role, state.is_running) {
        (Role::Init, true) => return Some(Trouble::Initialising { container }),
        (Role::Main | Role::Sidecar, true) => {}
        (_, false) => return None,
    }
    match (&container.startup, &container.readiness) {
        (Some(probe), _) if !state.is_started => Some(Trouble::Starting { container, probe }),
        (_, Some(probe)) if !state.is_ready => Some(Trouble::Readiness { container, probe }),
        _ => None,
    }
}

/// Whether it ends again and again, at whichever moment of that it is looked at.
fn ends_again(container: &Container, state: &ContainerState) -> bool {
    if state.waiting == Some(Waiting::CrashLoop) {
        return true;
    }
    let Some(exit) = &state.last_exit else {
        return false;
    };
    if state.has_ended {
        // What runs before the others has done its work.
        return container.role != Role::Init || exit.code != 0;
    }
    let often = state.restarts >= AGAIN && exit.is_soon;
    often && state.is_running && !state.is_ready && !state.was_ready
}

/// A probe that runs out of patience ends a container by a signal, just when its time is over.
fn why_restarted<'p>(container: &'p Container, state: &'p ContainerState) -> Trouble<'p> {
    let exit = state.last_exit.as_ref();
    let by = |killed: fn(&Exit) -> bool| exit.is_some_and(killed);
    match (&container.startup, &container.liveness) {
        (Some(probe), _) if by(|exit| exit.by_startup) => {
            Trouble::StartupGivesUp { container, probe }
        }
        (None, Some(probe)) if by(|exit| exit.by_liveness) => {
            Trouble::Liveness { container, probe }
        }
        _ => Trouble::Crash { container, state },
    }
}

fn ended(exit: Option<&Exit>) -> String {
    match exit {
        Some(exit) if exit.reason == "OOMKilled" => "OOMKilled".to_owned(),
        Some(exit) if ["StartError", "ContainerCannotRun"].contains(&&*exit.reason) => {
            format!("{}: {}", exit.reason, pods::NO_START)
        }
        Some(exit) => format!("exit code {}", exit.code),
        None => "an exit code that is not known".to_owned(),
    }
}
