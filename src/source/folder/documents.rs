//! A file's text → its documents, each with what it holds. What a document holds depends on its text
//! alone, wherever it stands, so that of a file that was edited only the edited part is read anew.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::files::{File, Stamp};
use super::locations::Tree;
use super::objects::{self, Item};
use super::{findings, json};
use crate::model::diagnostics::{Diagnostic, FieldPath};

/// A file as it was read.
#[derive(Debug)]
pub struct SourceFile {
    pub name: Arc<str>,
    /// Empty where the file cannot be read.
    pub text: String,
    pub documents: Vec<Document>,
    /// Why it cannot be read.
    pub unreadable: Option<Diagnostic>,
    /// When the file on the disk has this stamp, it holds this text.
    pub stamp: Option<Stamp>,
    line_starts: OnceLock<Vec<usize>>,
}

/// A part of a file that is not blank.
#[derive(Clone, Debug)]
pub struct Document {
    pub range: Range<usize>,
    pub contents: Arc<Contents>,
}

/// What a document holds; places in it count from its beginning.
#[derive(Debug)]
pub struct Contents {
    /// In their order.
    pub items: Vec<Item>,
    /// Objects of the kinds that are read, whether or not they can be used.
    pub objects: usize,
    /// Read when somebody asks for a place.
    pub trees: OnceLock<Vec<Tree>>,
}

impl SourceFile {
    /// Reads a file; `before` is an earlier state of it.
    pub fn of(file: File, before: Option<&Self>) -> Self {
        let (text, unreadable) = match file.content.map(String::from_utf8) {
            Ok(Ok(text)) => (text, None),
            Ok(Err(error)) => (String::new(), Some(findings::not_utf8(&file.name, &error))),
            Err(words) => {
                let fix = "Make it readable, or move it out of the folder.";
                let finding = findings::unreadable(&file.name, &words, fix);
                (String::new(), Some(finding))
            }
        };
        let mut ranges = ranges(&text);
        let text = match json::as_yaml(&text, &ranges) {
            None => text,
            Some(text) => {
                ranges = self::ranges(&text);
                text
            }
        };
        ranges.retain(|range| !text[range.clone()].trim().is_empty());
        Self {
            documents: documents(&text, ranges, before),
            name: file.name.into(),
            text,
            unreadable,
            stamp: None,
            line_starts: OnceLock::new(),
        }
    }

    /// Whether the same is to be read in both.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text && self.unreadable == other.unreadable
    }

    /// The line, counted from 1, and the column of an octet.
    pub fn line_and_column(&self, at: usize) -> (usize, usize) {
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start <= at).max(1);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Where lines begin.
    pub fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        })
    }

    pub fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let length = rest.find('\n').unwrap_or(rest.len());
        at + rest[..length].trim_end().len()
    }

    pub fn spans_lines(&self, span: &Range<usize>) -> bool {
        self.text
            .get(span.clone())
            .is_some_and(|text| text.trim_end().contains('\n'))
    }

    /// Reads `line 3, column 5`.
    pub fn octet_of(&self, field: &FieldPath) -> Option<usize> {
        let (line, column) = field
            .as_str()
            .strip_prefix("line ")?
            .split_once(", column ")?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let start = *self.line_starts().get(line.checked_sub(1)?)?;
        let rest = self.text.get(start..)?;
        let within = rest.char_indices().nth(column.checked_sub(1)?);
        Some(start + within.map_or(rest.len(), |(at, _)| at))
    }
}

/// The documents of a file, each with the `---` line that begins it. A line that begins so always
/// begins a document, whatever stands before it, so a broken document ends there.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let begin = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let begins_document = |at: &usize| {
        let rest = &text.as_bytes()[at + "---".len()..];
        *at > begin
            && text.as_bytes()[at - 1] == b'\n'
            && matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n'))
    };
    let markers = text.match_indices("---").map(|(at, _)| at);
    let mut starts = vec![begin];
    starts.extend(markers.filter(begins_document));
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(s, e)| s..e)
        .collect()
}

/// Reads documents; those that `before` begins or ends with too are taken from there.
fn documents(text: &str, ranges: Vec<Range<usize>>, before: Option<&SourceFile>) -> Vec<Document> {
    let earlier = before.map_or(&[][..], |file| &file.documents);
    let same = |range: &Range<usize>, document: &Document| {
        before.is_some_and(|file| text[range.clone()] == file.text[document.range.clone()])
    };
    let front = ranges.iter().zip(earlier);
    let front = front.take_while(|(range, d)| same(range, d)).count();
    let back = ranges[front..]
        .iter()
        .rev()
        .zip(earlier[front..].iter().rev());
    let back = back.take_while(|(range, d)| same(range, d)).count();
    let edited = front..ranges.len() - back;
    let contents = |(at, range): (usize, &Range<usize>)| match at {
        at if at < edited.start => earlier[at].contents.clone(),
        at if at < edited.end => Arc::new(objects::read(&text[range.clone()])),
        at => earlier[at + earlier.len() - ranges.len()].contents.clone(),
    };
    let contents: Vec<_> = ranges.iter().enumerate().map(contents).collect();
    let document = |(range, contents)| Document { range, contents };
    ranges.into_iter().zip(contents).map(document).collect()
}
