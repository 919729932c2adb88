//! Writes status into the cluster: RouteHealths that nobody wrote, what becomes of the routes of all, and
//! the addresses of Ingresses. One task, only while this process leads; it compares before it writes, so
//! that a steady cluster writes nothing.
//!
//! Each pass works out all that there is to write ([`work`]); then it is written in the order of its
//! rank, some at a time, within a budget. What was written is not written again before the watch has
//! told of it, and what fails waits by itself, and longer each time.

pub mod addresses;
mod budget;
mod events;
mod queue;
mod report;
mod work;
pub mod write;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::report::LEASE_SECONDS;
use crate::operator::Outcome;
use crate::operator::lease::Guard;
use crate::source::cluster::Statuses;

use addresses::Address;
use queue::{Done, Next, Queue, Told};
pub use report::{Fate, StatusReport, Verb};
use work::{View, Work};
use write::WriteError;

/// What one write may take: longer than an admission that is slow, and not for ever.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two passes while things change.
const PASS: Duration = Duration::from_millis(50);
/// Between two passes where time alone decides something.
const AGAIN: Duration = Duration::from_secs(5);
/// For so long after it has begun to lead, this process believes what stands: longer than it takes to
/// know which proxies are alive.
const TRUST: SignedDuration = SignedDuration::from_secs(LEASE_SECONDS as i64 + 5);

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Tells installations of one cluster apart: a label's value.
    pub installation: String,
    /// This process, such as the pod's name.
    pub instance: String,
    /// Each Ingress without a RouteHealth of its user's gets one.
    pub generate: bool,
    /// Also one that no controller serves.
    pub diagnose_unclaimed: bool,
    /// Ingresses show our addresses. Without it, only RouteHealths are written.
    pub update_status: bool,
    /// For RouteHealths.
    pub writes_per_second: u32,
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            installation: "vigie".to_owned(),
            instance: "vigie".to_owned(),
            generate: true,
            diagnose_unclaimed: true,
            update_status: true,
            writes_per_second: 100,
            burst: 500,
        }
    }
}

/// What is listened to; the latest of each counts.
pub struct Inputs {
    /// None before the first build.
    pub outcomes: watch::Receiver<Option<Outcome>>,
    pub statuses: watch::Receiver<Arc<Statuses>>,
    /// None while they are not known. See [`addresses::addresses`].
    pub addresses: watch::Receiver<Option<Vec<Address>>>,
    pub leads: watch::Receiver<bool>,
    pub guard: Guard,
}

/// By this name the API server knows what an installation has written.
pub fn manager(installation: &str) -> String {
    format!("vigie-{installation}")
}

fn owner(ingress: &str, uid: String) -> OwnerReference {
    OwnerReference {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "Ingress".to_owned(),
        name: ingress.to_owned(),
        uid,
        ..OwnerReference::default()
    }
}

/// Writes until a sender of inputs has gone.
pub async fn run(
    client: Client,
    settings: Settings,
    inputs: Inputs,
    report: watch::Sender<StatusReport>,
) {
    let now = Instant::now();
    let writer = Writer {
        client,
        queue: Queue::new(&settings, now),
        settings: Arc::new(settings),
        inputs,
        report,
        tasks: JoinSet::new(),
        leads_since: None,
        due: None,
        quiet_until: now,
    };
    writer.run().await;
}

struct Writer {
    client: Client,
    settings: Arc<Settings>,
    inputs: Inputs,
    report: watch::Sender<StatusReport>,
    queue: Queue,
    tasks: JoinSet<Done>,
    leads_since: Option<Timestamp>,
    /// When there is to be a pass.
    due: Option<Instant>,
    /// Not before this, however much changes.
    quiet_until: Instant,
}

impl Writer {
    async fn run(mut self) {
        self.follow_leadership();
        self.wake(Instant::now());
        loop {
            self.begin_writes();
            let pass = self.due.map(|due| due.max(self.quiet_until));
            let next = [pass, self.queue.wakes(Instant::now())];
            let next = next.into_iter().flatten().min();
            tokio::select! {
                alive = changed(&mut self.inputs) => match alive {
                    true => self.follow_leadership(),
                    false => return,
                },
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok(done) = done {
                        self.take(done);
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            let now = Instant::now();
            if self.due.is_some_and(|due| now >= due.max(self.quiet_until)) {
                self.pass().await;
            }
        }
    }

    fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Something has changed, whether or not it is the leadership.
    fn follow_leadership(&mut self) {
        let leads = *self.inputs.leads.borrow_and_update();
        if leads && self.leads_since.is_none() {
            self.leads_since = Some(Timestamp::now());
        }
        if !leads && self.leads_since.take().is_some() {
            self.tasks.abort_all();
            self.queue = Queue::new(&self.settings, Instant::now());
        }
        self.report.send_if_modified(|report| {
            let differs = report.leads != leads;
            report.leads = leads;
            differs
        });
        self.wake(Instant::now());
    }

    /// Works out what there is to write.
    async fn pass(&mut self) {
        self.due = None;
        let Some(trust_until) = self.leads_since.map(|since| since + TRUST) else {
            return;
        };
        let Some(outcome) = self.inputs.outcomes.borrow_and_update().clone() else {
            return;
        };
        let view = View {
            outcome,
            statuses: self.inputs.statuses.borrow_and_update().clone(),
            addresses: self.inputs.addresses.borrow_and_update().clone(),
            now: Timestamp::now(),
            trust_until: Some(trust_until),
        };
        let trusting = trust_until.duration_since(view.now);
        let settings = self.settings.clone();
        let start = Instant::now();
        let work = tokio::task::spawn_blocking(move || work::work(&view, &settings)).await;
        let Work { jobs, again } = work.unwrap_or_default();
        let now = Instant::now();
        self.quiet_until = now + PASS.max(4 * (now - start));
        self.queue.put(jobs, now);
        if again {
            self.wake(now + AGAIN);
        }
        if let Ok(trusting) = Duration::try_from(trusting) {
            self.wake(now + trusting);
        }
        self.tell_waiting();
    }

    fn begin_writes(&mut self) {
        let now = Instant::now();
        while let Some(next) = self.queue.next(now) {
            let (client, settings) = (self.client.clone(), self.settings.clone());
            let guard = self.inputs.guard.clone();
            match next {
                Next::Write(job) => self.tasks.spawn(async move {
                    let result = answered(write::write(client, &settings, &guard, &job)).await;
                    Done::Written { job, result }
                }),
                Next::Tell(turn) => self.tasks.spawn(async move {
                    let result = answered(write::tell(client, &settings, &guard, &turn)).await;
                    Done::Told(result)
                }),
            };
        }
    }

    fn take(&mut self, done: Done) {
        let now = Instant::now();
        let Told { verb, fate, words } = self.queue.done(done, now);
        // What was left out while it was written may be due; what failed is to be worked out anew.
        self.wake(now);
        let dropped = self.queue.dropped();
        self.report.send_modify(|report| {
            report.note(verb, fate);
            for _ in 0..dropped {
                report.note(Verb::Event, Fate::Dropped);
            }
            report.last_error = words.or(report.last_error.take());
        });
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        let (waiting, fails) = (self.queue.len(), self.queue.fails());
        self.report.send_if_modified(|report| {
            let differs = report.waiting != waiting || (!fails && report.last_error.is_some());
            report.waiting = waiting;
            report.last_error = report.last_error.take().filter(|_| fails);
            differs
        });
    }
}

/// An answer that does not come keeps nobody else waiting.
async fn answered(write: impl Future<Output = Result<(), WriteError>>) -> Result<(), WriteError> {
    let slow = |_| Err(WriteError::Slow(PATIENCE));
    timeout(PATIENCE, write).await.unwrap_or_else(slow)
}

/// Waits for any input; false where a sender has gone.
async fn changed(inputs: &mut Inputs) -> bool {
    let changed = tokio::select! {
        changed = inputs.outcomes.changed() => changed,
        changed = inputs.statuses.changed() => changed,
        changed = inputs.leads.changed() => changed,
        // Fixed addresses have no sender.
        Ok(()) = inputs.addresses.changed() => Ok(()),
    };
    changed.is_ok()
}
