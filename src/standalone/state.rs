//! The directory of one run: sockets, files and keys of the proxy. It is removed at the end; a run
//! that was killed leaves one behind, which the next run finds unlocked and removes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "vigie-run-";
const LOCK: &str = "lock";

pub struct State {
    directory: TempDir,
    _lock: File,
}

impl State {
    pub fn new() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        // It gets its name when it is locked, so that no other run finds it unlocked.
        let unnamed = directory.path().join("unnamed");
        let lock = File::create_new(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, directory.path().join(LOCK))?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The directories of runs of ours that go on, in the order of their names.
pub fn running() -> Vec<PathBuf> {
    let alive = |path: &PathBuf| path.join(LOCK).exists() && !is_abandoned(path);
    let mut running: Vec<PathBuf> = ours(&std::env::temp_dir()).filter(alive).collect();
    running.sort();
    running
}

/// Removes directories of ours whose owners are gone.
fn sweep(parent: &Path) {
    for path in ours(parent).filter(|path| is_abandoned(path)) {
        let _ = fs::remove_dir_all(&path);
    }
}

/// What cannot be looked at is somebody else's.
fn ours(parent: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX));
    named.map(|entry| entry.path()).filter(|path| {
        fs::symlink_metadata(path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw())
    })
}

fn is_abandoned(path: &Path) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_with_its_run_and_abandoned_ones_with_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            (path.clone(), File::create_new(path.join(LOCK)).unwrap())
        };
        let (abandoned, lock) = make("vigie-run-a");
        drop(lock);
        let (alive, lock) = make("vigie-run-b");
        lock.lock().unwrap();
        let (other, _lock) = make("other");
        sweep(parent.path());
        assert!(!abandoned.exists() && alive.exists() && other.exists());

        let state = State::new().unwrap();
        let path = state.path().to_path_buf();
        assert!(path.exists());
        drop(state);
        assert!(!path.exists());
    }
}
