//! Words of nginx's configuration. A template puts quotes around every word that holds something of
//! a user; a type here says what may stand between them.
//!
//! nginx knows two kinds of quoted strings: those in which `$name` is replaced, and those that it
//! takes as they are (the pattern of a `location`, the key of a `map`). No escape exists for a '$' in
//! the first kind, so there it is written as a variable that holds one.

use std::fmt;

use crate::model::names::{Template, TemplatePart};

/// The inside of a quoted string in which nginx replaces nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Literal(String);

impl Literal {
    pub fn new(text: &str) -> Self {
        Self(escaped(text))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The inside of a quoted string in which nginx replaces variables; only those of [`Text::of`] are
/// variables, a user's '$' stays one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(String);

impl Text {
    pub fn new(text: &str) -> Self {
        Self(escaped(text).replace('$', "${dollar}"))
    }

    /// A template with its holes as nginx's variables.
    pub fn of(template: &Template) -> Self {
        let mut text = String::new();
        for part in template.parts() {
            text.push_str(match part {
                TemplatePart::Literal(literal) => {
                    text.push_str(&Self::new(literal).0);
                    continue;
                }
                // Braces, because a digit of the text may follow; `${1}` would be another variable.
                TemplatePart::Group(group) => {
                    text.push_str(&format!("${group}"));
                    continue;
                }
                TemplatePart::RequestUri => "${request_uri}",
                TemplatePart::Host => "${host}",
                TemplatePart::Scheme => "${client_scheme}",
                TemplatePart::QuerySuffix => "${client_query}",
            });
        }
        Self(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands after a '#': ends with the line, so a text of a user keeps to one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment(String);

impl Comment {
    pub fn new(text: &str) -> Self {
        Self(escaped(text))
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Escapes what ends a quoted string; control characters, which no newtype of the model lets in, are
/// replaced, because object names are plain strings.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Makes an expression of a text that matches the text alone.
pub fn as_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\^$.|?*+()[]{}".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
