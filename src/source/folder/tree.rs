use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use saphyr_parser::Event;

use super::fields::Segment;
use super::scalars::resolve;
use super::yaml::{Duplicate, Key, Node, Parsed, Root, SyntaxError, Value};

/// Deeper than any object of the API, and shallow enough for every walk over a tree to recurse.
const DEPTH_LIMIT: usize = 128;
/// How much anchors and aliases may copy in a document, in octets of text and [`NODE_WEIGHT`] a node.
const COPY_LIMIT: usize = 8 << 20;
const NODE_WEIGHT: usize = 32;
/// Maps with more keys than this are searched by hash.
const SMALL_MAP: usize = 16;

/// Grows from the parser's events.
#[derive(Default)]
pub struct Tree<'a> {
    roots: Vec<Root<'a>>,
    open: Vec<Frame<'a>>,
    anchors: BTreeMap<usize, Built<'a>>,
    duplicates: Vec<Duplicate>,
    copied: usize,
}

/// A collection whose end has not come.
struct Frame<'a> {
    start: usize,
    anchor: usize,
    weight: usize,
    height: usize,
    content: Content<'a>,
}

enum Content<'a> {
    List(Vec<Node<'a>>),
    Map {
        entries: Vec<(Key<'a>, Node<'a>)>,
        pending: Option<Key<'a>>,
        /// Whether the pending key stands in the map already; its value is dropped.
        repeated: bool,
        by_key: HashMap<String, usize>,
        merges: Vec<Node<'a>>,
    },
}

/// A finished node with what copying it costs.
#[derive(Clone)]
struct Built<'a> {
    node: Node<'a>,
    weight: usize,
    height: usize,
}

impl<'a> Tree<'a> {
    pub fn finish(self) -> Parsed<'a> {
        Parsed { roots: self.roots }
    }

    pub fn take(&mut self, event: Event<'a>, span: Range<usize>) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let built = Built {
                    weight: NODE_WEIGHT + text.len(),
                    height: 0,
                    node: Node {
                        span,
                        value: resolve(text, style, tag.as_deref()),
                    },
                };
                self.close(built, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(span, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let content = Content::Map {
                    entries: Vec::new(),
                    pending: None,
                    repeated: false,
                    by_key: HashMap::new(),
                    merges: Vec::new(),
                };
                self.begin(span, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(frame) => {
                    let anchor = frame.anchor;
                    self.close(frame.finish(span.end), anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(built) = self.anchors.get(&anchor) else {
                    return Err(SyntaxError {
                        at: span.start,
                        found: "this alias stands inside of its own anchor".into(),
                        fix: "Write the value out.",
                    });
                };
                let (built, at) = (built.clone(), span.start);
                self.charge(&built, at)?;
                self.close(built, 0)
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        span: Range<usize>,
        anchor: usize,
        content: Content<'a>,
    ) -> Result<(), SyntaxError> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err(too_deep(span.start));
        }
        self.open.push(Frame {
            start: span.start,
            anchor,
            weight: NODE_WEIGHT,
            height: 1,
            content,
        });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, built: Built<'a>, anchor: usize) -> Result<(), SyntaxError> {
        let at = built.node.span.start;
        if self.open.len() + built.height > DEPTH_LIMIT {
            return Err(too_deep(at));
        }
        if anchor != 0 {
            self.charge(&built, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            let duplicates = std::mem::take(&mut self.duplicates);
            self.roots.push(Root {
                node: built.node,
                duplicates,
            });
            return Ok(());
        };
        frame.weight += built.weight;
        frame.height = frame.height.max(built.height + 1);
        if let Some((first, second)) = frame.place(built)? {
            self.duplicates.push(Duplicate {
                path: self.open.iter().map(Frame::segment).collect(),
                first,
                second,
            });
        }
        Ok(())
    }

    fn charge(&mut self, built: &Built<'a>, at: usize) -> Result<(), SyntaxError> {
        self.copied += built.weight;
        if self.copied <= COPY_LIMIT {
            return Ok(());
        }
        Err(SyntaxError {
            at,
            found: format!("its aliases unfold to more than {} MiB", COPY_LIMIT >> 20),
            fix: "Write the values out, or use fewer aliases.",
        })
    }
}

fn too_deep(at: usize) -> SyntaxError {
    SyntaxError {
        at,
        found: format!("it is nested more than {DEPTH_LIMIT} levels deep"),
        fix: "Remove levels; no object of Kubernetes is that deep.",
    }
}

type Repeated = (Range<usize>, Range<usize>);

impl<'a> Frame<'a> {
    fn finish(self, end: usize) -> Built<'a> {
        let value = match self.content {
            Content::List(items) => Value::List(items),
            Content::Map {
                mut entries,
                merges,
                ..
            } => {
                merges
                    .into_iter()
                    .for_each(|node| merge(&mut entries, node));
                Value::Map(entries)
            }
        };
        Built {
            node: Node {
                span: self.start..end.max(self.start),
                value,
            },
            weight: self.weight,
            height: self.height,
        }
    }

    /// The step to what is being read inside of this collection.
    fn segment(&self) -> Segment {
        match &self.content {
            Content::List(items) => Segment::Index(items.len()),
            Content::Map { pending, .. } => Segment::Key(
                pending
                    .as_ref()
                    .map_or_else(String::new, |key| key.text.to_string()),
            ),
        }
    }

    /// Takes an item, a key or a value. Tells of a key that stands in the map already.
    fn place(&mut self, built: Built<'a>) -> Result<Option<Repeated>, SyntaxError> {
        match &mut self.content {
            Content::List(items) => items.push(built.node),
            Content::Map {
                entries,
                pending,
                repeated,
                by_key,
                merges,
            } => match pending.take() {
                Some(_) if std::mem::take(repeated) => {}
                Some(key) if key.text == "<<" && is_mergeable(&built.node) => {
                    merges.push(built.node);
                }
                Some(key) => {
                    index(entries, by_key, &key);
                    entries.push((key, built.node));
                }
                None => {
                    let key = as_key(built)?;
                    let first = earlier(entries, by_key, &key.text);
                    *repeated = first.is_some();
                    let second = key.span.clone();
                    *pending = Some(key);
                    return Ok(first.map(|first| (first, second)));
                }
            },
        }
        Ok(None)
    }
}

fn index<'a>(entries: &[(Key<'a>, Node<'a>)], by_key: &mut HashMap<String, usize>, key: &Key<'a>) {
    if entries.len() == SMALL_MAP {
        let all = entries.iter().enumerate();
        by_key.extend(all.map(|(at, (key, _))| (key.text.to_string(), at)));
    }
    if entries.len() >= SMALL_MAP {
        by_key.insert(key.text.to_string(), entries.len());
    }
}

fn earlier(
    entries: &[(Key<'_>, Node<'_>)],
    by_key: &HashMap<String, usize>,
    key: &str,
) -> Option<Range<usize>> {
    let entry = if by_key.is_empty() {
        entries.iter().find(|(k, _)| k.text == key)
    } else {
        by_key.get(key).and_then(|&at| entries.get(at))
    };
    entry.map(|(key, _)| key.span.clone())
}

fn is_mergeable(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item.value, Value::Map(_))),
        _ => false,
    }
}

/// `<<`: what the map itself says goes before what it merges.
fn merge<'a>(entries: &mut Vec<(Key<'a>, Node<'a>)>, node: Node<'a>) {
    match node.value {
        Value::Map(more) => {
            let own: HashSet<String> = entries
                .iter()
                .map(|(key, _)| key.text.to_string())
                .collect();
            entries.extend(
                more.into_iter()
                    .filter(|(key, _)| !own.contains(key.text.as_ref())),
            );
        }
        Value::List(items) => items.into_iter().for_each(|item| merge(entries, item)),
        _ => {}
    }
}

/// Keys become strings, as in the JSON that the API server makes of YAML.
fn as_key(built: Built<'_>) -> Result<Key<'_>, SyntaxError> {
    let Node { span, value } = built.node;
    let text = match value {
        Value::Text(text) => text,
        Value::Bool(value) => Cow::Owned(value.to_string()),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Uint(value) => Cow::Owned(value.to_string()),
        Value::Float(value) => Cow::Owned(value.to_string()),
        Value::Null => Cow::Borrowed("null"),
        Value::List(_) | Value::Map(_) => {
            return Err(SyntaxError {
                at: span.start,
                found: "a list or a map stands as a key".into(),
                fix: "Use a string as the key; a template's braces must be quoted or rendered first.",
            });
        }
    };
    Ok(Key { span, text })
}
