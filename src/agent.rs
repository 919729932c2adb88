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
mod process;
pub mod resolve;
pub mod words;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::model::diagnostics::Origin;
use crate::plan::{Plan, endpoints_only, plan};
use crate::render::bundle::{Bundle, Revision};

use directory::{Directory, DirectoryError};
use driver::{Driver, DriverError, Verdict, chain};
use resolve::Resolver;

/// Between a failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A proxy that ran this long has not failed at its start.
const STABLE: Duration = Duration::from_secs(30);

/// What became of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Of the bundle that was to be loaded.
    pub revision: Revision,
    /// What differed from the one that ran; empty where none ran.
    pub plan: Arc<Plan>,
    pub kind: LoadKind,
    pub took: Duration,
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
    loaded: Option<Bundle>,
    runs_since: Option<Instant>,
    pause: Duration,
    retry: Option<Instant>,
    grace: Duration,
}

impl<D: Driver> Agent<D> {
    /// `grace` is what open requests get when the agent ends.
    pub fn new(
        driver: D,
        directory: Directory,
        resolver: Resolver,
        bundles: watch::Receiver<Option<Arc<Bundle>>>,
        loads: mpsc::UnboundedSender<Load>,
        grace: Duration,
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
            grace,
        }
    }

    /// Runs until `shutdown` ends or nobody can send bundles any more; then nothing of the proxy is
    /// left. A load under way is given up.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.work() => {}
        }
        self.driver.stop(self.grace).await;
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
            }
        }
    }

    fn ended(&mut self, ended: driver::Ended) {
        let words = match ended.words {
            Some(words) => format!("{} ({words})", ended.status),
            None => ended.status,
        };
        let stable = self.runs_since.take().is_some_and(|s| s.elapsed() > STABLE);
        if stable {
            self.pause = FIRST_PAUSE;
        }
        self.try_later();
        if let Some(loaded) = &self.loaded {
            let revision = loaded.revision();
            self.report(
                revision,
                Plan::default(),
                LoadKind::Ended { words },
                Duration::ZERO,
            );
        }
    }

    fn try_later(&mut self) {
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn report(&self, revision: Revision, plan: Plan, kind: LoadKind, took: Duration) {
        let plan = Arc::new(plan);
        // Whoever does not listen does not want to know.
        let _ = self.loads.send(Load {
            revision,
            plan,
            kind,
            took,
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
        let revision = wanted.revision();
        let differs = match &self.loaded {
            Some(loaded) => plan(loaded, &wanted),
            None => Plan::default(),
        };
        let kind = self.load(&differs, &wanted).await;
        let refused = matches!(kind, LoadKind::Refused { .. });
        self.finish(revision, differs, kind, begun);
        if refused {
            self.load_after_refusal(&wanted).await;
        }
    }

    /// Endpoints go on changing while a structure is refused, and a proxy that ended meanwhile is
    /// started with what it ran.
    async fn load_after_refusal(&mut self, refused: &Bundle) {
        let begun = Instant::now();
        let Some(loaded) = &self.loaded else {
            return;
        };
        let wanted = endpoints_only(loaded, refused);
        let differs = plan(loaded, &wanted);
        if differs.is_nothing() && self.runs_since.is_some() {
            return;
        }
        let kind = self.load(&differs, &wanted).await;
        self.finish(wanted.revision(), differs, kind, begun);
    }

    fn finish(&mut self, revision: Revision, plan: Plan, kind: LoadKind, begun: Instant) {
        match &kind {
            LoadKind::Failed { .. } => self.try_later(),
            LoadKind::Reloaded | LoadKind::Live => self.pause = FIRST_PAUSE,
            _ => {}
        }
        self.report(revision, plan, kind, begun.elapsed());
    }

    async fn load(&mut self, differs: &Plan, wanted: &Bundle) -> LoadKind {
        let runs = self.runs_since.is_some();
        let loaded = if runs && differs.is_nothing() {
            self.loaded = Some(wanted.clone());
            return LoadKind::Nothing;
        } else if runs && self.driver.takes_live(differs) {
            self.update(differs, wanted).await
        } else {
            self.bring_up(wanted).await
        };
        loaded.unwrap_or_else(|error| LoadKind::Failed {
            words: chain(&error),
        })
    }

    /// Files first: a proxy that is started anew at any moment comes up with the same.
    async fn update(&mut self, differs: &Plan, wanted: &Bundle) -> Result<LoadKind, LoadError> {
        self.directory.replace(wanted.files())?;
        self.driver.update(differs, wanted).await?;
        self.loaded = Some(wanted.clone());
        Ok(LoadKind::Live)
    }

    /// Stage, check, swap, reload or start, and go back if the proxy could not follow.
    async fn bring_up(&mut self, wanted: &Bundle) -> Result<LoadKind, LoadError> {
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
        Ok(LoadKind::Started)
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
