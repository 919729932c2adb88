use std::collections::HashSet;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Folder;
use super::documents::SourceFile;
use super::merge::merge;

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

/// What the file system says of a file: where nothing of it differs, the content does not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Two changes within this time may leave the same stamp: file systems count time in steps.
const STEP: Duration = Duration::from_secs(2);

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

    /// Reads everything.
    pub fn read(&self) -> Folder {
        self.reread(&Folder::default())
    }

    /// The same as [`Manifests::read`]; files that have not changed since `known` was read are not
    /// opened.
    pub fn reread(&self, known: &Folder) -> Folder {
        let source = |found: Found| {
            let before = known.locations.file(&found.name);
            let same = |file: &&Arc<SourceFile>| found.stamp.is_some() && found.stamp == file.stamp;
            if let Some(same) = before.filter(same) {
                return same.clone();
            }
            let stamp = found.stamp;
            let mut source = SourceFile::of(found.read(), before.map(AsRef::as_ref));
            source.stamp = stamp;
            Arc::new(source)
        };
        merge(known, self.find().into_iter().map(source).collect())
    }

    /// The files as they are now: paths in the order given, a folder's files sorted by name.
    pub fn files(&self) -> Vec<File> {
        self.find().into_iter().map(Found::read).collect()
    }

    fn find(&self) -> Vec<Found> {
        let mut files = Vec::new();
        for path in &self.paths {
            match &self.stdin {
                Some(bytes) if path.as_os_str() == STDIN => files.push(Found {
                    name: STDIN_NAME.into(),
                    stamp: None,
                    content: Content::Read(Ok(bytes.clone())),
                }),
                _ if path.is_dir() => walk(path, &mut files),
                _ => files.push(Found::at(path.clone(), path.metadata().ok())),
            }
        }
        // A file may be named twice, or lie in a folder that is named too.
        let mut seen = HashSet::new();
        files.retain(|file| seen.insert(file.name.clone()));
        files
    }
}

/// A file that is there.
struct Found {
    name: String,
    /// None where it cannot tell whether the file has changed.
    stamp: Option<Stamp>,
    content: Content,
}

enum Content {
    Read(Result<Vec<u8>, String>),
    On(PathBuf),
}

impl Found {
    fn at(path: PathBuf, metadata: Option<Metadata>) -> Self {
        Self {
            name: name(&path),
            stamp: metadata.as_ref().and_then(Stamp::of),
            content: Content::On(path),
        }
    }

    fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            name: name(path),
            stamp: None,
            content: Content::Read(Err(unreadable(error))),
        }
    }

    fn read(self) -> File {
        File {
            name: self.name,
            content: match self.content {
                Content::Read(content) => content,
                Content::On(path) => read(&path),
            },
        }
    }
}

impl Stamp {
    /// None of a file that has only just changed.
    fn of(metadata: &Metadata) -> Option<Self> {
        let changed = u64::try_from(metadata.ctime()).ok()?;
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
        let age = SystemTime::now().duration_since(changed).ok()?;
        (age > STEP).then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A folder's manifests, then those of its folders. Hidden ones are skipped: they are an editor's, a
/// repository's, or the inner folders of a mounted ConfigMap, whose files are linked to from above.
fn walk(folder: &Path, files: &mut Vec<Found>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return files.push(Found::unreadable(folder, &error)),
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_cached_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if is_hidden(&path) {
            continue;
        }
        // Links to files are followed, links to folders are not: they could lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, files);
        } else if is_manifest(&path) {
            let metadata = path.metadata().ok();
            if metadata.as_ref().is_none_or(Metadata::is_file) {
                files.push(Found::at(path, metadata));
            }
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

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(unreadable(&error)),
        Ok(length) if length as u64 > FILE_LIMIT => {
            Err(format!("it is larger than {} MiB", FILE_LIMIT >> 20))
        }
        Ok(_) => Ok(bytes),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// A path as it may be printed.
fn name(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
