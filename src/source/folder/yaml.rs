//! One document's text → a tree in which every key and value knows its place.
//!
//! Why not a ready-made tree: it would stop at the first duplicate key without saying where the other
//! one is, forget the places of aliases, and read scalars by YAML 1.2 where the API server reads 1.1.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Parser, Span};

use super::fields::Segment;
use super::tree::Tree;

#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// In octets of the document.
    pub span: Range<usize>,
    pub value: Value<'a>,
}

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

#[derive(Clone, Debug)]
pub struct Key<'a> {
    pub span: Range<usize>,
    pub text: Cow<'a, str>,
}

impl<'a> Node<'a> {
    /// The value of a key of this map.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What a text holds: mostly one tree, more where `...` ends a document.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    pub roots: Vec<Root<'a>>,
}

#[derive(Debug)]
pub struct Root<'a> {
    pub node: Node<'a>,
    /// Keys that stand twice in a map; the tree has the first.
    pub duplicates: Vec<Duplicate>,
}

#[derive(Clone, Debug)]
pub struct Duplicate {
    /// The way to the map and the key.
    pub path: Vec<Segment>,
    pub first: Range<usize>,
    pub second: Range<usize>,
}

/// Why a text is not YAML, or not YAML that is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// An octet of the document.
    pub at: usize,
    /// A clause.
    pub found: String,
    pub fix: &'static str,
}

/// Reads a text.
pub fn parse(text: &str) -> Result<Parsed<'_>, SyntaxError> {
    refuse_control_characters(text)?;
    let offsets = Offsets::of(text);
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            // The end of a document is the beginning of the next one.
            let at = offsets
                .octet(error.marker().index())
                .min(text.trim_end().len());
            broken(text, at, error.info())
        })?;
        tree.take(event, offsets.range(span))?;
    }
    Ok(tree.finish())
}

/// The parser's words, or the classic mistake that it stumbles over without naming it.
fn broken(text: &str, at: usize, words: &str) -> SyntaxError {
    let is_tab = |line: &str| {
        line.trim_start_matches(' ').starts_with('\t') && !text.trim_start().starts_with('{')
    };
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let mut start = line;
    // The tab is on the line where the parser stopped, or on the next one.
    for line in text[line..].split_inclusive('\n').take(2) {
        if is_tab(line) {
            return SyntaxError {
                at: start + line.find('\t').unwrap_or(0),
                found: "this line is indented by a tab".into(),
                fix: "Indent by spaces: YAML takes no tabs there.",
            };
        }
        start += line.len();
    }
    SyntaxError {
        at,
        found: format!("the YAML ends or breaks here: {words}"),
        fix: "Correct the indentation, brackets or quotes on or above this line.",
    }
}

/// YAML forbids them, and a NUL would end the parser's input in silence.
fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let forbidden = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        c => c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'),
    };
    match text.char_indices().find(|&(_, c)| forbidden(c)) {
        None => Ok(()),
        Some((at, c)) => Err(SyntaxError {
            at,
            found: format!("it holds the control character U+{:04X}", u32::from(c)),
            fix: "Remove it; in a double-quoted string it can be written as an escape.",
        }),
    }
}

/// The parser counts characters, a text is sliced by octets.
enum Offsets {
    Ascii(usize),
    Table(Vec<u32>, usize),
}

impl Offsets {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.len());
        }
        let table = text
            .char_indices()
            .map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX))
            .collect();
        Self::Table(table, text.len())
    }

    fn octet(&self, index: usize) -> usize {
        match self {
            Self::Ascii(length) => index.min(*length),
            Self::Table(table, length) => table.get(index).map_or(*length, |&at| at as usize),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.octet(span.start.index());
        start..self.octet(span.end.index()).max(start)
    }
}
