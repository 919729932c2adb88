//! Findings for people and for programs.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::model::diagnostics::{Diagnostic, Kind, Severity};
use crate::source::folder::{Locations, Place};

/// Findings with their places, in the order of files and lines; those without a place come last.
pub struct Report<'a> {
    findings: Vec<(Option<Place<'a>>, &'a Diagnostic)>,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    code: &'a str,
    reason: &'a str,
    severity: Severity,
    object: JsonObject<'a>,
    field: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    message: &'a str,
    fix: &'a str,
}

#[derive(Serialize)]
struct JsonObject<'a> {
    kind: Kind,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Report<'a> {
    pub fn new(diagnostics: &'a [Diagnostic], locations: &'a Locations) -> Self {
        let place = |d: &'a Diagnostic| (locations.locate(&d.origin.object, &d.origin.field), d);
        let mut findings: Vec<_> = diagnostics.iter().map(place).collect();
        findings.sort_by(|(a, x), (b, y)| {
            let key = |place: &Option<Place<'a>>| {
                let place = place.as_ref();
                (place.is_none(), place.map(|p| (p.file, p.line, p.column)))
            };
            key(a).cmp(&key(b)).then_with(|| x.cmp(y))
        });
        findings.dedup_by(|(_, a), (_, b)| a == b);
        Self { findings }
    }

    pub fn findings(&self) -> impl Iterator<Item = (Option<&Place<'a>>, &'a Diagnostic)> {
        let all = self.findings.iter();
        all.map(|(place, finding)| (place.as_ref(), *finding))
    }

    pub fn count(&self, severity: Severity) -> usize {
        let all = self.findings.iter();
        all.filter(|(_, finding)| finding.severity == severity)
            .count()
    }

    /// As the Rust compiler writes.
    pub fn text(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for (place, finding) in &self.findings {
            text.push_str(&renderer.render(&[group(place.as_ref(), finding)]));
            text.push_str("\n\n");
        }
        text
    }

    pub fn json(&self) -> serde_json::Result<String> {
        let all = self.findings.iter().map(|(place, finding)| JsonFinding {
            code: finding.code.as_str(),
            reason: finding.code.reason(),
            severity: finding.severity,
            object: JsonObject {
                kind: finding.origin.object.kind,
                namespace: &finding.origin.object.namespace,
                name: &finding.origin.object.name,
            },
            field: finding.origin.field.as_str(),
            file: place.as_ref().map(|place| place.file),
            line: place.as_ref().map(|place| place.line),
            message: &finding.message,
            fix: &finding.fix,
        });
        serde_json::to_string_pretty(&all.collect::<Vec<_>>())
    }
}

fn group<'a>(place: Option<&Place<'a>>, finding: &'a Diagnostic) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let mut group = level
        .primary_title(printable(&finding.message))
        .id(finding.code.as_str())
        .elements(None::<Snippet<'a, annotate_snippets::Annotation<'a>>>);
    if let Some(place) = place {
        group = match &place.shown {
            Some((line, span)) => group.element(
                Snippet::source(*line)
                    .path(place.file)
                    .line_start(place.line)
                    .annotation(
                        AnnotationKind::Primary
                            .span(span.clone())
                            .label(finding.code.reason()),
                    ),
            ),
            None => group.element(
                Origin::path(place.file)
                    .line(place.line)
                    .char_column(place.column),
            ),
        };
    }
    let object = &finding.origin.object;
    let subject = match object.kind {
        Kind::Manifest => format!("in {}", object.name),
        _ if finding.origin.field.as_str().is_empty() => object.name.to_string(),
        _ => format!("{object}, {}", finding.origin.field),
    };
    group
        .element(Level::NOTE.message(printable(&subject)))
        .element(Level::HELP.message(printable(&finding.fix)))
}

/// Nothing in a manifest may speak to the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// `2 errors, 1 warning in 14 objects; skipped 3 Deployment, 1 Foo`.
pub fn summary(report: &Report<'_>, objects: usize, skipped: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = [
        counted(report.count(Severity::Error), "error"),
        counted(report.count(Severity::Warning), "warning"),
        counted(report.count(Severity::Info), "remark"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let found = match parts.as_slice() {
        [] => "nothing found".to_owned(),
        parts => parts.join(", "),
    };
    let objects = counted(objects, "object").unwrap_or_else(|| "no objects".into());
    let skipped: Vec<String> = skipped
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    match skipped.as_slice() {
        [] => format!("{found} in {objects}"),
        skipped => format!("{found} in {objects}; skipped {}", skipped.join(", ")),
    }
}

/// `1 error`, `2 errors`; nothing where there are none.
pub fn counted(count: usize, one: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {one}s")),
    }
}

/// Whether standard output takes colours: a terminal whose user has not said no.
pub fn colour(is_terminal: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !refused
}
