//! What the documents of all files hold → one folder. Where an object is defined twice, the later
//! definition counts. Of an earlier state of the folder all is taken over that no changed document
//! has to do with; the result is the same as without one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::documents::{Document, SourceFile};
use super::locations::{Locations, beginning};
use super::objects::{Definition, Item, Meaning};
use super::{Folder, findings};
use crate::model::diagnostics::ObjectRef;
use crate::snapshot::Object;

/// Merges files, whose names differ; `before` is an earlier state of the folder.
pub fn merge(before: &Folder, files: Vec<Arc<SourceFile>>) -> Folder {
    let changed = changed(&before.locations, &files);
    let changed: Vec<&Definition> = changed.into_iter().flat_map(definitions).collect();
    let names = changed.iter().map(|definition| &definition.name);
    let mut merge = Merge {
        folder: Folder {
            snapshot: before.snapshot.clone(),
            ..Folder::default()
        },
        touched: names.chain(&before.repeated).collect(),
        standing: HashMap::new(),
    };
    for definition in changed {
        if let Meaning::Object(object) = &definition.meaning {
            merge.folder.snapshot.remove(object);
        }
    }
    for file in &files {
        merge.take(file);
    }
    let mut folder = merge.folder;
    folder.locations = Locations::of(files);
    folder
}

/// The documents that only one of the two states has.
fn changed<'f>(before: &'f Locations, files: &'f [Arc<SourceFile>]) -> Vec<&'f Document> {
    let mut changed = Vec::new();
    let mut gone: BTreeSet<&str> = before.files().iter().map(|file| &*file.name).collect();
    for file in files {
        let earlier = before.file(&file.name);
        gone.remove(&*file.name);
        match earlier {
            Some(earlier) if Arc::ptr_eq(earlier, file) => {}
            Some(earlier) => changed.extend(differing(&earlier.documents, &file.documents)),
            None => changed.extend(&file.documents),
        }
    }
    let gone = before.files().iter().filter(|f| gone.contains(&*f.name));
    changed.extend(gone.flat_map(|file| &file.documents));
    changed
}

/// What stands between the documents that both begin with and those that both end with.
fn differing<'d>(a: &'d [Document], b: &'d [Document]) -> impl Iterator<Item = &'d Document> {
    let same = |(a, b): &(&Document, &Document)| Arc::ptr_eq(&a.contents, &b.contents);
    let front = a.iter().zip(b).take_while(same).count();
    let (a, b) = (&a[front..], &b[front..]);
    let back = a.iter().rev().zip(b.iter().rev()).take_while(same).count();
    a[..a.len() - back].iter().chain(&b[..b.len() - back])
}

fn definitions(document: &Document) -> impl Iterator<Item = &Definition> {
    document
        .contents
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Definition(definition) => Some(definition),
            _ => None,
        })
}

struct Merge<'f> {
    folder: Folder,
    /// Objects that may be another than before.
    touched: HashSet<&'f ObjectRef>,
    /// Of those, what has been seen so far.
    standing: HashMap<&'f ObjectRef, Standing<'f>>,
}

/// The latest definition of an object, and what it is by all of them.
struct Standing<'f> {
    file: &'f SourceFile,
    document: &'f Document,
    definition: &'f Definition,
    object: Option<&'f Object>,
}

impl Standing<'_> {
    fn beginning(&self) -> String {
        beginning(self.file, self.document, self.definition)
    }
}

impl<'f> Merge<'f> {
    fn take(&mut self, file: &'f SourceFile) {
        self.folder.diagnostics.extend(file.unreadable.clone());
        for document in &file.documents {
            self.folder.objects += document.contents.objects;
            for item in &document.contents.items {
                self.take_item(file, document, item);
            }
        }
    }

    fn take_item(&mut self, file: &'f SourceFile, document: &'f Document, item: &'f Item) {
        let offset = document.range.start;
        let finding = match item {
            Item::Definition(definition) => {
                if self.touched.contains(&definition.name) {
                    self.define(file, document, definition);
                }
                return;
            }
            Item::Skipped(kind) => {
                *self.folder.skipped.entry(kind.clone()).or_default() += 1;
                return;
            }
            Item::Finding(finding) => finding.clone(),
            Item::KeyTwice {
                object,
                field,
                first,
                second,
            } => {
                let line = |at: &usize| file.line_and_column(offset + at).0;
                findings::key_twice(object, field, line(first), line(second))
            }
            Item::Trouble {
                at,
                severity,
                found,
                fix,
            } => findings::in_file(file, offset + at, found, fix).with_severity(*severity),
        };
        self.folder.diagnostics.push(finding);
    }

    fn define(&mut self, file: &'f SourceFile, document: &'f Document, definition: &'f Definition) {
        let name = &definition.name;
        let earlier = self.standing.remove(name);
        let before = earlier.as_ref().and_then(|earlier| earlier.object);
        let object = match &definition.meaning {
            Meaning::Object(object) => Some(object),
            Meaning::Unusable => None,
            Meaning::Refused => before,
        };
        let now = Standing {
            file,
            document,
            definition,
            object,
        };
        if let Some(earlier) = earlier {
            self.folder.repeated.insert(name.clone());
            if !matches!(definition.meaning, Meaning::Refused) {
                let (earlier, here) = (earlier.beginning(), now.beginning());
                let finding = findings::defined_twice(name, &earlier, &here);
                self.folder.diagnostics.push(finding);
            }
        }
        if let Some(before) = before {
            self.folder.snapshot.remove(before);
        }
        if let Some(object) = object {
            self.folder.snapshot.add(object.clone());
        }
        self.standing.insert(name, now);
    }
}
