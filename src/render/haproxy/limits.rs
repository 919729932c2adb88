//! What HAProxy cannot do, asked by the renderer, which leaves it out, and told as findings.

use super::{patterns, splits, texts};
use crate::model::diagnostics::settings::not_supported_by_proxy;
use crate::model::diagnostics::{Diagnostic, Severity};
use crate::model::names::{Template, ValueRegex};
use crate::model::{Action, Forward, Model, PathMatch, Route, Timeouts};
use crate::render::Capabilities;

/// Whether a look-up can find the route at all.
pub fn can_be_found(route: &Route) -> bool {
    match &route.path {
        PathMatch::Regex(regex) => patterns::can_be_embedded(regex.source()),
        _ => true,
    }
}

/// Whether an expression of a value keeps its meaning after the route's id: `^` and `$` do, those
/// that mean the ends of the whole text do not.
pub fn value_regex(regex: &ValueRegex) -> bool {
    let source = regex.source();
    let ends = ["\\A", "\\z", "\\Z", "\\G"];
    patterns::can_be_embedded(source) && !ends.iter().any(|end| source.contains(end))
}

fn can_rewrite(template: &Template, path: &PathMatch) -> bool {
    let (to, query) = texts::path_and_query(template);
    texts::text(&to, path).is_some()
        && query.is_none_or(|query| texts::text(&query, path).is_some())
}

pub fn unsupported(model: &Model, capabilities: &Capabilities) -> Vec<Diagnostic> {
    let proxy = capabilities.to_string();
    let routes = model.hosts.values().flat_map(|host| &host.routes);
    let mut findings = Vec::new();
    for route in routes.chain(&model.fallback) {
        Findings {
            proxy: &proxy,
            route,
            findings: &mut findings,
        }
        .collect();
    }
    findings.sort();
    findings.dedup();
    findings
}

struct Findings<'a> {
    proxy: &'a str,
    route: &'a Route,
    findings: &'a mut Vec<Diagnostic>,
}

impl Findings<'_> {
    fn add(&mut self, what: &str, consequence: &str, fix: &str, severity: Severity) {
        let origin = self.route.origin.clone();
        let finding = not_supported_by_proxy(origin, what, self.proxy, consequence, fix);
        self.findings.push(finding.with_severity(severity));
    }

    fn collect(&mut self) {
        if !can_be_found(self.route) {
            self.add(
                "regular expressions with the flag x",
                "the route is left out",
                "Write the expression without (?x).",
                Severity::Error,
            );
        }
        self.body();
        self.timeouts();
        match &self.route.action {
            Action::Redirect(redirect) => {
                if texts::text(redirect.location.parts(), &self.route.path).is_none() {
                    self.too_many_groups("redirects");
                }
            }
            Action::Forward(forward) => self.forward(forward),
            Action::Refuse(_) => {}
        }
    }

    fn body(&mut self) {
        let limit = &self.route.policy.body_limit;
        if let (Some(octets), Some(origin)) = (limit.octets, &limit.origin) {
            let finding = not_supported_by_proxy(
                origin.clone(),
                "body limits for requests that do not say their length",
                self.proxy,
                &format!(
                    "a body with Content-Length above {octets} octets is answered 413, but of a chunked one only what comes with its head counts"
                ),
                "Limit chunked bodies in the application where it matters.",
            );
            self.findings.push(finding.with_severity(Severity::Info));
        }
    }

    fn timeouts(&mut self) {
        let timeouts = &self.route.policy.timeouts;
        let default = Timeouts::default();
        if timeouts.send != default.send && timeouts.send != timeouts.read {
            self.add(
                "a time-out for sending apart from the one for reading",
                &format!(
                    "{} s, the one for reading, holds for both",
                    timeouts.read.as_secs()
                ),
                "Give both the same value.",
                Severity::Info,
            );
        }
    }

    fn forward(&mut self, forward: &Forward) {
        if let Some(template) = &forward.rewrite
            && !can_rewrite(template, &self.route.path)
        {
            self.too_many_groups("rewrites");
        }
        for rule in splits::sorted(&forward.split).1 {
            let finding = not_supported_by_proxy(
                rule.origin.clone(),
                "this rule by regular expression",
                self.proxy,
                "the rule is left out",
                "Use exact values, or one expression without (?x), \\A, \\z, \\Z and \\G, before them.",
            );
            self.findings.push(finding);
        }
    }

    fn too_many_groups(&mut self, what: &str) {
        self.add(
            &format!("{what} that need more than nine groups, variables counted, or variables beside an expression that refers to its own groups"),
            "the route answers 503",
            "Use fewer groups or no variables.",
            Severity::Error,
        );
    }
}
