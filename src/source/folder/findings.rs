//! What reading manifests finds, in the words of the user's files.

use super::decode::{Found, Mistake, Refusal};
use super::documents::SourceFile;
use super::fields::field_path;
use crate::model::diagnostics::accepted::invalid;
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin, Severity};

/// About a place where no object is known.
pub fn in_file(file: &SourceFile, at: usize, found: &str, fix: &str) -> Diagnostic {
    let (line, column) = file.line_and_column(at);
    let field = FieldPath::new(format!("line {line}, column {column}"));
    invalid(Origin::new(manifest(&file.name), field), found, fix)
}

/// About a file that is not text.
pub fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let readable = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = readable.iter().filter(|&&b| b == b'\n').count() + 1;
    unreadable(
        name,
        &format!("line {line} is not UTF-8"),
        "Save it as UTF-8.",
    )
}

/// About a file that cannot be read at all.
pub fn unreadable(name: &str, found: &str, fix: &str) -> Diagnostic {
    let origin = Origin::new(manifest(name), FieldPath::new("this file"));
    invalid(origin, found, fix)
}

fn manifest(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Manifest, "", name)
}

fn about(object: &ObjectRef, field: &FieldPath, found: &str, fix: &str) -> Diagnostic {
    invalid(Origin::new(object.clone(), field.clone()), found, fix)
}

/// The kind with its article.
fn a(object: &ObjectRef) -> String {
    match object.kind {
        Kind::Ingress | Kind::IngressClass | Kind::EndpointSlice => format!("an {}", object.kind),
        kind => format!("a {kind}"),
    }
}

pub fn wrong_version(object: &ObjectRef, found: &str, wanted: &str) -> Diagnostic {
    let found = crate::model::names::shown(found);
    about(
        object,
        &FieldPath::new("apiVersion"),
        &format!(
            "it is {found}, in which no supported Kubernetes serves {}",
            a(object)
        ),
        &format!(
            "Use apiVersion: {wanted}; `kubectl convert` rewrites an object whose fields changed with the version."
        ),
    )
}

pub fn key_twice(object: &ObjectRef, field: &FieldPath, first: usize, second: usize) -> Diagnostic {
    about(
        object,
        field,
        &format!("this key stands on line {first} and again on line {second}"),
        "Keep one of the two.",
    )
}

pub fn defined_twice(object: &ObjectRef, earlier: &str, here: &str) -> Diagnostic {
    about(
        object,
        &FieldPath::new("metadata.name"),
        &format!("{object} is defined in {earlier}, and again in {here}, which is used"),
        "Remove or rename one of the two.",
    )
    .with_severity(Severity::Warning)
}

pub fn slice_without_service(object: &ObjectRef) -> Diagnostic {
    about(
        object,
        &FieldPath::new("metadata.labels"),
        "there is no label kubernetes.io/service-name, so this slice belongs to no Service",
        "Add the label with the Service's name.",
    )
    .with_severity(Severity::Warning)
}

pub fn unknown_field(object: &ObjectRef, field: &FieldPath) -> Diagnostic {
    about(
        object,
        field,
        &format!("{} has no such field; it is not read", a(object)),
        "Correct its name or its place (indentation), or remove it; kubectl refuses it.",
    )
    .with_severity(Severity::Warning)
}

/// `written` is the value as it stands in the file.
pub fn refused(object: &ObjectRef, refusal: &Refusal, written: Option<&str>) -> Diagnostic {
    let field = field_path(&refusal.path);
    let secret = object.kind == Kind::Secret;
    let (found, fix) = match &refusal.mistake {
        Mistake::Type { found, expected } => (
            format!(
                "it is {}, and {expected} is wanted",
                described(found, secret)
            ),
            mend(found, expected, written.filter(|_| !secret)),
        ),
        // The decoder's own words would name a character of the secret.
        Mistake::Other(_) if secret => (
            "it is not base64".to_owned(),
            "Encode the value with base64, or move it to stringData as it is.".to_owned(),
        ),
        Mistake::Other(words) => (
            words.trim_end_matches('.').to_owned(),
            "Correct the value.".to_owned(),
        ),
    };
    about(object, &field, &found, &fix)
}

fn described(found: &Found, secret: bool) -> String {
    match &found.value {
        Some(value) if !secret => format!("{} {value}", found.kind),
        Some(_) => found.kind.replacen("the ", "a ", 1),
        None => found.kind.to_owned(),
    }
}

fn mend(found: &Found, expected: &str, written: Option<&str>) -> String {
    let scalar = matches!(found.kind, "the boolean" | "the number");
    if expected == "a string" && scalar {
        let written = written
            .map(str::trim)
            .filter(|w| w.len() < 80 && !w.contains(['"', '\\', '\n']));
        return match (written, &found.value) {
            (Some(written), Some(value)) if written != value && found.kind == "the boolean" => {
                format!("Quote it: \"{written}\". YAML reads {written} without quotes as {value}.")
            }
            (Some(written), _) => format!("Quote it: \"{written}\"."),
            (None, _) => "Quote it.".to_owned(),
        };
    }
    let quoted = written.and_then(|w| w.strip_prefix(['"', '\''])?.strip_suffix(['"', '\'']));
    match (expected, quoted) {
        ("a whole number", Some(digits)) if digits.parse::<i32>().is_ok() => {
            format!("Remove the quotes: {digits}.")
        }
        ("a whole number", _) => "Write a whole number, as 80.".to_owned(),
        ("true or false", _) => "Write true or false without quotes.".to_owned(),
        ("a list", _) => "Begin each item with '- '.".to_owned(),
        _ => format!("Write {expected}."),
    }
}
