use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

use crate::render::bundle::FileText;

/// Lies in every folder that was written so, and lists what was written.
const MARKER: &str = ".vigie-render";

/// A folder that may be written to, and what an earlier run left in it.
pub struct Directory {
    path: PathBuf,
    earlier: Vec<PathBuf>,
}

impl Directory {
    /// Makes the folder, or makes sure that nobody's files are overwritten.
    pub fn claim(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {shown}"))?;
        let marker = path.join(MARKER);
        let earlier = match fs::read_to_string(&marker) {
            Ok(list) => list
                .lines()
                .map(PathBuf::from)
                .filter(|p| is_within(p))
                .collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut entries =
                    fs::read_dir(path).with_context(|| format!("cannot read {shown}"))?;
                if entries.next().is_some() {
                    bail!(
                        "{shown} is not empty and was not written by `vigie render` (it has no {MARKER}); give a new or an empty folder"
                    );
                }
                Vec::new()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", marker.display()));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            earlier,
        })
    }

    /// Puts these files in the place of those of the earlier run.
    pub fn write(&self, files: &BTreeMap<&str, FileText>) -> anyhow::Result<()> {
        let mut list = String::new();
        for name in files.keys() {
            if !is_within(Path::new(name)) {
                bail!("the file name {name} leads out of the folder");
            }
            list.push_str(name);
            list.push('\n');
        }
        // Listed first: what a run that is cut off leaves is known to the next one.
        let earlier = self.earlier.iter().map(|p| format!("{}\n", p.display()));
        let both = earlier.collect::<String>() + &list;
        self.write_file(MARKER, both.as_bytes(), 0o644)?;
        for name in &self.earlier {
            remove(&self.path.join(name))?;
        }
        for (name, text) in files {
            let mode = match text {
                FileText::Public(_) => 0o644,
                FileText::Private(_) => 0o600,
            };
            self.write_file(name, text.as_bytes(), mode)?;
        }
        self.write_file(MARKER, list.as_bytes(), 0o644)
    }

    fn write_file(&self, name: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // Made anew, so that it has this mode from its first octet on and follows no link.
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)?
                .write_all(bytes)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether a name stays below the folder.
fn is_within(name: &Path) -> bool {
    let mut parts = name.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}
