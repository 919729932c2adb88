//! Manifests in files and folders, read as `kubectl apply` and the API server would read them.
//!
//! What cannot be read becomes one finding with its place, and costs only the document, or the
//! object, that it stands in. Reading is pure ([`Folder::of`]); [`files`] gets the files and
//! [`watch`] says when they have changed.

mod decode;
mod fields;
pub mod files;
mod findings;
mod json;
mod locations;
mod names;
mod objects;
mod scalars;
mod tree;
pub mod watch;
mod yaml;

use std::collections::BTreeMap;
use std::ops::Range;

pub use files::{File, Manifests, SourceError};
pub use locations::{Locations, Place};

use crate::model::diagnostics::Diagnostic;
use crate::snapshot::Snapshot;

/// A document may be as large as an object in a cluster may be, and twice that.
const DOCUMENT_LIMIT: usize = 3 << 20;

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
}

impl Folder {
    /// Reads files in their order. Where an object is defined twice, the later one counts.
    pub fn of(files: Vec<File>) -> Self {
        let mut intake = objects::Intake::default();
        for file in files {
            let finding = match file.content.map(String::from_utf8) {
                Ok(Ok(text)) => {
                    take_file(&mut intake, &file.name, text);
                    continue;
                }
                Ok(Err(error)) => not_utf8(&file.name, &error),
                Err(words) => findings::unreadable(
                    &file.name,
                    &words,
                    "Make it readable, or move it out of the folder.",
                ),
            };
            intake.locations.add_file(&file.name, String::new());
            intake.diagnostics.push(finding);
        }
        let (snapshot, locations, diagnostics, skipped, objects) = intake.finish();
        Self {
            snapshot,
            diagnostics,
            locations,
            skipped,
            objects,
        }
    }
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let at = error.utf8_error().valid_up_to();
    let line = error.as_bytes()[..at]
        .iter()
        .filter(|&&b| b == b'\n')
        .count()
        + 1;
    findings::unreadable(
        name,
        &format!("line {line} is not UTF-8"),
        "Save it as UTF-8.",
    )
}

fn take_file(intake: &mut objects::Intake, name: &str, text: String) {
    let ranges = documents(&text);
    let (text, ranges) = match json::as_yaml(&text, &ranges) {
        Some(text) => {
            let ranges = documents(&text);
            (text, ranges)
        }
        None => (text, ranges),
    };
    let number = intake.locations.add_file(name, text);
    let Some(file) = intake.locations.file(number) else {
        return;
    };
    for range in ranges {
        let text = &file.text()[range.clone()];
        if text.trim().is_empty() {
            continue;
        }
        let document = intake.locations.add_document(number, range.clone());
        if text.len() > DOCUMENT_LIMIT {
            let found = format!(
                "the document that begins here has {} octets; {DOCUMENT_LIMIT} are allowed",
                text.len()
            );
            intake.in_file(number, range.start, &found, "Split it by lines with ---.");
            continue;
        }
        match yaml::parse(text) {
            Ok(parsed) => {
                for (root_number, root) in parsed.roots.iter().enumerate() {
                    intake.take(root, number, range.start, document, root_number);
                }
            }
            Err(error) => intake.in_file(number, range.start + error.at, &error.found, error.fix),
        }
    }
}

/// The documents of a file, each with the `---` line that begins it. A line that begins so always
/// begins a document, whatever stands before it, so a broken document ends there.
fn documents(text: &str) -> Vec<Range<usize>> {
    let begin = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut starts = vec![begin];
    let mut line_start = begin;
    for line in text[begin..].split_inclusive('\n') {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && line_start != begin {
            starts.push(line_start);
        }
        line_start += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(s, e)| s..e)
        .collect()
}

#[cfg(test)]
mod tests;
