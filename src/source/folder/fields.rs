use std::fmt::Write;

use crate::model::diagnostics::FieldPath;

/// One step from a node of a document to a node below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    Index(usize),
}

/// Writes steps as findings name fields: `spec.rules[0].host`, `metadata.annotations[a.b/c]`.
pub fn field_path(segments: &[Segment]) -> FieldPath {
    let mut text = String::new();
    let mut parent = "";
    for segment in segments {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Index(index) => write!(text, "[{index}]"),
            Segment::Key(key) if parent == "annotations" || key.contains(['.', '/', '[', ']']) => {
                write!(text, "[{key}]")
            }
            Segment::Key(key) if text.is_empty() => write!(text, "{key}"),
            Segment::Key(key) => write!(text, ".{key}"),
        };
        if let Segment::Key(key) = segment {
            parent = key;
        }
    }
    FieldPath::new(text)
}

/// A step as it stands in a [`FieldPath`]; whether brackets hold an index or a key, only the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Key(&'a str),
    Bracket(&'a str),
}

/// The steps of a field path; what cannot be read as one ends the list.
pub fn steps(path: &FieldPath) -> Vec<Step<'_>> {
    let mut rest = path.as_str();
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing_bracket(inner) else {
                return steps;
            };
            steps.push(Step::Bracket(&inner[..end]));
            rest = &inner[end + 1..];
        } else {
            let key = rest.strip_prefix('.').unwrap_or(rest);
            let end = key.find(['.', '[']).unwrap_or(key.len());
            steps.push(Step::Key(&key[..end]));
            rest = &key[end..];
        }
    }
    steps
}

/// A key may hold a bracket itself: the one that closes is followed by another step or by nothing.
fn closing_bracket(inner: &str) -> Option<usize> {
    inner
        .match_indices(']')
        .map(|(at, _)| at)
        .find(|at| matches!(inner.as_bytes().get(at + 1), None | Some(b'.' | b'[')))
}
