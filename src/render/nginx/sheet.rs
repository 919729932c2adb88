//! A file on its way into a bundle: blocks of text, and which lines an object asked for.

use std::collections::BTreeMap;

use askama::Template;

use crate::model::diagnostics::Origin;
use crate::render::bundle::{Content, FileName, RenderedRange};

/// Blocks in the order in which they were added.
#[derive(Debug, Default)]
pub struct Sheet {
    text: String,
    lines: usize,
    ranges: Vec<(usize, usize, Origin)>,
}

impl Sheet {
    pub fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.lines += text.matches('\n').count();
    }

    /// A block that can be taken out without harm to its neighbours.
    pub fn add_of(&mut self, text: &str, origin: &Origin) {
        let first = self.lines + 1;
        self.add(text);
        if self.lines >= first {
            self.ranges.push((first, self.lines, origin.clone()));
        }
    }

    /// Another sheet, whose ranges stay where their lines are; all of it is a range of `origin` too.
    pub fn add_sheet_of(&mut self, sheet: Sheet, origin: Option<&Origin>) {
        let before = self.lines;
        if let (Some(origin), true) = (origin, sheet.lines > 0) {
            self.ranges
                .push((before + 1, before + sheet.lines, origin.clone()));
        }
        self.add(&sheet.text);
        let moved = sheet.ranges.into_iter();
        self.ranges
            .extend(moved.map(|(first, last, origin)| (first + before, last + before, origin)));
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// A template's text. Templates fail only where the escaper does, and words are made so that it does
/// not; should one slip through, this object's block is left out and no other's.
pub fn print(template: &impl Template) -> String {
    let mut text = template.render().unwrap_or_default();
    if !text.is_empty() {
        // askama takes the last line break of a template away.
        text.push('\n');
    }
    text
}

/// All files of a bundle.
#[derive(Debug, Default)]
pub struct Sheets(BTreeMap<FileName, Sheet>);

impl Sheets {
    pub fn file(&mut self, name: &str) -> &mut Sheet {
        self.0.entry(name.to_owned()).or_default()
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<FileName> {
        let filled = self.0.iter().filter(|(_, sheet)| !sheet.is_empty());
        filled.map(|(name, _)| name.clone()).collect()
    }

    pub fn into_parts(self) -> (BTreeMap<FileName, Content>, Vec<RenderedRange>) {
        let mut files = BTreeMap::new();
        let mut origins = Vec::new();
        for (file, sheet) in self.0 {
            let range = |(first, last, origin)| RenderedRange {
                file: file.clone(),
                first,
                last,
                origin,
            };
            origins.extend(sheet.ranges.into_iter().map(range));
            if !sheet.text.is_empty() {
                files.insert(file, Content::Text(sheet.text));
            }
        }
        origins.sort();
        (files, origins)
    }
}
