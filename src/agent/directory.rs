//! Puts a bundle's files on disk. A directory holds generations side by side; `current` names the one
//! that runs and is swapped by one rename, so whoever starts the proxy finds the whole old bundle or
//! the whole new one. Unchanged files are hard links into the generation before: nothing is written
//! twice, and a proxy that compares inodes sees that they are the same.
//!
//! ```text
//! ROOT/current -> generation-7      what runs
//! ROOT/generation-7/…               files of the bundle
//! ROOT/generation-7/run -> ../run   so that `run/…` means the same from everywhere
//! ROOT/run/                         sockets and temporary files of the proxy; survives generations
//! ```
//!
//! Nothing here calls fsync: after a crash of the machine the bundle is fetched again, and after a
//! crash of a process the kernel still has the pages. It must never know a proxy.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::render::bundle::{Bundle, Content, FileName, FileText};

/// A unix socket's path has at most 107 octets; the longest name below a root needs 27.
const LONGEST_ROOT: usize = 80;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(
        "cannot use the directory {0}: its path is longer than {LONGEST_ROOT} characters, too long for the sockets in it"
    )]
    PathTooLong(PathBuf),
    #[error(
        "cannot load a bundle with a file named {0:?}: names stay below the bundle's directory"
    )]
    UnsafeName(String),
    #[error("cannot create the directory {path}")]
    CreateDirectory { path: PathBuf, source: io::Error },
    #[error("cannot write {path}")]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("cannot make {path} the running configuration")]
    Swap { path: PathBuf, source: io::Error },
    #[error("cannot remove {path}")]
    Remove { path: PathBuf, source: io::Error },
}

pub struct Directory {
    root: PathBuf,
    /// The generation that `current` names, with the files in it.
    current: Option<Generation>,
    /// The one before, kept until the proxy has proven that it runs the current one.
    previous: Option<Generation>,
    /// Certificates of the one before that the current one has not: until the proxy has followed, it
    /// reads them by their names as they are needed.
    kept: Vec<PathBuf>,
    next: u64,
}

/// A bundle that lies on disk beside the running one.
pub struct Staged(Generation);

struct Generation {
    path: PathBuf,
    /// What the files hold, but for those named below.
    bundle: Arc<Bundle>,
    /// Files whose replacement has failed; nobody knows what they hold.
    unsure: BTreeSet<FileName>,
}

impl Generation {
    /// Whether a file lies here as another bundle has it.
    fn holds(&self, name: &str, bundle: &Bundle) -> bool {
        !self.unsure.contains(name) && self.bundle.has_same_file(bundle, name)
    }

    fn replace(&self, name: &str, new: &Bundle, beside: &Path) -> Result<(), DirectoryError> {
        let target = self.path.join(safe(name)?);
        let Some(text) = new.file(name) else {
            return remove(&target);
        };
        let _ = fs::remove_file(beside);
        write(beside, &text)?;
        let replace = || {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(beside, &target)
        };
        replace().map_err(|source| DirectoryError::WriteFile {
            path: target.clone(),
            source,
        })
    }
}

impl Staged {
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

impl Directory {
    /// Takes a directory over, and removes what an earlier owner left in it.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let root = root.to_path_buf();
        if root.as_os_str().len() > LONGEST_ROOT {
            return Err(DirectoryError::PathTooLong(root));
        }
        create_directory(&root)?;
        let directory = Self {
            root,
            current: None,
            previous: None,
            kept: Vec::new(),
            next: 1,
        };
        directory.clear()?;
        create_directory(&directory.run())?;
        Ok(directory)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bundle that runs, by a path that stays the same.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Sockets and temporary files of the proxy.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Writes a bundle beside the running one. On an error nothing of it stays.
    pub fn stage(&mut self, bundle: &Arc<Bundle>) -> Result<Staged, DirectoryError> {
        let path = self.root.join(format!("generation-{}", self.next));
        self.next += 1;
        if let Err(error) = self.write_all(&path, bundle) {
            let _ = fs::remove_dir_all(&path);
            return Err(error);
        }
        Ok(Staged(Generation {
            path,
            bundle: bundle.clone(),
            unsure: BTreeSet::new(),
        }))
    }

    fn write_all(&self, path: &Path, bundle: &Bundle) -> Result<(), DirectoryError> {
        create_directory(path)?;
        // Somebody may have removed it.
        create_directory(&self.run())?;
        let link = path.join("run");
        symlink("../run", &link)
            .map_err(|source| DirectoryError::WriteFile { path: link, source })?;
        let mut folder = path.to_path_buf();
        for (name, content) in &bundle.structure {
            let target = path.join(safe(name)?);
            // Files of one folder stand together.
            if let Some(parent) = target.parent().filter(|parent| *parent != folder) {
                create_directory(parent)?;
                folder = parent.to_path_buf();
            }
            let same = self.current.as_ref().filter(|c| c.holds(name, bundle));
            let linked = same.is_some_and(|c| fs::hard_link(c.path.join(name), &target).is_ok());
            if !linked {
                write(&target, &bundle.text(content))?;
            }
        }
        Ok(())
    }

    /// Removes a bundle that is not to run.
    pub fn discard(&self, staged: Staged) -> Result<(), DirectoryError> {
        remove(&staged.0.path)
    }

    /// Makes a staged bundle the one that a starting or reloading proxy reads.
    pub fn swap(&mut self, staged: Staged) -> Result<(), DirectoryError> {
        self.keep_certificates(&staged.0);
        self.point_to(&staged.0.path)?;
        self.previous = self.current.replace(staged.0);
        Ok(())
    }

    fn keep_certificates(&mut self, next: &Generation) {
        self.kept.clear();
        let Some(current) = &self.current else {
            return;
        };
        let structure = &next.bundle.structure;
        let gone = |(name, content): &(&String, &Content)| {
            matches!(content, Content::Private(_)) && !structure.contains_key(*name)
        };
        for (name, _) in current.bundle.structure.iter().filter(gone) {
            let target = next.path.join(name);
            if let Some(parent) = target.parent() {
                let _ = create_directory(parent);
            }
            // Where that fails, handshakes fail for a moment.
            if fs::hard_link(current.path.join(name), &target).is_ok() {
                self.kept.push(target);
            }
        }
    }

    /// Goes back to the bundle before the last swap, if there is one.
    pub fn revert(&mut self) -> Result<(), DirectoryError> {
        let Some(previous) = self.previous.take() else {
            return Ok(());
        };
        self.point_to(&previous.path)?;
        match self.current.replace(previous) {
            Some(refused) => remove(&refused.path),
            None => Ok(()),
        }
    }

    /// Forgets the bundle before: the proxy has proven that it runs the current one.
    pub fn settle(&mut self) -> Result<(), DirectoryError> {
        for path in std::mem::take(&mut self.kept) {
            remove(&path)?;
        }
        match self.previous.take() {
            Some(previous) => remove(&previous.path),
            None => Ok(()),
        }
    }

    /// Makes the running bundle another one by replacing the files that differ, which are named; each
    /// by a rename. A file that the other has not is removed. After an error some of them may be
    /// replaced, until they are replaced again.
    pub fn replace(
        &mut self,
        names: &BTreeSet<&str>,
        new: &Arc<Bundle>,
    ) -> Result<(), DirectoryError> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let beside = self.root.join("replacement");
        for &name in names {
            if !current.holds(name, new) {
                current.unsure.insert(name.to_owned());
                current.replace(name, new, &beside)?;
            }
        }
        current.unsure.retain(|name| !names.contains(name.as_str()));
        current.bundle = new.clone();
        Ok(())
    }

    fn point_to(&self, generation: &Path) -> Result<(), DirectoryError> {
        let link = self.current();
        let beside = self.root.join("next");
        let swap = || {
            let _ = fs::remove_file(&beside);
            symlink(generation.file_name().unwrap_or_default(), &beside)?;
            fs::rename(&beside, &link)
        };
        swap().map_err(|source| DirectoryError::Swap {
            path: generation.to_path_buf(),
            source,
        })
    }

    fn clear(&self) -> Result<(), DirectoryError> {
        let failed = |source| DirectoryError::Remove {
            path: self.root.clone(),
            source,
        };
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = ["current", "next", "replacement", "run"].contains(&name.as_ref());
            if ours || name.starts_with("generation-") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// The wire could bring any name; only plain ones below the directory are written.
fn safe(name: &str) -> Result<&Path, DirectoryError> {
    let path = Path::new(name);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if plain && !name.is_empty() && !path.starts_with("run") {
        Ok(path)
    } else {
        Err(DirectoryError::UnsafeName(name.to_owned()))
    }
}

fn create_directory(path: &Path) -> Result<(), DirectoryError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| DirectoryError::CreateDirectory {
            path: path.to_path_buf(),
            source,
        })
}

fn write(path: &Path, text: &FileText) -> Result<(), DirectoryError> {
    let mode = match text {
        FileText::Public(_) => 0o644,
        FileText::Private(_) => 0o600,
    };
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        // The umask may have taken bits away; what the proxy reads does not depend on it.
        file.set_permissions(Permissions::from_mode(mode))
    };
    write().map_err(|source| DirectoryError::WriteFile {
        path: path.to_path_buf(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), DirectoryError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| DirectoryError::Remove {
            path: path.to_path_buf(),
            source,
        }),
    }
}
