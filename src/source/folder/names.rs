use std::borrow::Cow;
use std::ops::Range;

use super::yaml::{Node, Value};
use crate::model::diagnostics::{Kind, ObjectRef};
use crate::model::names::shown;

/// Why an object has no name by which it could be spoken of.
pub struct BadName {
    pub span: Option<Range<usize>>,
    /// A clause.
    pub found: String,
    pub fix: String,
}

/// Kind, namespace and name of an object, by the rules of the API.
pub fn object_ref(node: &Node<'_>, kind: Kind) -> Result<ObjectRef, BadName> {
    let metadata = node.get("metadata");
    let name = required(metadata, kind)?;
    let label_only = kind == Kind::Service;
    if let Err(found) = check(name.1, label_only) {
        return Err(bad(kind, "metadata.name", &name, &found, label_only));
    }
    let namespace = match metadata.and_then(|m| m.get("namespace")) {
        _ if kind == Kind::IngressClass => "",
        None => "default",
        Some(node) => match &node.value {
            Value::Null => "default",
            Value::Text(text) if text.is_empty() => "default",
            Value::Text(text) => match check(text, true) {
                Ok(()) => text,
                Err(found) => {
                    let value = (node.span.clone(), text.as_ref());
                    return Err(bad(kind, "metadata.namespace", &value, &found, true));
                }
            },
            _ => return Err(not_a_string(kind, "metadata.namespace", node)),
        },
    };
    Ok(ObjectRef::new(kind, namespace, name.1))
}

fn required<'a>(
    metadata: Option<&'a Node<'a>>,
    kind: Kind,
) -> Result<(Range<usize>, &'a str), BadName> {
    let node = metadata.and_then(|m| m.get("name"));
    match node.map(|node| (node, &node.value)) {
        None | Some((_, Value::Null)) => Err(BadName {
            span: metadata.map(|m| m.span.clone()),
            found: format!("this {kind} has no metadata.name"),
            fix: "Give metadata.name; generateName works only where a cluster makes the name."
                .into(),
        }),
        Some((node, Value::Text(text))) => Ok((node.span.clone(), text)),
        Some((node, _)) => Err(not_a_string(kind, "metadata.name", node)),
    }
}

fn not_a_string(kind: Kind, field: &str, node: &Node<'_>) -> BadName {
    BadName {
        span: Some(node.span.clone()),
        found: format!("{field} of this {kind} is not a string"),
        fix: "Write a string; quote it where it looks like a number or a boolean.".into(),
    }
}

fn bad(kind: Kind, field: &str, value: &(Range<usize>, &str), found: &str, label: bool) -> BadName {
    let (length, dots) = if label { (63, "") } else { (253, " and '.'") };
    BadName {
        span: Some(value.0.clone()),
        found: format!(
            "{field} {} of this {kind} cannot be used: {found}",
            shown(value.1)
        ),
        fix: format!(
            "Use at most {length} lower-case letters, digits, '-'{dots}, with a letter or digit at both ends."
        ),
    }
}

/// RFC 1123: a label, or labels joined by dots.
fn check(name: &str, label_only: bool) -> Result<(), String> {
    let longest = if label_only { 63 } else { 253 };
    if name.is_empty() {
        return Err("it is empty".into());
    }
    if name.len() > longest {
        return Err(format!("it has {} characters", name.chars().count()));
    }
    let allowed = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (c == '.' && !label_only)
    };
    if let Some(c) = name.chars().find(|&c| !allowed(c)) {
        return Err(format!("it holds {}", crate::model::names::named(c)));
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let whole = |label: &str| edge(label.chars().next()) && edge(label.chars().last());
    if name.split('.').all(whole) {
        Ok(())
    } else {
        Err("a part of it begins or ends with '-' or is empty".into())
    }
}

/// Base64 may be broken into lines, which the decoder of the type does not take.
pub fn unwrap_base64(secret: &mut Node<'_>) {
    let Value::Map(fields) = &mut secret.value else {
        return;
    };
    let data = fields.iter_mut().filter(|(key, _)| key.text == "data");
    for (_, node) in data {
        let Value::Map(entries) = &mut node.value else {
            continue;
        };
        for (_, entry) in entries {
            if let Value::Text(text) = &mut entry.value
                && text.contains(['\n', '\r'])
            {
                *text = Cow::Owned(text.replace(['\n', '\r'], ""));
            }
        }
    }
}
