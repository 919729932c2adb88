//! Findings as SARIF 2.1.0, in the subset that GitHub code scanning reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::baseline::Identity;
use crate::cli::report::Report;
use crate::model::diagnostics::{Code, Diagnostic, Severity};
use crate::source::folder::Place;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    version: &'a str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    column_kind: &'a str,
    invocations: [Invocation; 1],
    results: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    version: &'a str,
    semantic_version: &'a str,
    rules: Vec<Rule<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    id: &'a str,
    name: &'a str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: Level,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warning,
    Note,
}

/// GitHub refuses a file that has a result without a location, whole. What has no place, such as a
/// finding about an option, is told as a notification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_configuration_notifications: Vec<Notification>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    associated_rule: RuleReference,
    level: Level,
    message: Text,
}

#[derive(Serialize)]
struct RuleReference {
    id: String,
    index: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: Level,
    message: Text,
    locations: [Location; 1],
    partial_fingerprints: Fingerprints,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
}

/// The one name that GitHub reads; it would hash the line's text instead.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprints {
    primary_location_line_hash: String,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Error,
            Severity::Warning => Self::Warning,
            Severity::Info => Self::Note,
        }
    }
}

/// The report as one run of this program, with the rules that it names.
pub fn sarif(report: &Report<'_>) -> serde_json::Result<String> {
    let codes: BTreeSet<Code> = report.findings().map(|(_, finding)| finding.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let root = std::env::current_dir().unwrap_or_default();
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    for (place, finding) in report.findings() {
        let index = codes.partition_point(|&code| code < finding.code);
        match place {
            Some(place) => results.push(result(place, finding, index, &root)),
            None => notifications.push(notification(finding, index)),
        }
    }
    let log = Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: codes.iter().copied().map(rule).collect(),
                },
            },
            column_kind: "unicodeCodePoints",
            invocations: [Invocation {
                execution_successful: true,
                tool_configuration_notifications: notifications,
            }],
            results,
        }],
    };
    serde_json::to_string_pretty(&log)
}

fn rule(code: Code) -> Rule<'static> {
    let meaning = code.meaning();
    Rule {
        id: code.as_str(),
        name: code.reason(),
        short_description: text(meaning.title),
        full_description: text(meaning.explanation),
        help: text(meaning.repair),
        default_configuration: Configuration {
            level: code.severity().into(),
        },
    }
}

fn result<'a>(
    place: &Place<'_>,
    finding: &'a Diagnostic,
    rule_index: usize,
    root: &Path,
) -> Finding<'a> {
    Finding {
        rule_id: finding.code.as_str(),
        rule_index,
        level: finding.severity.into(),
        message: words(finding),
        locations: [Location {
            physical_location: PhysicalLocation {
                artifact_location: ArtifactLocation {
                    uri: uri(place.file, root),
                },
                region: Region {
                    start_line: place.line,
                    start_column: place.column,
                },
            },
        }],
        partial_fingerprints: Fingerprints {
            primary_location_line_hash: fingerprint(finding),
        },
    }
}

fn notification(finding: &Diagnostic, index: usize) -> Notification {
    Notification {
        associated_rule: RuleReference {
            id: finding.code.to_string(),
            index,
        },
        level: finding.severity.into(),
        message: words(finding),
    }
}

fn words(finding: &Diagnostic) -> Text {
    text(format!(
        "{}: {} {}",
        finding.origin.object, finding.message, finding.fix
    ))
}

fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

/// Stays the same when lines move: it is made of what was found and of whom. A message may name lines.
fn fingerprint(finding: &Diagnostic) -> String {
    let Identity {
        code,
        kind,
        namespace,
        name,
        field,
    } = Identity::of(finding);
    let mut hasher = blake3::Hasher::new();
    for part in [code, kind, namespace, name, field] {
        hasher.update(part.as_bytes()).update(b"\0");
    }
    for part in finding.message.split("line ") {
        hasher.update(
            part.trim_start_matches(|c: char| c.is_ascii_digit())
                .as_bytes(),
        );
    }
    let hash = hasher.finalize().to_hex();
    format!("{}:1", &hash[..16])
}

/// The file's URI, relative to where the command runs if it lies below, with what a URI may not hold
/// as percent signs.
fn uri(file: &str, root: &Path) -> String {
    let path = Path::new(file);
    let relative = path.strip_prefix(root).or_else(|_| path.strip_prefix("."));
    let path = relative.unwrap_or(path).to_string_lossy();
    let mut uri = match path.starts_with('/') {
        true => "file://".to_owned(),
        false => String::new(),
    };
    for octet in path.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            uri.push(octet.into());
        } else {
            let _ = write!(uri, "%{octet:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests;
