//! What a controller shows of itself: what it waits for, and its metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::routes::Routes;
use crate::model::diagnostics::Severity;
use crate::operator::View;
use crate::render::wire::{Fill, Sizes};
use crate::server::{Pages, Task, TaskState};
use crate::source::cluster::{Watch, WatchName, WatchState};
use crate::telemetry::{Metrics, counted, counted_time, whole};

/// Objects that are named where some cannot be read.
const UNREADABLE: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWatch {
    watch: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProxy {
    proxy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLimit {
    proxy: String,
    limit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFinding {
    severity: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWrite {
    what: String,
    outcome: String,
}

/// What is looked up when metrics are asked for.
#[derive(Clone, Default)]
struct Looked {
    leader: Gauge,
    synced: Family<OfWatch, Gauge>,
    unreadable: Family<OfWatch, Gauge>,
    ingresses: Gauge,
    findings: Family<OfFinding, Gauge>,
    builds: Counter,
    build_seconds: Gauge<f64, AtomicU64>,
    loaded: Counter,
    loaded_seconds: Counter<f64, AtomicU64>,
    proxies: Family<OfProxy, Gauge>,
    current: Family<OfProxy, Gauge>,
    refusing: Family<OfProxy, Gauge>,
    writes: Family<OfProxy, Counter>,
    failures: Family<OfProxy, Counter>,
    bytes: Family<OfProxy, Gauge>,
    fills: Family<OfLimit, Gauge>,
    certificate_expiry: Gauge,
    status_writes: Family<OfWrite, Counter>,
    status_waiting: Gauge,
    setting_problems: Gauge,
}

pub fn pages(view: View, metrics: Metrics) -> Pages {
    let (looked, routes) = (Looked::default(), Routes::default());
    routes.register(&metrics);
    metrics.register(|registry| {
        registry.register(
            "leader",
            "Whether this process leads",
            looked.leader.clone(),
        );
        let help = "Whether a watch is in step with the cluster";
        registry.register("watch_synced", help, looked.synced.clone());
        let help = "Objects that cannot be read and are taken as not there";
        registry.register("unreadable_objects", help, looked.unreadable.clone());
        let help = "Ingresses that are seen, of any class";
        registry.register("ingresses", help, looked.ingresses.clone());
        let help = "What is wrong with objects, by what it is and how much it matters";
        registry.register("findings", help, looked.findings.clone());
        let help = "Writes of status since the start, by what was written and what became of it";
        registry.register("status_writes", help, looked.status_writes.clone());
        let help = "Writes of status that wait for their turn";
        registry.register("status_writes_waiting", help, looked.status_waiting.clone());
        let help = "Settings that cannot be read";
        registry.register("setting_problems", help, looked.setting_problems.clone());
        registry.register("builds", "Builds since the start", looked.builds.clone());
        let help = "What the latest build took, in seconds";
        registry.register("build_seconds", help, looked.build_seconds.clone());
        let help = "How often every proxy has come to run what was built";
        registry.register("change_to_loaded", help, looked.loaded.clone());
        let help = "What that took altogether, from the build on, in seconds";
        let seconds = looked.loaded_seconds.clone();
        registry.register("change_to_loaded_seconds", help, seconds);
        let help = "Proxies that are alive and report";
        registry.register("proxies", help, looked.proxies.clone());
        let help = "Of them, those that run what is published";
        registry.register("proxies_current", help, looked.current.clone());
        let help = "Of them, those that refuse what is published";
        registry.register("proxies_refusing", help, looked.refusing.clone());
        let help = "Objects written to publish, since the start";
        registry.register("published_objects", help, looked.writes.clone());
        let help = "Tries to publish that failed, since the start";
        registry.register("publish_failures", help, looked.failures.clone());
        let help = "What a publication takes, in octets";
        registry.register("published_bytes", help, looked.bytes.clone());
        let help = "How far the largest object fills a limit, in percent";
        registry.register("published_fill_percent", help, looked.fills.clone());
        let help = "When the first certificate in use expires, in seconds since 1970";
        registry.register(
            "certificate_expiry_seconds",
            help,
            looked.certificate_expiry.clone(),
        );
    });
    let for_tasks = view.clone();
    let for_model = view.clone();
    Pages {
        tasks: Arc::new(move || tasks(&for_tasks)),
        metrics,
        refresh: Arc::new(move || {
            looked.refresh(&view);
            // Whoever tells of statuses does not wait for it.
            let statuses = view.statuses.borrow().clone();
            routes.refresh(&statuses, *view.leads.borrow());
        }),
        model: Some(Arc::new(move || model(&for_model))),
    }
}

fn tasks(view: &View) -> Vec<Task> {
    let watches = view.watches.borrow();
    let task = |(name, watch): (&WatchName, &Watch)| Task {
        name: format!("watch {name}"),
        state: match (&watch.state, watch.required && !watch.listed) {
            (_, true) => TaskState::Pending,
            (WatchState::Synced, _) if watch.unreadable.is_empty() => TaskState::Done,
            _ => TaskState::Degraded,
        },
        detail: match &watch.state {
            WatchState::Synced => unreadable(watch),
            other => other.to_string(),
        },
    };
    let mut tasks: Vec<Task> = watches.iter().map(task).collect();
    let built = view.outcome.borrow().is_some();
    tasks.push(Task {
        name: "first build".to_owned(),
        state: if built {
            TaskState::Done
        } else {
            TaskState::Pending
        },
        detail: String::new(),
    });
    let problems = view.setting_problems.borrow();
    if !problems.is_empty() {
        tasks.push(Task {
            name: "settings".to_owned(),
            state: TaskState::Degraded,
            detail: problems.join("; "),
        });
    }
    // Whoever follows publishes nothing, and is ready all the same.
    let leads = *view.leads.borrow();
    for (proxy, published) in view.published.iter().filter(|_| leads) {
        let published = published.borrow();
        let full = published.sizes.as_ref().and_then(nearly_full);
        tasks.push(Task {
            name: format!("publish for {proxy}"),
            state: match (&published.error, &published.revision, &full) {
                (Some(_), _, _) | (None, Some(_), Some(_)) => TaskState::Degraded,
                (None, Some(_), None) => TaskState::Done,
                (None, None, _) => TaskState::Pending,
            },
            detail: published.error.clone().or(full).unwrap_or_default(),
        });
    }
    if let Some(words) = view.status.borrow().last_error.clone() {
        tasks.push(Task {
            name: "write status".to_owned(),
            state: TaskState::Degraded,
            detail: words,
        });
    }
    tasks
}

/// Names the first objects that cannot be read; nothing else tells of them.
fn unreadable(watch: &Watch) -> String {
    let count = watch.unreadable.len();
    let first = watch.unreadable.iter().take(UNREADABLE);
    let first: Vec<String> = first
        .map(|(name, why)| format!("{name} cannot be read: {why}"))
        .collect();
    let more = match count - first.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    first.join("; ") + &more
}

/// What will not fit any more before long.
fn nearly_full(sizes: &Sizes) -> Option<String> {
    let near = sizes.fills.iter().find(|fill| fill.is_near())?;
    let Fill { object, limit, .. } = near;
    let (percent, limit) = (near.percent(), limit.as_str());
    Some(format!(
        "{object} fills {percent} % of what one {limit} may hold"
    ))
}

/// The model as it was built last; keys hide themselves.
fn model(view: &View) -> String {
    let outcome = view.outcome.borrow();
    let model = outcome.as_ref().map(|outcome| &outcome.model);
    let text = serde_json::to_string_pretty(&model.map(AsRef::as_ref));
    text.unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}

impl Looked {
    fn refresh(&self, view: &View) {
        self.leader.set(i64::from(*view.leads.borrow()));
        for (name, watch) in view.watches.borrow().iter() {
            let of = OfWatch {
                watch: name.to_string(),
            };
            let synced = watch.state == WatchState::Synced;
            self.synced.get_or_create(&of).set(i64::from(synced));
            let unreadable = self.unreadable.get_or_create(&of);
            unreadable.set(whole(watch.unreadable.len()));
        }
        let builds = *view.builds.borrow();
        counted(&self.builds, builds.number);
        self.build_seconds.set(builds.took.as_secs_f64());
        counted(&self.loaded, builds.loaded);
        counted_time(&self.loaded_seconds, builds.until_loaded);
        let problems = view.setting_problems.borrow().len();
        self.setting_problems.set(whole(problems));
        self.refresh_status(view);
        self.refresh_outcome(view);
        self.refresh_published(view);
    }

    fn refresh_status(&self, view: &View) {
        let status = view.status.borrow();
        self.status_waiting.set(whole(status.waiting));
        for ((verb, fate), count) in &status.writes {
            let of = OfWrite {
                what: verb.as_str().to_owned(),
                outcome: fate.as_str().to_owned(),
            };
            counted(&self.status_writes.get_or_create(&of), *count);
        }
    }

    fn refresh_outcome(&self, view: &View) {
        let outcome = view.outcome.borrow();
        let Some(outcome) = outcome.as_ref() else {
            return;
        };
        self.ingresses.set(whole(outcome.snapshot.ingresses.len()));
        // What is not wrong any more goes.
        self.findings.clear();
        for finding in outcome.diagnostics.iter() {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            let of = OfFinding {
                severity: severity.to_owned(),
                code: finding.code.to_string(),
            };
            self.findings.get_or_create(&of).inc();
        }
        let certificates = outcome.model.certificates.values();
        let first = certificates.map(|certificate| certificate.not_after).min();
        let moment = first.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        self.certificate_expiry
            .set(moment.map_or(0, |moment| moment.timestamp().as_second()));
    }

    fn refresh_published(&self, view: &View) {
        let proxies = view.proxies.borrow().clone();
        for (kind, published) in &view.published {
            let published = published.borrow();
            let of = OfProxy {
                proxy: kind.to_string(),
            };
            let revision = published
                .revision
                .as_ref()
                .map(|revision| revision.as_str());
            let (mut alive, mut current, mut refusing) = (0, 0, 0);
            for proxy in proxies.of(*kind) {
                alive += 1;
                current += i64::from(revision.is_some() && proxy.revision.as_deref() == revision);
                refusing += i64::from(proxy.refused.is_some());
            }
            self.proxies.get_or_create(&of).set(alive);
            self.current.get_or_create(&of).set(current);
            self.refusing.get_or_create(&of).set(refusing);
            counted(&self.writes.get_or_create(&of), published.writes);
            counted(&self.failures.get_or_create(&of), published.failures);
            let Some(sizes) = &published.sizes else {
                continue;
            };
            self.bytes.get_or_create(&of).set(whole(sizes.total));
            for fill in &sizes.fills {
                let of = OfLimit {
                    proxy: kind.to_string(),
                    limit: fill.limit.as_str().to_owned(),
                };
                self.fills.get_or_create(&of).set(whole(fill.percent()));
            }
        }
    }
}
