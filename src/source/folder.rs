//! Manifests in files and folders, read as `kubectl apply` and the API server would read them.
//!
//! What cannot be read becomes one finding with its place, and costs only the document, or the
//! object, that it stands in. Reading is pure ([`Folder::of`]); [`files`] gets the files and
//! [`watch`] says when they have changed.
//!
//! Of a folder that has changed only documents that have changed are read ([`Folder::reread`]), and
//! objects that have not stay the same `Arc`: a small change is to cost little.

mod decode;
mod documents;
mod fields;
pub mod files;
mod findings;
mod json;
mod locations;
mod merge;
mod names;
mod objects;
mod scalars;
mod tree;
pub mod watch;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use files::{File, Manifests, SourceError};
pub use locations::{Locations, Place};

use crate::model::diagnostics::{Diagnostic, ObjectRef};
use crate::snapshot::Snapshot;
use documents::SourceFile;

/// What the manifests hold.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    pub snapshot: Snapshot,
    /// About the manifests themselves, in the order of files and documents.
    pub diagnostics: Vec<Diagnostic>,
    pub locations: Locations,
    /// Objects of kinds that are not read, by kind.
    pub skipped: BTreeMap<String, usize>,
    /// Objects of the kinds that are read, whether or not they can be used.
    pub objects: usize,
    /// Objects that are defined more than once.
    repeated: BTreeSet<ObjectRef>,
}

impl Folder {
    /// Reads files in their order; their names differ. Where an object is defined twice, the later
    /// one counts.
    pub fn of(files: Vec<File>) -> Self {
        Self::default().reread(files)
    }

    /// The same as [`Folder::of`]; what is known of an earlier state is not read again.
    pub fn reread(&self, files: Vec<File>) -> Self {
        let files = files.into_iter().map(|file| {
            let before = self.locations.file(&file.name);
            Arc::new(SourceFile::of(file, before.map(AsRef::as_ref)))
        });
        merge::merge(self, files.collect())
    }
}

#[cfg(test)]
mod tests;
