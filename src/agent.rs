//! Loads bundles into one proxy on this machine, and keeps it running. The latest bundle counts;
//! those in between are never loaded. A bundle that the proxy refuses changes nothing: the running
//! one stays, on disk and in the proxy, and only endpoints of pools that both have are taken.
//!
//! One task owns the directory and the driver. It must never know snapshots, models or where a
//! bundle comes from.

pub mod directory;
pub mod dns;
pub mod driver;
pub mod haproxy;
pub mod nginx;
pub mod copy;
pub mod mirror;
pub mod loader;
pub mod link;
pub mod follow;
pub mod report;
pub mod serve;
mod process;
pub mod resolve;
pub mod words;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::model::diagnostics::Origin;
use crate::moment::until;
use crate::plan::{Plan, endpoints_only, plan};
use crate::render::bundle::{Bundle, Revision};
use crate::telemetry::chain;

use directory::{Directory, DirectoryError};
use driver::{Aside, Driver, DriverError, Verdict};
use resolve::Resolver;

/// Between a failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A proxy that ran this long has not failed at its start.
const STABLE: Duration = Duration::from_secs(30);

/// How often it is asked whether it still answers, and how often in a row it may not.
const HEARTBEAT: Duration = Duration::from_secs(3);
const MISSED: u8 = 3;

/// When servers that were taken out of service are looked at again.
const TIDY: Duration = Duration::from_millis(500);

/// What became of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Of the bundle that was to be loaded.
    pub revision: Revision,
    /// What differed from the one that ran; empty where none ran.
    pub plan: Arc<Plan>,
    /// Why it could not be done live; empty where it was, or where no proxy ran.
    pub reasons: Vec<String>,
    pub kind: LoadKind,
    pub took: Duration,
    pub aside: Aside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// A proxy was started with it.
    Started,
    /// No proxy could notice a difference.
    Nothing,
    /// Changed in the running proxy.
    Live,
    Reloaded,
    /// The proxy's check refused it; what ran goes on.
    Refused {
        words: String,
        origin: Option<Origin>,
    },
    /// Something of ours or of the machine failed; it is tried again.
    Failed {
        words: String,
    },
    /// The proxy ended by itself; it is started again.
    Ended {
        words: String,
    },
}

impl LoadKind {
    /// Whether the proxy has proven that it runs the bundle.
    pub fn is_loaded(&self) -> bool {
        matches!(
            self,
            Self::Started | Self::Nothing | Self::Live | Self::Reloaded
        )
    }
}

#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// The loop's state: one proxy, its directory, and what both hold.
pub struct Agent<D> {
    driver: D,
    directory: Directory,
    resolver: Resolver,
    bundles: watch::Receiver<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedSender<Load>,
    /// Lies in the directory as current, and runs if the proxy does.
    loaded: Option<Arc<Bundle>>,
    runs_since: Option<Instant>,
    pause: Duration,
    retry: Option<Instant>,
    last_reload: Option<Instant>,
    /// Asked next at that moment; has not answered so often in a row.
    heartbeat: (Instant, u8),
    tidy: Option<Instant>,
    pace: Pace,
}

/// How long things may or must take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two reloads; what changes meanwhile comes with the next one.
    pub between_reloads: Duration,
    /// What open requests get when the agent ends.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            between_reloads: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        }
    }
}

impl<D: Driver> Agent<D> {
    pub fn new(
        driver: D,
        directory: Directory,
        resolver: Resolver,
        bundles: watch::Receiver<Option<Arc<Bundle>>>,
        loads: mpsc::UnboundedSender<Load>,
        pace: Pace,
    ) -> Self {
        Self {
            driver,
            directory,
            resolver,
            bundles,
            loads,
            loaded: None,
            runs_since: None,
            pause: FIRST_PAUSE,
            retry: None,
            last_reload: None,
            heartbeat: (Instant::now(), 0),
            tidy: None,
            pace,
        }
    }

    /// Runs until `shutdown` ends or nobody can send bundles any more; then nothing of the proxy is
    /// left. A load under way is given up.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.work() => {}
        }
        self.driver.stop(self.pace.grace).await;
    }

    async fn work(&mut self) {
        self.bundles.mark_changed();
        loop {
            tokio::select! {
                ended = self.driver.ended(), if self.runs_since.is_some() => self.ended(ended),
                changed = self.bundles.changed() => match changed {
                    Ok(()) => self.load_latest().await,
                    Err(_) => return,
                },
                () = self.resolver.changed() => self.load_latest().await,
                () = until(self.retry) => self.load_latest().await,
                () = until(self.tidy) => {
                    let more = self.driver.tidy().await;
                    self.tidy = more.then(|| Instant::now() + TIDY);
                }
                () = sleep_until(self.heartbeat.0), if self.runs_since.is_some() => {
                    self.feel_pulse().await;
                }
            }
        }
    }

    fn ended(&mut self, ended: driver::Ended) {
        let words = match ended.words {
            Some(words) => format!("{} ({words})", ended.status),
            None => ended.status,
        };
        self.proxy_is_gone(words);
    }

    /// A proxy that has not answered several times in a row hangs, and is ended.
    async fn feel_pulse(&mut self) {
        let missed = match self.driver.answers().await {
            true => 0,
            false => self.heartbeat.1 + 1,
        };
        self.heartbeat = (Instant::now() + HEARTBEAT, missed);
        if missed >= MISSED {
            self.driver.stop(Duration::ZERO).await;
            self.proxy_is_gone(format!("it did not answer {missed} times in a row"));
        }
    }

    fn proxy_is_gone(&mut self, words: String) {
        let stable = self.runs_since.take().is_some_and(|s| s.elapsed() > STABLE);
        if stable {
            self.pause = FIRST_PAUSE;
        }
        self.try_later();
        if let Some(loaded) = &self.loaded {
            let revision = loaded.revision();
            let kind = LoadKind::Ended { words };
            self.report(revision, Plan::default(), Vec::new(), kind, Duration::ZERO);
        }
    }

    fn try_later(&mut self) {
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn report(
        &mut self,
        revision: Revision,
        plan: Plan,
        reasons: Vec<String>,
        kind: LoadKind,
        took: Duration,
    ) {
        let plan = Arc::new(plan);
        // Whoever does not listen does not want to know.
        let _ = self.loads.send(Load {
            revision,
            plan,
            reasons,
            kind,
            took,
            aside: self.driver.aside(),
        });
    }

    /// Loads the newest bundle, and sees to it that a proxy runs, be it with the last good one.
    async fn load_latest(&mut self) {
        let begun = Instant::now();
        self.retry = None;
        let latest = self.bundles.borrow_and_update().clone();
        let Some(latest) = latest else {
            return;
        };
        let wanted = self.resolver.fill(&latest).await;
        if let Some(moment) = self.next_reload(&wanted) {
            self.retry = Some(moment);
            return self.load_endpoints(&wanted).await;
        }
        let refused = self.load(&wanted, begun).await;
        if refused {
            self.load_endpoints(&wanted).await;
        }
    }

    /// When a bundle may be loaded that needs a reload; None for now.
    fn next_reload(&self, wanted: &Bundle) -> Option<Instant> {
        let (loaded, _) = self.loaded.as_ref().zip(self.runs_since)?;
        let moment = self.last_reload? + self.pace.between_reloads;
        let must_wait = moment > Instant::now() && !self.reasons(&plan(loaded, wanted)).is_empty();
        must_wait.then_some(moment)
    }

    fn reasons(&self, differs: &Plan) -> Vec<String> {
        let reasons = differs.reasons(|part| self.driver.takes(part));
        reasons.map(ToString::to_string).collect()
    }

    /// Endpoints go on changing while a structure is refused or waits for its reload, and a proxy that
    /// ended meanwhile is started with what it ran.
    async fn load_endpoints(&mut self, newer: &Bundle) {
        let Some(loaded) = &self.loaded else {
            return;
        };
        let wanted = Arc::new(endpoints_only(loaded, newer));
        if plan(loaded, &wanted).is_nothing() && self.runs_since.is_some() {
            return;
        }
        self.load(&wanted, Instant::now()).await;
    }

    /// Loads a bundle, reports what came of it, and says whether it was refused.
    async fn load(&mut self, wanted: &Arc<Bundle>, begun: Instant) -> bool {
        let differs = match &self.loaded {
            Some(loaded) => plan(loaded, wanted),
            None => Plan::default(),
        };
        let runs = self.runs_since.is_some();
        let mut reasons = match runs {
            true => self.reasons(&differs),
            false => Vec::new(),
        };
        let loaded = if runs && differs.is_nothing() {
            self.loaded = Some(wanted.clone());
            Ok(LoadKind::Nothing)
        } else if runs && reasons.is_empty() {
            self.update(&differs, wanted, &mut reasons).await
        } else {
            self.bring_up(wanted).await
        };
        let kind = loaded.unwrap_or_else(|error| LoadKind::Failed {
            words: chain(&error),
        });
        match &kind {
            LoadKind::Failed { .. } => self.try_later(),
            LoadKind::Reloaded | LoadKind::Live => self.pause = FIRST_PAUSE,
            _ => {}
        }
        let refused = matches!(kind, LoadKind::Refused { .. });
        self.report(wanted.revision(), differs, reasons, kind, begun.elapsed());
        refused
    }

    /// Files first: a proxy that is started anew at any moment comes up with the same. Where the proxy
    /// does not take it all, the files go back and a reload decides: it leaves nothing half done.
    async fn update(
        &mut self,
        differs: &Plan,
        wanted: &Arc<Bundle>,
        reasons: &mut Vec<String>,
    ) -> Result<LoadKind, LoadError> {
        let Some(old) = self.loaded.clone() else {
            return self.bring_up(wanted).await;
        };
        let files = differs.files(wanted);
        let updated = match self.directory.replace(&files, wanted) {
            Ok(()) => self.driver.update(differs, &old, wanted).await,
            Err(error) => {
                // A directory that somebody has removed is made anew by a reload.
                let _ = self.directory.replace(&files, &old);
                reasons.push(chain(&error));
                return self.bring_up(wanted).await;
            }
        };
        let Err(error) = updated else {
            self.loaded = Some(wanted.clone());
            // Not put off by further changes, which may never end.
            self.tidy.get_or_insert_with(|| Instant::now() + TIDY);
            return Ok(LoadKind::Live);
        };
        reasons.push(chain(&error));
        self.directory.replace(&files, &old)?;
        let brought_up = self.bring_up(wanted).await;
        if !matches!(brought_up, Ok(LoadKind::Reloaded)) {
            self.driver.reload(&old).await?;
        }
        brought_up
    }

    /// Stage, check, swap, reload or start, and go back if the proxy could not follow.
    async fn bring_up(&mut self, wanted: &Arc<Bundle>) -> Result<LoadKind, LoadError> {
        let staged = self.directory.stage(wanted)?;
        match self.driver.check(staged.path(), wanted).await {
            Ok(Verdict::Accepted) => {}
            Ok(Verdict::Refused(refusal)) => {
                self.directory.discard(staged)?;
                return Ok(LoadKind::Refused {
                    origin: refusal.origin(wanted),
                    words: refusal.words,
                });
            }
            Err(error) => {
                self.directory.discard(staged)?;
                return Err(error.into());
            }
        }
        self.directory.swap(staged)?;
        let runs = self.runs_since.is_some();
        let brought = if runs {
            self.last_reload = Some(Instant::now());
            self.driver.reload(wanted).await
        } else {
            self.driver.start(wanted).await
        };
        if let Err(error) = brought {
            if !runs {
                self.driver.stop(Duration::ZERO).await;
            }
            self.directory.revert()?;
            return Err(error.into());
        }
        self.loaded = Some(wanted.clone());
        self.directory.settle()?;
        if runs {
            return Ok(LoadKind::Reloaded);
        }
        self.runs_since = Some(Instant::now());
        self.heartbeat = (Instant::now() + HEARTBEAT, 0);
        Ok(LoadKind::Started)
    }
}

#[cfg(test)]
mod tests;
