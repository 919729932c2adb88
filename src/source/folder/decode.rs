//! A tree → a type of the API, as the API server decodes JSON: null is absent, unknown fields are
//! skipped (and remembered), and the first value of a wrong type is named with its field.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, Deserializer, Expected, Unexpected, Visitor};

use super::fields::Segment;
use super::yaml::{Key, Node, Value};

/// What decoding a tree gave.
pub struct Decoded<T> {
    pub result: Result<T, Refusal>,
    /// Fields that the type does not have.
    pub unknown: Vec<Vec<Segment>>,
}

/// The first value that cannot be taken.
#[derive(Debug)]
pub struct Refusal {
    pub path: Vec<Segment>,
    pub span: Range<usize>,
    pub mistake: Mistake,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    Type { found: Found, expected: String },
    Other(String),
}

/// A value's kind, and the value where it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: &'static str,
    pub value: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { found, expected } => write!(f, "{} instead of {expected}", found.kind),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Type {
            found: named(found),
            expected: wanted(&expected.to_string()),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
}

fn named(found: Unexpected<'_>) -> Found {
    let (kind, value) = match found {
        Unexpected::Bool(value) => ("the boolean", Some(value.to_string())),
        Unexpected::Unsigned(value) => ("the number", Some(value.to_string())),
        Unexpected::Signed(value) => ("the number", Some(value.to_string())),
        Unexpected::Float(value) => ("the number", Some(value.to_string())),
        Unexpected::Str(value) => ("the string", Some(crate::model::names::shown(value))),
        Unexpected::Unit | Unexpected::Option => ("null", None),
        Unexpected::Seq => ("a list", None),
        Unexpected::Map | Unexpected::StructVariant => ("a map", None),
        _ => ("another value", None),
    };
    Found { kind, value }
}

/// Rust's words for a type in those of a manifest.
fn wanted(expected: &str) -> String {
    match expected {
        "i32" | "i64" | "u16" | "u32" | "u64" | "a 32-bit integer" => "a whole number".into(),
        "IntOrString" => "a whole number or a string".into(),
        "a sequence" => "a list".into(),
        "a boolean" => "true or false".into(),
        "string" | "String" => "a string".into(),
        name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("a map with the fields of {name}")
        }
        other => other.into(),
    }
}

/// Decodes a tree.
pub fn decode<'a, T: serde::Deserialize<'a>>(node: &'a Node<'a>) -> Decoded<T> {
    let walk = Walk::default();
    let result = T::deserialize(Place { node, walk: &walk });
    let state = walk.0.into_inner();
    Decoded {
        result: result.map_err(|mistake| {
            let (path, span) = state
                .refused
                .unwrap_or_else(|| (Vec::new(), node.span.clone()));
            Refusal {
                path,
                span,
                mistake,
            }
        }),
        unknown: state.unknown,
    }
}

/// Where decoding stands; shared by all places of one tree.
#[derive(Default)]
struct Walk<'a>(RefCell<State<'a>>);

#[derive(Default)]
struct State<'a> {
    path: Vec<Step<'a>>,
    refused: Option<(Vec<Segment>, Range<usize>)>,
    unknown: Vec<Vec<Segment>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl State<'_> {
    fn segments(&self) -> Vec<Segment> {
        let segment = |step: &Step<'_>| match step {
            Step::Key(key) => Segment::Key((*key).to_owned()),
            Step::Index(index) => Segment::Index(*index),
        };
        self.path.iter().map(segment).collect()
    }
}

impl<'a> Walk<'a> {
    /// Decodes the value behind a step, and keeps the innermost place of a failure.
    fn into<T>(
        &self,
        step: Step<'a>,
        node: &'a Node<'a>,
        decode: impl FnOnce(Place<'a, '_>) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        self.0.borrow_mut().path.push(step);
        let result = decode(Place { node, walk: self });
        let mut state = self.0.borrow_mut();
        if result.is_err() && state.refused.is_none() {
            state.refused = Some((state.segments(), node.span.clone()));
        }
        state.path.pop();
        result
    }
}

/// A node and the way to it.
struct Place<'a, 'w> {
    node: &'a Node<'a>,
    walk: &'w Walk<'a>,
}

impl<'de> Deserializer<'de> for Place<'de, '_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Uint(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Value::Text(Cow::Owned(text)) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                walk: self.walk,
            }),
            Value::Map(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
                walk: self.walk,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A null item of a list of objects is an object without fields.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.node.value {
            Value::Null => visitor.visit_map(Entries {
                entries: [].iter(),
                value: None,
                walk: self.walk,
            }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    /// Nothing else asks for this than a type that has no such field.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let mut state = self.walk.0.borrow_mut();
        let path = state.segments();
        state.unknown.push(path);
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map enum identifier
    }
}

struct Items<'a, 'w> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node<'a>>>,
    walk: &'w Walk<'a>,
}

impl<'a> de::SeqAccess<'a> for Items<'a, '_> {
    type Error = Mistake;

    fn next_element_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        self.items
            .next()
            .map(|(at, node)| {
                self.walk
                    .into(Step::Index(at), node, |place| seed.deserialize(place))
            })
            .transpose()
    }
}

struct Entries<'a, 'w> {
    entries: std::slice::Iter<'a, (Key<'a>, Node<'a>)>,
    value: Option<(&'a str, &'a Node<'a>)>,
    walk: &'w Walk<'a>,
}

impl<'a> de::MapAccess<'a> for Entries<'a, '_> {
    type Error = Mistake;

    /// Skips entries whose value is null.
    fn next_key_seed<S: DeserializeSeed<'a>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mistake> {
        let entry = self
            .entries
            .find(|(_, node)| !matches!(node.value, Value::Null));
        let Some((key, node)) = entry else {
            return Ok(None);
        };
        self.value = Some((&key.text, node));
        let name = de::value::BorrowedStrDeserializer::new(&key.text);
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Mistake> {
        match self.value.take() {
            Some((key, node)) => self
                .walk
                .into(Step::Key(key), node, |place| seed.deserialize(place)),
            None => Err(de::Error::custom("a value without a key")),
        }
    }
}
