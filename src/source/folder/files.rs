use std::io::Read;
use std::path::{Path, PathBuf};

use super::Folder;

/// One file is read up to here.
const FILE_LIMIT: u64 = 512 << 20;
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// How standard input is named among the paths, and in findings.
const STDIN: &str = "-";
const STDIN_NAME: &str = "standard input";

/// A file's name, as findings show it, and its content, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub content: Result<Vec<u8>, String>,
}

/// The files and folders to read. Standard input (`-`) is read once, when it is opened.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    pub(super) paths: Vec<PathBuf>,
    stdin: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {}", path.display())]
    OpenPath {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot read standard input")]
    ReadStdin(#[source] std::io::Error),
    #[error("cannot watch {}", path.display())]
    Watch {
        path: PathBuf,
        source: notify_debouncer_full::notify::Error,
    },
    #[error("cannot start to watch files")]
    StartWatch(#[source] notify_debouncer_full::notify::Error),
    #[error("cannot start a thread")]
    StartThread(#[source] std::io::Error),
}

impl Manifests {
    /// Checks that every path is there, and reads standard input where it is one of them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, SourceError> {
        let mut manifests = Self::default();
        for path in paths {
            if path.as_os_str() == STDIN {
                let mut bytes = Vec::new();
                let mut input = std::io::stdin().lock().take(FILE_LIMIT);
                input
                    .read_to_end(&mut bytes)
                    .map_err(SourceError::ReadStdin)?;
                manifests.stdin = Some(bytes);
            } else if let Err(source) = std::fs::metadata(path) {
                let path = path.clone();
                return Err(SourceError::OpenPath { path, source });
            }
            manifests.paths.push(path.clone());
        }
        Ok(manifests)
    }

    /// Reads everything anew.
    pub fn read(&self) -> Folder {
        Folder::of(self.files())
    }

    /// The files as they are now: paths in the order given, a folder's files sorted by name.
    pub fn files(&self) -> Vec<File> {
        let mut files = Vec::new();
        for path in &self.paths {
            match &self.stdin {
                Some(bytes) if path.as_os_str() == STDIN => files.push(File {
                    name: STDIN_NAME.into(),
                    content: Ok(bytes.clone()),
                }),
                _ if path.is_dir() => walk(path, &mut files),
                _ => files.push(read(path)),
            }
        }
        // A file may be named twice, or lie in a folder that is named too.
        let mut seen = std::collections::BTreeSet::new();
        files.retain(|file| seen.insert(file.name.clone()));
        files
    }
}

/// A folder's manifests, then those of its folders. Hidden ones are skipped: they are an editor's, a
/// repository's, or the inner folders of a mounted ConfigMap, whose files are linked to from above.
fn walk(folder: &Path, files: &mut Vec<File>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return files.push(unreadable(folder, &error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if is_hidden(&path) {
            continue;
        }
        // Links to files are followed, links to folders are not: they could lead in a circle.
        let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
        if is_folder {
            walk(&path, files);
        } else if is_manifest(&path) && path.metadata().map_or(true, |m| m.is_file()) {
            files.push(read(&path));
        }
    }
}

pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| EXTENSIONS.contains(&e))
}

fn read(path: &Path) -> File {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => unreadable(path, &error),
        Ok(length) if length as u64 > FILE_LIMIT => File {
            name: name(path),
            content: Err(format!("it is larger than {} MiB", FILE_LIMIT >> 20)),
        },
        Ok(_) => File {
            name: name(path),
            content: Ok(bytes),
        },
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> File {
    File {
        name: name(path),
        content: Err(format!("it cannot be read: {error}")),
    }
}

/// A path as it may be printed.
fn name(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
