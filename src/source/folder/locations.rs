use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::fields::{Segment, Step, steps};
use super::yaml::{self, Node, Value};
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef};

/// Where objects and their fields stand. Documents are read a second time when somebody asks, so
/// that ten thousand objects without a finding cost nothing here.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    files: Vec<Arc<SourceFile>>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// In order of files and lines.
    documents: Vec<Document>,
    objects: BTreeMap<ObjectRef, Seat>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub file: &'a str,
    /// Counts from 1, as columns do; columns count characters.
    pub line: usize,
    pub column: usize,
    /// In octets of the file.
    pub span: Range<usize>,
    /// The line's text without its end and the span in it, where it may be shown: never a Secret's.
    pub shown: Option<(&'a str, Range<usize>)>,
}

#[derive(Debug)]
pub(super) struct SourceFile {
    name: Arc<str>,
    text: String,
    line_starts: OnceLock<Vec<usize>>,
}

#[derive(Clone, Debug)]
struct Document {
    file: usize,
    range: Range<usize>,
    trees: OnceLock<Vec<Tree>>,
}

/// Where an object stands: the document, the tree in it, and the way to an item of a List.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub document: usize,
    pub root: usize,
    pub base: Vec<Segment>,
}

/// The places of a document's nodes, without their values.
#[derive(Clone, Debug)]
struct Tree {
    key: Option<Range<usize>>,
    value: Range<usize>,
    below: Below,
}

#[derive(Clone, Debug)]
enum Below {
    Nothing,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Locations {
    /// The place of an object's field, or of the nearest field above that is there.
    pub fn locate(&self, object: &ObjectRef, field: &FieldPath) -> Option<Place<'_>> {
        if object.kind == Kind::Manifest {
            return self.locate_line(&object.name, field);
        }
        let seat = self.objects.get(object)?;
        let document = self.documents.get(seat.document)?;
        let file = self.files.get(document.file)?;
        let tree = document.trees(file).get(seat.root)?.below(&seat.base)?;
        let found = tree.nearest(&steps(field));
        let offset = document.range.start;
        let value = found.value.start + offset..found.value.end + offset;
        let span = match &found.key {
            Some(key) if value.is_empty() || file.spans_lines(&value) => {
                key.start + offset..key.end + offset
            }
            _ => value,
        };
        Some(file.place(span, object.kind == Kind::Secret))
    }

    /// `line 3, column 5` of a file that could not be read as far as an object, or its beginning.
    fn locate_line(&self, name: &str, field: &FieldPath) -> Option<Place<'_>> {
        let file = self.by_name.get(name).copied()?;
        let source = self.files.get(file)?;
        let Some(at) = source.octet_of(field) else {
            return Some(source.place(0..0, true));
        };
        let after = self
            .documents
            .partition_point(|d| (d.file, d.range.start) <= (file, at));
        let guarded = self.documents[..after]
            .last()
            .is_some_and(|d| source.text[d.range.clone()].contains("Secret"));
        Some(source.place(at..source.line_end(at), guarded))
    }

    /// Keeps a file; the number names it in what follows.
    pub(super) fn add_file(&mut self, name: &str, text: String) -> usize {
        let name: Arc<str> = name.into();
        let number = self.files.len();
        self.by_name.insert(name.clone(), number);
        self.files.push(Arc::new(SourceFile {
            name,
            text,
            line_starts: OnceLock::new(),
        }));
        number
    }

    pub(super) fn file(&self, number: usize) -> Option<Arc<SourceFile>> {
        self.files.get(number).cloned()
    }

    pub(super) fn add_document(&mut self, file: usize, range: Range<usize>) -> usize {
        self.documents.push(Document {
            file,
            range,
            trees: OnceLock::new(),
        });
        self.documents.len() - 1
    }

    /// Keeps where an object stands; a later place takes over from an earlier one.
    pub(super) fn add_object(&mut self, object: ObjectRef, seat: Seat) {
        self.objects.insert(object, seat);
    }

    /// `file, line 3`: where an object begins.
    pub(super) fn beginning(&self, object: &ObjectRef) -> Option<String> {
        let place = self.locate(object, &FieldPath::new("kind"))?;
        Some(format!("{}, line {}", place.file, place.line))
    }
}

impl SourceFile {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line, counted from 1, and the column of an octet.
    pub fn line_and_column(&self, at: usize) -> (usize, usize) {
        let starts = self.line_starts();
        let line = starts.partition_point(|&start| start <= at).max(1);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        })
    }

    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let length = rest.find('\n').unwrap_or(rest.len());
        at + rest[..length].trim_end().len()
    }

    fn spans_lines(&self, span: &Range<usize>) -> bool {
        self.text
            .get(span.clone())
            .is_some_and(|text| text.trim_end().contains('\n'))
    }

    /// Reads `line 3, column 5`.
    fn octet_of(&self, field: &FieldPath) -> Option<usize> {
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

    fn place(&self, span: Range<usize>, guarded: bool) -> Place<'_> {
        let (line, column) = self.line_and_column(span.start);
        let start = self.line_starts().get(line - 1).copied().unwrap_or(0);
        let end = self.line_end(start).max(start);
        let text = self.text.get(start..end).unwrap_or_default();
        // A line may hold a whole List of JSON with a Secret in it.
        let hidden = guarded || text.contains("Secret");
        let within = |at: usize| at.clamp(start, end) - start;
        Place {
            file: &self.name,
            line,
            column,
            shown: (!hidden).then(|| (text, within(span.start)..within(span.end))),
            span,
        }
    }
}

impl Document {
    fn trees(&self, file: &SourceFile) -> &[Tree] {
        self.trees.get_or_init(|| {
            let text = file.text.get(self.range.clone()).unwrap_or_default();
            let parsed = yaml::parse(text).unwrap_or_default();
            let roots = parsed.roots.iter();
            roots.map(|root| Tree::of(&root.node, None)).collect()
        })
    }
}

impl Tree {
    fn of(node: &Node<'_>, key: Option<Range<usize>>) -> Self {
        let below = match &node.value {
            Value::List(items) => Below::List(items.iter().map(|i| Self::of(i, None)).collect()),
            Value::Map(entries) => {
                let entry = |(key, node): &(yaml::Key<'_>, Node<'_>)| {
                    (key.text.to_string(), Self::of(node, Some(key.span.clone())))
                };
                Below::Map(entries.iter().map(entry).collect())
            }
            _ => Below::Nothing,
        };
        Self {
            key,
            value: node.span.clone(),
            below,
        }
    }

    fn below(&self, base: &[Segment]) -> Option<&Self> {
        base.iter().try_fold(self, |tree, segment| match segment {
            Segment::Key(key) => tree.key(key),
            Segment::Index(index) => tree.item(*index),
        })
    }

    fn key(&self, key: &str) -> Option<&Self> {
        match &self.below {
            Below::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, t)| t),
            _ => None,
        }
    }

    fn item(&self, index: usize) -> Option<&Self> {
        match &self.below {
            Below::List(items) => items.get(index),
            _ => None,
        }
    }

    /// Follows the steps as far as they lead. An object itself is shown by its kind.
    fn nearest(&self, steps: &[Step<'_>]) -> &Self {
        let mut tree = self;
        for step in steps {
            let next = match step {
                Step::Key(key) => tree.key(key),
                Step::Bracket(inner) => tree.key(inner).or_else(|| tree.item(inner.parse().ok()?)),
            };
            match next {
                Some(next) => tree = next,
                None => break,
            }
        }
        if std::ptr::eq(tree, self) {
            tree.key("kind").unwrap_or(tree)
        } else {
            tree
        }
    }
}
