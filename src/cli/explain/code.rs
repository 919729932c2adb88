//! What a code means, for people and for programs.

use std::io::Write;

use anyhow::bail;
use serde::Serialize;

use super::{ExplainArgs, Output};
use crate::cli::GOOD;
use crate::model::diagnostics::{Code, Severity, Stage};

/// How wide a paragraph is.
const WIDTH: usize = 90;

#[derive(Serialize)]
struct Json {
    code: Code,
    reason: &'static str,
    severity: Severity,
    stage: Stage,
    title: &'static str,
    explanation: &'static str,
    repair: &'static str,
    /// Manifests that bring the finding, and the same ones without it.
    broken: String,
    repaired: String,
}

pub fn run(args: &ExplainArgs, code: Code) -> anyhow::Result<u8> {
    if !args.paths.is_empty() || !args.namespaces.is_empty() || args.ask.is_some() {
        bail!("{code} means the same everywhere: name it alone, or explain a URL instead");
    }
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text => write!(out, "{}", text(code))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&json(code))?)?,
    }
    Ok(GOOD)
}

fn text(code: Code) -> String {
    let meaning = code.meaning();
    let (reason, severity, stage) = (code.reason(), code.severity(), code.stage());
    let severity = format!("{severity:?}").to_lowercase();
    let explanation = wrapped(&format!("{} {}", meaning.title, meaning.explanation));
    let repair = wrapped(&format!("Repair: {}", meaning.repair));
    let example = meaning.shown.example().as_difference().lines();
    let example: String = example.map(|line| format!("  {line}\n")).collect();
    format!(
        "{code} {reason}: {severity}, stage {stage:?}\n\n{explanation}\n{repair}\n\
         An example; lines with '-' bring the finding, those with '+' mend it:\n\n{example}"
    )
}

fn json(code: Code) -> Json {
    let meaning = code.meaning();
    let example = meaning.shown.example();
    Json {
        code,
        reason: code.reason(),
        severity: code.severity(),
        stage: code.stage(),
        title: meaning.title,
        explanation: meaning.explanation,
        repair: meaning.repair,
        broken: example.broken(),
        repaired: example.mended(),
    }
}

/// A paragraph in lines that fit a terminal.
fn wrapped(paragraph: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in paragraph.split(' ') {
        let length = word.chars().count();
        let (gap, start) = match width {
            0 => ("", 0),
            width if width + 1 + length > WIDTH => ("\n", 0),
            width => (" ", width + 1),
        };
        text.push_str(gap);
        text.push_str(word);
        width = start + length;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_with_its_repair_and_an_example() {
        assert_eq!(
            text(Code::RH418),
            "RH418 NoEndpointSlices: error, stage EndpointsReady

The Service has no selector, and nobody wrote an EndpointSlice for it. Kubernetes writes
endpoints of Services with a selector alone. Requests get 503.

Repair: Add a selector, or an EndpointSlice with label kubernetes.io/service-name.

An example; lines with '-' bring the finding, those with '+' mend it:

   apiVersion: networking.k8s.io/v1
   kind: Ingress
   metadata: {name: shop}
   spec:
     ingressClassName: vigie
     rules:
     - host: shop.example.com
       http:
         paths:
         - path: /
           pathType: Prefix
           backend: {service: {name: api, port: {number: 80}}}
   ---
   apiVersion: v1
   kind: Service
   metadata: {name: api}
   spec:
  +  selector: {app: api}
     ports: [{port: 80}]
"
        );
    }

    #[test]
    fn every_code_is_explained_in_lines_that_fit() {
        for &code in Code::ALL {
            for line in text(code).lines() {
                assert!(line.chars().count() <= 102, "{code}: {line}");
            }
            assert!(serde_json::to_string(&json(code)).is_ok(), "{code}");
        }
    }
}
