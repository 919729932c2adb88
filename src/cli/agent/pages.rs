//! What an agent shows of itself: whether its proxy serves, and its metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use crate::agent::follow::Followed;
use crate::agent::loader::State;
use crate::agent::serve::View;
use crate::server::{Pages, Task, TaskState};
use crate::telemetry::{Metrics, counted, whole};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: String,
}

/// What is looked up when metrics are asked for.
#[derive(Clone, Default)]
struct Looked {
    reloads: Family<OfReason, Counter>,
    loads: Family<OfOutcome, Counter>,
    load_seconds: Gauge<f64, AtomicU64>,
    age_seconds: Gauge<f64, AtomicU64>,
    current: Gauge,
    refusing: Gauge,
    draining: Gauge,
    watching: Gauge,
}

/// `ends` tells whether the process is about to end: it takes no new work then.
pub fn pages(view: View, ends: watch::Receiver<bool>, metrics: Metrics) -> Pages {
    let looked = Looked::default();
    metrics.register(|registry| {
        let help = "Reloads of the proxy since the start, by what forced them";
        registry.register("reloads", help, looked.reloads.clone());
        let help = "What became of bundles, since the start";
        registry.register("loads", help, looked.loads.clone());
        let help = "What the latest load took, in seconds";
        registry.register("load_seconds", help, looked.load_seconds.clone());
        let help = "For how long the proxy has run the same structure, in seconds";
        registry.register(
            "configuration_age_seconds",
            help,
            looked.age_seconds.clone(),
        );
        let help = "Whether the proxy runs the newest that was published";
        registry.register("current", help, looked.current.clone());
        let help = "Whether the proxy refuses what is published";
        registry.register("refusing", help, looked.refusing.clone());
        let help = "Workers of earlier configurations that still finish their requests";
        registry.register("draining_workers", help, looked.draining.clone());
        let help = "Whether what is published can be read";
        registry.register("following", help, looked.watching.clone());
    });
    let for_tasks = view.clone();
    Pages {
        tasks: Arc::new(move || tasks(&for_tasks, *ends.borrow())),
        metrics,
        refresh: Arc::new(move || looked.refresh(&view)),
        model: None,
    }
}

fn tasks(view: &View, ends: bool) -> Vec<Task> {
    let state = view.state.as_ref().map(watch::Receiver::borrow);
    let mut tasks: Vec<Task> = state.iter().flat_map(|state| of_loading(state)).collect();
    tasks.push(following(&view.followed.borrow()));
    if ends {
        tasks.push(Task {
            name: "go on".to_owned(),
            state: TaskState::Pending,
            detail: "the process is about to end".to_owned(),
        });
    }
    tasks
}

fn of_loading(state: &State) -> [Task; 2] {
    let load = Task {
        name: "proxy serves".to_owned(),
        state: match &state.loaded {
            Some(_) => TaskState::Done,
            None => TaskState::Pending,
        },
        detail: match (&state.loaded, &state.refused) {
            (Some((revision, _)), _) => revision.to_string(),
            (None, Some(refused)) => refused.words.clone(),
            (None, None) => "no bundle yet".to_owned(),
        },
    };
    let read = Task {
        name: "read what is published".to_owned(),
        state: match &state.unreadable {
            None => TaskState::Done,
            Some(_) => TaskState::Degraded,
        },
        detail: state.unreadable.clone().unwrap_or_default(),
    };
    [load, read]
}

/// What the proxy runs it goes on running without the cluster.
fn following(followed: &Followed) -> Task {
    Task {
        name: "follow what is published".to_owned(),
        state: match followed.listed && followed.problem.is_none() {
            true => TaskState::Done,
            false => TaskState::Degraded,
        },
        detail: match (&followed.problem, followed.published) {
            (Some(problem), _) => problem.clone(),
            (None, false) => "nothing is published yet".to_owned(),
            (None, true) => String::new(),
        },
    }
}

impl Looked {
    fn refresh(&self, view: &View) {
        if let Some(state) = &view.state {
            self.refresh_loading(&state.borrow());
        }
        let followed = view.followed.borrow();
        let following = followed.listed && followed.problem.is_none();
        self.watching.set(i64::from(following));
    }

    fn refresh_loading(&self, state: &State) {
        let State {
            loaded,
            wanted,
            refused,
            unreadable: _,
            counts,
            draining,
        } = state;
        for (reason, count) in &counts.reloads {
            let of = OfReason {
                reason: reason.clone(),
            };
            counted(&self.reloads.get_or_create(&of), *count);
        }
        let outcomes = [
            ("started", counts.starts),
            ("live", counts.live),
            ("reloaded", counts.reloads.values().sum()),
            ("refused", counts.refused),
            ("failed", counts.failed),
            ("proxy_ended", counts.ended),
        ];
        for (outcome, count) in outcomes {
            let of = OfOutcome {
                outcome: outcome.to_owned(),
            };
            counted(&self.loads.get_or_create(&of), count);
        }
        self.load_seconds.set(counts.took.as_secs_f64());
        let age = loaded.as_ref().map(|(_, since)| since.elapsed());
        self.age_seconds.set(age.unwrap_or_default().as_secs_f64());
        let runs = loaded.as_ref().map(|(revision, _)| revision);
        self.current
            .set(i64::from(runs.is_some() && runs == wanted.as_ref()));
        self.refusing.set(i64::from(refused.is_some()));
        self.draining.set(whole(*draining));
    }
}
