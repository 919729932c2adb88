//! What waits to be written, and what keeps it waiting: its rank, the budget, what was written of the
//! same object before, and how that went.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use super::Settings;
use super::budget::Bucket;
use super::events::Turn;
use super::report::{Fate, Verb};
use super::work::{Job, Rank, Target, Write};
use super::write::{WriteError, verb};
use crate::api::route_health::RouteHealthStatus;

/// Figures alone may be this old.
const COUNTS: Duration = Duration::from_secs(30);
/// Of one object: so many a second after the first few. A new generation is always told at once.
const PER_OBJECT: (f64, f64) = (0.1, 3.0);
const ADDRESSES: (f64, f64) = (50.0, 200.0);
const EVENTS: (f64, f64) = (10.0, 50.0);
const MOST_EVENTS: usize = 500;
/// Writes at the same time.
const STATUS_HANDS: usize = 8;
const ADDRESS_HANDS: usize = 4;
const EVENT_HANDS: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// After what will hardly go better soon.
const LASTING_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

pub struct Queue {
    jobs: BTreeMap<(Rank, Target), Job>,
    turns: VecDeque<Turn>,
    tracks: BTreeMap<Target, Track>,
    statuses: Lane,
    addresses: Lane,
    events: Lane,
    dropped: usize,
}

/// What has a budget, and hands, of its own.
struct Lane {
    budget: Bucket,
    hands: usize,
    busy: usize,
}

impl Lane {
    fn new((per_second, burst): (f64, f64), hands: usize, now: Instant) -> Self {
        let budget = Bucket::new(per_second, burst, now);
        let busy = 0;
        Self {
            budget,
            hands,
            busy,
        }
    }

    fn is_open(&mut self, now: Instant) -> bool {
        self.busy < self.hands && self.budget.has(now)
    }

    fn begin(&mut self, now: Instant) {
        self.budget.take(now);
        self.busy += 1;
    }

    /// When the next may begin; None where that depends on what is being done.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        (self.busy < self.hands).then(|| self.budget.next(now))
    }
}

/// What is remembered of one object.
struct Track {
    in_flight: bool,
    /// What was written last, and on top of which version: until another one is seen, that stands.
    written: Option<(Option<String>, Write)>,
    /// The turn that was told last, and on top of which version.
    told: Option<(Option<String>, Turn)>,
    failures: u32,
    not_before: Option<Instant>,
    /// Since when its figures are old.
    stale_since: Option<Instant>,
    budget: Bucket,
}

pub enum Next {
    Write(Box<Job>),
    Tell(Box<Turn>),
}

pub enum Done {
    Written {
        job: Box<Job>,
        result: Result<(), WriteError>,
    },
    Told(Result<(), WriteError>),
}

/// How a write went.
pub struct Told {
    pub verb: Verb,
    pub fate: Fate,
    /// Of a failure.
    pub words: Option<String>,
}

impl Track {
    fn new(now: Instant) -> Self {
        Self {
            in_flight: false,
            written: None,
            told: None,
            failures: 0,
            not_before: None,
            stale_since: None,
            budget: Bucket::new(PER_OBJECT.0, PER_OBJECT.1, now),
        }
    }

    /// Whether what was written last was written on top of this version.
    fn is_on(&self, base: &Option<String>) -> bool {
        self.written.as_ref().is_some_and(|(on, _)| on == base)
    }

    fn was_written(&self, job: &Job) -> bool {
        let written = self.written.as_ref();
        self.is_on(&job.base) && written.is_some_and(|(_, write)| is_same(write, &job.write))
    }

    /// Whether that was told already, of a status that the watch has not shown yet.
    fn has_told(&self, job: &Job) -> bool {
        let told = self.told.as_ref().filter(|(on, _)| *on == job.base);
        let same = told.zip(job.turn.as_ref());
        same.is_some_and(|((_, told), turn)| turn.is_good == told.is_good)
    }

    /// When the job may begin, as far as the object itself is concerned.
    fn ready(&mut self, rank: Rank, now: Instant) -> Instant {
        let mut ready = self.not_before.unwrap_or(now);
        if rank == Rank::Count {
            ready = ready.max(*self.stale_since.get_or_insert(now) + COUNTS);
        }
        if matches!(rank, Rank::Flip | Rank::Count) && !self.budget.has(now) {
            ready = ready.max(self.budget.next(now));
        }
        ready
    }
}

/// Whether two writes would leave the same.
fn is_same(a: &Write, b: &Write) -> bool {
    match (a, b) {
        (Write::Status { wanted: a, .. }, Write::Status { wanted: b, .. }) => timeless(a, b),
        (a, b) => a == b,
    }
}

/// Whether two statuses say the same, whenever it began: that moment is not known before it was read
/// back.
fn timeless(a: &RouteHealthStatus, b: &RouteHealthStatus) -> bool {
    let without = |status: &RouteHealthStatus| {
        let mut status = status.clone();
        let of_rows = status.routes.iter_mut().flat_map(|row| &mut row.conditions);
        for condition in status.conditions.iter_mut().chain(of_rows) {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    without(a) == without(b)
}

impl Queue {
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let (rate, burst) = (settings.writes_per_second, settings.burst);
        Self {
            jobs: BTreeMap::new(),
            turns: VecDeque::new(),
            tracks: BTreeMap::new(),
            statuses: Lane::new((f64::from(rate), f64::from(burst)), STATUS_HANDS, now),
            addresses: Lane::new(ADDRESSES, ADDRESS_HANDS, now),
            events: Lane::new(EVENTS, EVENT_HANDS, now),
            dropped: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.jobs.len() + self.turns.len()
    }

    /// Whether a write has failed that is not made up for.
    pub fn fails(&self) -> bool {
        self.tracks.values().any(|track| track.failures > 0)
    }

    /// Events that were dropped since this was asked last.
    pub fn dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    /// Takes all that there is to write now; what was to be written before and is not any more is
    /// forgotten.
    pub fn put(&mut self, jobs: Vec<Job>, now: Instant) {
        self.jobs.clear();
        let mut unseen = BTreeSet::new();
        for mut job in jobs {
            if let Some(track) = self.tracks.get(&job.target) {
                if track.is_on(&job.base) {
                    unseen.insert(job.target.clone());
                }
                if track.in_flight || track.was_written(&job) {
                    continue;
                }
                if track.has_told(&job) {
                    job.turn = None;
                }
            }
            self.jobs.insert((job.rank, job.target.clone()), job);
        }
        for (target, track) in &mut self.tracks {
            if !unseen.contains(target) {
                track.written = None;
            }
        }
        self.note_counts(now);
        self.tracks.retain(|_, track| {
            let idle = !track.in_flight && track.written.is_none() && track.stale_since.is_none();
            let waits = track
                .not_before
                .is_some_and(|until| now < until + LONGEST_PAUSE);
            !idle || waits || !track.budget.is_full(now)
        });
    }

    /// Figures grow old from the first pass on that finds them so.
    fn note_counts(&mut self, now: Instant) {
        let counted = self.jobs.keys().filter(|(rank, _)| *rank == Rank::Count);
        let counted: Vec<Target> = counted.map(|(_, target)| target.clone()).collect();
        for (target, track) in &mut self.tracks {
            if counted.binary_search(target).is_err() {
                track.stale_since = None;
            }
        }
        for target in counted {
            let track = self.track(target, now);
            track.stale_since.get_or_insert(now);
        }
    }

    fn track(&mut self, target: Target, now: Instant) -> &mut Track {
        self.tracks.entry(target).or_insert_with(|| Track::new(now))
    }

    /// The next thing that may be done now.
    pub fn next(&mut self, now: Instant) -> Option<Next> {
        if !self.turns.is_empty() && self.events.is_open(now) {
            self.events.begin(now);
            let turn = self.turns.pop_front();
            return turn.map(|turn| Next::Tell(Box::new(turn)));
        }
        let key = self.startable(now)?;
        let job = self.jobs.remove(&key)?;
        self.lane(&job.target).begin(now);
        let track = self.track(job.target.clone(), now);
        track.in_flight = true;
        if matches!(job.write, Write::Status { .. }) {
            track.budget.take(now);
        }
        Some(Next::Write(Box::new(job)))
    }

    fn lane(&mut self, target: &Target) -> &mut Lane {
        match target {
            Target::RouteHealth(_) => &mut self.statuses,
            Target::Ingress(_) => &mut self.addresses,
        }
    }

    fn startable(&mut self, now: Instant) -> Option<(Rank, Target)> {
        let (statuses, addresses) = (self.statuses.is_open(now), self.addresses.is_open(now));
        let tracks = &mut self.tracks;
        let mut startable = self.jobs.keys().filter(|(rank, target)| {
            let is_open = match target {
                Target::RouteHealth(_) => statuses,
                Target::Ingress(_) => addresses,
            };
            let track = if is_open {
                tracks.get_mut(target)
            } else {
                None
            };
            is_open && track.is_none_or(|t| !t.in_flight && t.ready(*rank, now) <= now)
        });
        match statuses || addresses {
            true => startable.next().cloned(),
            false => None,
        }
    }

    /// When something that waits may begin; None where that depends on what is being done.
    pub fn wakes(&mut self, now: Instant) -> Option<Instant> {
        let turn = (!self.turns.is_empty()).then(|| self.events.next(now));
        let (statuses, addresses) = (self.statuses.next(now), self.addresses.next(now));
        let least = statuses.into_iter().chain(addresses).min()?;
        let mut soonest = turn.flatten();
        for (rank, target) in self.jobs.keys() {
            let open = match target {
                Target::RouteHealth(_) => statuses,
                Target::Ingress(_) => addresses,
            };
            let (Some(open), track) = (open, self.tracks.get_mut(target)) else {
                continue;
            };
            let at = match track {
                // It wakes us when it is done.
                Some(track) if track.in_flight => continue,
                Some(track) => open.max(track.ready(*rank, now)),
                None => open,
            };
            soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
            if at <= least {
                break;
            }
        }
        soonest
    }

    /// Learns how something went.
    pub fn done(&mut self, done: Done, now: Instant) -> Told {
        let (verb, result) = match done {
            Done::Told(result) => {
                self.events.busy = self.events.busy.saturating_sub(1);
                (Verb::Event, result)
            }
            Done::Written { job, result } => (verb(&job.write), self.written(*job, result, now)),
        };
        match result {
            Ok(()) => Told {
                verb,
                fate: Fate::Done,
                words: None,
            },
            Err(error) => Told {
                verb,
                fate: Fate::of(&error),
                words: Some(words(&error)),
            },
        }
    }

    fn written(
        &mut self,
        job: Job,
        result: Result<(), WriteError>,
        now: Instant,
    ) -> Result<(), WriteError> {
        let lane = self.lane(&job.target);
        lane.busy = lane.busy.saturating_sub(1);
        let track = self.track(job.target, now);
        track.in_flight = false;
        match &result {
            Ok(()) => {
                track.failures = 0;
                track.not_before = None;
                track.stale_since = None;
                if let Some(turn) = &job.turn {
                    track.told = Some((job.base.clone(), turn.clone()));
                }
                track.written = Some((job.base, job.write));
                if let Some(turn) = job.turn {
                    self.turns.push_back(turn);
                }
                if self.turns.len() > MOST_EVENTS && self.turns.pop_front().is_some() {
                    self.dropped += 1;
                }
            }
            Err(error) => {
                let pause = match Fate::of(error).is_lasting() {
                    true => LASTING_PAUSE,
                    false => FIRST_PAUSE,
                };
                let pause = pause.saturating_mul(1 << track.failures.min(8));
                track.failures += 1;
                track.not_before = Some(now + pause.min(LONGEST_PAUSE));
            }
        }
        result
    }
}

fn words(error: &WriteError) -> String {
    match error {
        WriteError::Api(kube::Error::Api(status)) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
