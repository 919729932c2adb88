use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::documents::{Document, SourceFile};
use super::fields::{Segment, Step, steps};
use super::objects::{Definition, Item};
use super::yaml::{self, Node, Value};
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef};

/// Where objects and their fields stand. Documents are read a second time, and objects are indexed,
/// when somebody asks, so that ten thousand objects without a finding cost nothing here.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    files: Vec<Arc<SourceFile>>,
    by_name: OnceLock<HashMap<Arc<str>, usize>>,
    objects: OnceLock<HashMap<ObjectRef, Spot>>,
}

/// Numbers of a file, a document in it and an item in that: the last place where an object is defined.
#[derive(Clone, Copy, Debug)]
struct Spot {
    file: usize,
    document: usize,
    item: usize,
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

/// The places of a document's nodes, without their values.
#[derive(Clone, Debug)]
pub struct Tree {
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
        let spot = self.objects().get(object)?;
        let file = self.files.get(spot.file)?;
        let document = file.documents.get(spot.document)?;
        match document.contents.items.get(spot.item)? {
            Item::Definition(definition) => place_in(file, document, definition, field),
            _ => None,
        }
    }

    pub(super) fn of(files: Vec<Arc<SourceFile>>) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    pub(super) fn files(&self) -> &[Arc<SourceFile>] {
        &self.files
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> Option<&Arc<SourceFile>> {
        let by_name = self.by_name.get_or_init(|| {
            let numbered = self.files.iter().enumerate();
            numbered.map(|(at, file)| (file.name.clone(), at)).collect()
        });
        self.files.get(*by_name.get(name)?)
    }

    /// Whether both are of files that hold the same.
    pub(super) fn read_as(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Arc<SourceFile>, &Arc<SourceFile>)| Arc::ptr_eq(a, b) || a.reads_as(b);
        self.files.len() == other.files.len() && self.files.iter().zip(&other.files).all(same)
    }

    fn objects(&self) -> &HashMap<ObjectRef, Spot> {
        self.objects.get_or_init(|| {
            let mut objects = HashMap::new();
            for (number, file) in self.files.iter().enumerate() {
                for (at, document) in file.documents.iter().enumerate() {
                    for (item, held) in document.contents.items.iter().enumerate() {
                        let Item::Definition(definition) = held else {
                            continue;
                        };
                        let spot = Spot {
                            file: number,
                            document: at,
                            item,
                        };
                        objects.insert(definition.name.clone(), spot);
                    }
                }
            }
            objects
        })
    }

    /// `line 3, column 5` of a file that could not be read as far as an object, or its beginning.
    fn locate_line(&self, name: &str, field: &FieldPath) -> Option<Place<'_>> {
        let file = self.file(name)?;
        let Some(at) = file.octet_of(field) else {
            return Some(place(file, 0..0, true));
        };
        let after = file.documents.partition_point(|d| d.range.start <= at);
        let guarded = file.documents[..after]
            .last()
            .is_some_and(|d| file.text[d.range.clone()].contains("Secret"));
        Some(place(file, at..file.line_end(at), guarded))
    }
}

/// `file, line 3`: where an object begins by a definition of it.
pub fn beginning(file: &SourceFile, document: &Document, definition: &Definition) -> String {
    let kind = FieldPath::new("kind");
    let place = place_in(file, document, definition, &kind);
    place.map_or_else(String::new, |p| format!("{}, line {}", p.file, p.line))
}

/// The place of a field of an object by a definition of it.
fn place_in<'f>(
    file: &'f SourceFile,
    document: &Document,
    definition: &Definition,
    field: &FieldPath,
) -> Option<Place<'f>> {
    let seat = &definition.seat;
    let tree = trees(file, document).get(seat.root)?.below(&seat.base)?;
    let found = tree.nearest(&steps(field));
    let offset = document.range.start;
    let value = found.value.start + offset..found.value.end + offset;
    let span = match &found.key {
        Some(key) if value.is_empty() || file.spans_lines(&value) => {
            key.start + offset..key.end + offset
        }
        _ => value,
    };
    Some(place(file, span, definition.name.kind == Kind::Secret))
}

fn place(file: &SourceFile, span: Range<usize>, guarded: bool) -> Place<'_> {
    let (line, column) = file.line_and_column(span.start);
    let start = file.line_starts().get(line - 1).copied().unwrap_or(0);
    let end = file.line_end(start).max(start);
    let text = file.text.get(start..end).unwrap_or_default();
    // A line may hold a whole List of JSON with a Secret in it.
    let hidden = guarded || text.contains("Secret");
    let within = |at: usize| at.clamp(start, end) - start;
    Place {
        file: &file.name,
        line,
        column,
        shown: (!hidden).then(|| (text, within(span.start)..within(span.end))),
        span,
    }
}

fn trees<'d>(file: &SourceFile, document: &'d Document) -> &'d [Tree] {
    document.contents.trees.get_or_init(|| {
        let text = file.text.get(document.range.clone()).unwrap_or_default();
        let parsed = yaml::parse(text).unwrap_or_default();
        let roots = parsed.roots.iter();
        roots.map(|root| Tree::of(&root.node, None)).collect()
    })
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
