//! Pods that are there and do not get ready: what keeps each, and which of it speaks for all.

use std::collections::BTreeMap;

use super::Place;
use super::matching::Seat;
use crate::model::diagnostics::{Diagnostic, endpoints, pods};
use crate::model::names::shown;
use crate::snapshot::containers::{Container, Probe, Role};
use crate::snapshot::pods::{ContainerState, Exit, Pod, State, Unscheduled, Waiting};

/// What a kubelet takes to notice and to stop a container, beside the probe's own time.
const SLACK: u32 = 35;
/// A container that was restarted so often and does not get ready will be restarted again.
const AGAIN: u32 = 3;

/// What keeps a pod from getting requests, in the order in which it matters.
#[derive(Clone, Debug)]
enum Trouble<'p> {
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
            Self::BeingMade => 7,
            Self::Gate(_) => 8,
            Self::Readiness { .. } => 9,
            Self::NotReady => 10,
            Self::Terminating => 11,
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

impl Place<'_> {
    pub(super) fn troubles(&self) -> Option<Diagnostic> {
        let mut kinds: BTreeMap<u8, (usize, &Pod, Trouble<'_>)> = BTreeMap::new();
        let mut all = 0;
        for pod in self.behind.alive() {
            let Some(state) = &pod.state else { continue };
            all += 1;
            if let Some(trouble) = trouble(pod, state) {
                let known = kinds.entry(trouble.rank());
                // Pods come by name: the first of each kind is named.
                let (count, ..) = known.or_insert((0, pod, trouble));
                *count += 1;
            }
        }
        // A pod that goes says nothing while others come.
        let terminating = Trouble::Terminating.rank();
        if kinds.len() > 1 {
            kinds.remove(&terminating);
        }
        let felt = !self.has_ready();
        let told = kinds
            .into_values()
            .filter(|(.., trouble)| felt || trouble.lasts());
        // The most frequent, and of those the first by rank.
        let told = told.rev().max_by_key(|(count, ..)| *count)?;
        let (count, pod, trouble) = told;
        Some(self.told(
            pod,
            &trouble,
            &pods::Share {
                pods: count,
                of: all,
            },
        ))
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
                Seat::at(&seat, "containers"),
                share,
                class.as_str(),
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
    let of = |container: &Container| state.containers.get(&container.name).unwrap_or(&none);
    if main().any(|container| !of(container).is_running) {
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
    let loops = state.waiting == Some(Waiting::CrashLoop);
    let failed = state.last_exit.as_ref();
    let again = state.restarts > 0 && failed.is_some_and(|exit| exit.code != 0 || loops);
    if loops || (again && (!state.is_running || (!state.is_ready && state.restarts >= AGAIN))) {
        return Some(why_restarted(container, state));
    }
    if container.role == Role::Init || !state.is_running {
        return None;
    }
    match (&container.startup, &container.readiness) {
        (Some(probe), _) if !state.is_started => Some(Trouble::Starting { container, probe }),
        (_, Some(probe)) if !state.is_ready => Some(Trouble::Readiness { container, probe }),
        _ => None,
    }
}

/// A probe that runs out of patience ends a container by a signal, just when its time is over.
fn why_restarted<'p>(container: &'p Container, state: &'p ContainerState) -> Trouble<'p> {
    let killed_by = |probe: &Probe| {
        state.last_exit.as_ref().is_some_and(|exit| {
            let killed = matches!(exit.code, 0 | 137 | 143) && exit.reason != "OOMKilled";
            let patience = probe.patience();
            // The first try may come right at the start, and one period less is waited for.
            let earliest = patience.saturating_sub(probe.period);
            let latest = patience.saturating_add(probe.period).saturating_add(SLACK);
            killed
                && exit
                    .seconds
                    .is_some_and(|ran| (earliest..=latest).contains(&ran))
        })
    };
    match (&container.startup, &container.liveness) {
        (Some(probe), _) if killed_by(probe) => Trouble::StartupGivesUp { container, probe },
        (None, Some(probe)) if killed_by(probe) => Trouble::Liveness { container, probe },
        _ => Trouble::Crash { container, state },
    }
}

fn ended(exit: Option<&Exit>) -> String {
    match exit {
        Some(exit) if exit.reason == "OOMKilled" => "OOMKilled".to_owned(),
        Some(exit) => format!("exit code {}", exit.code),
        None => "an exit code that is not known".to_owned(),
    }
}
