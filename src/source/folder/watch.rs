use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use notify_debouncer_full::notify::event::{AccessKind, AccessMode};
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, RecommendedCache, new_debouncer,
};
use tokio::sync::watch;

use super::{Folder, Manifests, SourceError};

/// A file is written in several steps; what is read between two of them is half a manifest.
const QUIET: Duration = Duration::from_millis(50);
/// How often it is looked after folders that were removed and made anew, and whether anybody listens.
const ROUND: Duration = Duration::from_secs(1);

/// Reads the manifests, and again whenever they change. The latest content is always at hand; what
/// is equal to it wakes nobody. Ends when all receivers are dropped.
pub fn watch(manifests: Manifests) -> Result<watch::Receiver<Arc<Folder>>, SourceError> {
    let (events, queue) = mpsc::channel();
    let debouncer = new_debouncer(QUIET, None, move |result: DebounceEventResult| {
        // Nobody listens any more: the thread below has ended, and with it this watch.
        let _ = events.send(result);
    })
    .map_err(SourceError::StartWatch)?;
    let mut roots = Roots::new(&manifests.paths, debouncer);
    // Watched first and read then, so that no change falls between the two.
    roots.watch_all()?;
    let mut known = Arc::new(manifests.read());
    let (sender, receiver) = watch::channel(known.clone());
    let rounds = move || {
        while let Some(changed) = roots.wait(&queue) {
            if sender.is_closed() {
                return;
            }
            if !changed {
                continue;
            }
            let found = Arc::new(manifests.reread(&known));
            if !found.locations.read_as(&known.locations) {
                sender.send_replace(found.clone());
            }
            known = found;
        }
    };
    std::thread::Builder::new()
        .name("manifests".into())
        .spawn(rounds)
        .map_err(SourceError::StartThread)?;
    Ok(receiver)
}

/// The watched paths, and which folder each was when its watch began.
struct Roots {
    debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
    roots: Vec<Root>,
}

struct Root {
    path: PathBuf,
    /// Device and inode of what is watched; None while it is not there.
    watched: Option<(u64, u64)>,
}

impl Roots {
    fn new(paths: &[PathBuf], debouncer: Debouncer<RecommendedWatcher, RecommendedCache>) -> Self {
        let roots = paths.iter().filter(|path| path.as_os_str() != "-");
        let roots = roots.map(|path| Root {
            // Events carry absolute paths.
            path: std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            watched: None,
        });
        let roots = roots.collect();
        Self { debouncer, roots }
    }

    fn watch_all(&mut self) -> Result<(), SourceError> {
        for root in &mut self.roots {
            let (folder, mode) = root.watch_point();
            self.debouncer
                .watch(&folder, mode)
                .map_err(|source| SourceError::Watch {
                    path: root.path.clone(),
                    source,
                })?;
            root.watched = identity(&folder);
        }
        Ok(())
    }

    /// Waits for the next batch of events, or a round: whether anything may have changed. None when
    /// no event will ever come.
    fn wait(&mut self, queue: &mpsc::Receiver<DebounceEventResult>) -> Option<bool> {
        let first = match queue.recv_timeout(ROUND) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => return Some(self.rewatch()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let more: Vec<_> = queue.try_iter().collect();
        let changed = std::iter::once(first).chain(more).any(|batch| match batch {
            Ok(events) => events.iter().any(|event| self.concerns(event)),
            // Events were lost: only a look can tell.
            Err(_) => true,
        });
        Some(self.rewatch() || changed)
    }

    fn concerns(&self, event: &DebouncedEvent) -> bool {
        // Reading is an event too, our own included.
        let reading = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        };
        !reading
            && event.paths.iter().any(|path| {
                let concerns = |root: &Root| root.concerned_by(path);
                self.roots.iter().any(concerns)
            })
    }

    /// Watches anew what was replaced since; whether there was such a thing.
    fn rewatch(&mut self) -> bool {
        let mut changed = false;
        for root in &mut self.roots {
            let (folder, mode) = root.watch_point();
            let now = identity(&folder);
            if now == root.watched {
                continue;
            }
            changed = true;
            // Gone with the folder, most likely; what matters is the next line.
            let _ = self.debouncer.unwatch(&folder);
            let watched = self.debouncer.watch(&folder, mode).is_ok();
            root.watched = now.filter(|_| watched);
        }
        changed
    }
}

impl Root {
    /// A folder is watched with all below it; of a file, its folder, since editors and mounted
    /// ConfigMaps replace a file instead of writing to it.
    fn watch_point(&self) -> (PathBuf, RecursiveMode) {
        match self.path.parent() {
            Some(parent) if !self.path.is_dir() && parent.is_dir() => {
                (parent.to_owned(), RecursiveMode::NonRecursive)
            }
            _ => (self.path.clone(), RecursiveMode::Recursive),
        }
    }

    /// Hidden files beside a named file matter only as the `..data` link of a mounted ConfigMap.
    fn concerned_by(&self, path: &Path) -> bool {
        if path.starts_with(&self.path) {
            return true;
        }
        let beside = path.parent() == self.path.parent();
        let name = path.file_name().map(|name| name.as_encoded_bytes());
        beside && name.is_some_and(|name| name.starts_with(b".."))
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
