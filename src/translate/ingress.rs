//! Rules of Ingresses → entries: each path of each host, parsed, with its origin; and what the
//! semantics of its class make of the path.

use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressBackend, IngressRule};

use super::PathSemantics;
use super::class::Claimed;
use super::memo::Regexes;
use crate::model::PathMatch;
use crate::model::diagnostics::{Diagnostic, FieldPath, Origin, Severity, accepted, programmed};
use crate::model::names::{HostMatch, NameError, RoutePath, shown};

/// One path of a rule.
pub struct Entry<'a> {
    pub claimed: &'a Claimed<'a>,
    pub host: HostMatch,
    /// As written; `/` where none is given.
    pub path: &'a str,
    pub path_type: PathType,
    pub backend: &'a IngressBackend,
    /// The path entry of the Ingress.
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}

impl PathType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }
}

/// Whether an Ingress has rules, be they readable or not.
pub fn has_rules(claimed: &Claimed<'_>) -> bool {
    let spec = claimed.ingress.spec.as_ref();
    spec.and_then(|spec| spec.rules.as_ref())
        .is_some_and(|rules| !rules.is_empty())
}

/// Reads all rules of an Ingress; what cannot be read is told and left out.
pub fn entries<'a>(claimed: &'a Claimed<'a>, findings: &mut Vec<Diagnostic>) -> Vec<Entry<'a>> {
    let spec = claimed.ingress.spec.as_ref();
    let rules = spec
        .and_then(|spec| spec.rules.as_deref())
        .unwrap_or_default();
    if rules.is_empty() && spec.is_none_or(|spec| spec.default_backend.is_none()) {
        findings.push(accepted::invalid(
            Origin::new(claimed.object.clone(), FieldPath::new("spec")),
            "it has neither rules nor a default backend",
            "Give spec.rules or spec.defaultBackend; without either nothing is served.",
        ));
    }
    let mut entries = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        let field = FieldPath::new("spec.rules").index(i);
        let Some(host) = host(claimed, rule, &field, findings) else {
            continue;
        };
        let paths = rule
            .http
            .as_ref()
            .map(|http| http.paths.as_slice())
            .unwrap_or_default();
        for (j, path) in paths.iter().enumerate() {
            let origin = Origin::new(claimed.object.clone(), field.key("http.paths").index(j));
            if let Some(path_type) = path_type(path, &origin, findings) {
                entries.push(Entry {
                    claimed,
                    host: host.clone(),
                    path: path
                        .path
                        .as_deref()
                        .filter(|p| !p.is_empty())
                        .unwrap_or("/"),
                    path_type,
                    backend: &path.backend,
                    origin,
                });
            }
        }
    }
    entries
}

fn host(
    claimed: &Claimed<'_>,
    rule: &IngressRule,
    field: &FieldPath,
    findings: &mut Vec<Diagnostic>,
) -> Option<HostMatch> {
    let raw = rule.host.as_deref().unwrap_or_default();
    raw.parse()
        .inspect_err(|error| {
            findings.push(accepted::invalid(
                Origin::new(claimed.object.clone(), field.key("host")),
                format!("{}: {error}", shown(raw)),
                "Use a name such as shop.example.com, or *.example.com for any one label before it.",
            ));
        })
        .ok()
}

fn path_type(
    path: &HTTPIngressPath,
    origin: &Origin,
    findings: &mut Vec<Diagnostic>,
) -> Option<PathType> {
    match path.path_type.as_str() {
        "Exact" => Some(PathType::Exact),
        "Prefix" => Some(PathType::Prefix),
        "ImplementationSpecific" => Some(PathType::ImplementationSpecific),
        other => {
            findings.push(accepted::invalid(
                origin.at(origin.field.key("pathType")),
                match other {
                    "" => "it is missing".to_owned(),
                    other => format!("{} is no path type", shown(other)),
                },
                "Use Exact, Prefix or ImplementationSpecific.",
            ));
            None
        }
    }
}

/// Characters that a literal path hardly ever holds and a regular expression can hardly do without.
fn holds_regex(path: &str) -> bool {
    path.contains(['(', ')', '[', ']', '{', '}', '^', '$', '|', '\\', '*', '?'])
}

/// `/*` and `/foo*`: a wildcard that the Ingress API does not have.
fn ends_with_star(path: &str) -> bool {
    path.strip_suffix('*')
        .is_some_and(|rest| !rest.ends_with('.') && !holds_regex(rest))
}

impl Entry<'_> {
    fn semantics(&self) -> PathSemantics {
        self.claimed.semantics
    }

    pub fn rewrites(&self) -> bool {
        // A rewrite of / to / asks for nothing (ingress-nginx: needsRewrite).
        let target = self.claimed.settings.rewrite_target.as_ref();
        target.is_some_and(|target| !(self.path == "/" && target.to_string() == "/"))
    }

    /// Whether this entry makes its host an ordered list of regular expressions.
    pub fn wants_regex(&self) -> bool {
        let settings = &self.claimed.settings;
        match self.semantics() {
            PathSemantics::IngressNginx => settings.use_regex || self.rewrites(),
            PathSemantics::Strict => {
                let groups = settings
                    .rewrite_target
                    .as_ref()
                    .map_or(0, |t| t.highest_group());
                self.path_type == PathType::ImplementationSpecific
                    && (settings.use_regex || groups > 0)
            }
        }
    }

    /// What the path is held against; None, with a finding, where it cannot be read. `ordered`: the
    /// Ingress that makes the host an ordered list, if one does.
    pub fn path_match(
        &self,
        ordered: Option<&Origin>,
        regexes: &mut Regexes,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<PathMatch> {
        self.advise(findings)?;
        let of_path = match (ordered, self.semantics()) {
            (None, semantics) => self.literal(semantics),
            (Some(owner), PathSemantics::IngressNginx) => {
                self.advise_host_wide(owner, findings);
                regexes.ignoring_case(self.path).map(PathMatch::Regex)
            }
            (Some(_), PathSemantics::Strict) if self.wants_regex() => {
                regexes.heeding_case(self.path).map(PathMatch::Regex)
            }
            (Some(_), PathSemantics::Strict) => self
                .literal(PathSemantics::Strict)
                .and_then(|literal| as_regex(literal, regexes)),
        };
        of_path
            .inspect_err(|error| {
                findings.push(accepted::invalid(
                    self.origin.at(self.origin.field.key("path")),
                    format!("{}: {error}", shown(self.path)),
                    match self.wants_regex() {
                        true => "Use a regular expression of PCRE's syntax that begins with '/', such as /item/[0-9]+.",
                        false => "Use a path that begins with '/', such as /api.",
                    },
                ));
            })
            .ok()
    }

    fn literal(&self, semantics: PathSemantics) -> Result<PathMatch, NameError> {
        let path: RoutePath = self.path.parse()?;
        Ok(match (self.path_type, semantics) {
            (PathType::Exact, _) => PathMatch::Exact(path),
            (PathType::ImplementationSpecific, PathSemantics::IngressNginx) if !path.is_root() => {
                PathMatch::PlainPrefix(path)
            }
            _ => PathMatch::Prefix(path.without_trailing_slash()),
        })
    }

    /// Tells of paths that cannot mean what they seem to; None where the entry is refused.
    fn advise(&self, findings: &mut Vec<Diagnostic>) -> Option<()> {
        let origin = || self.origin.at(self.origin.field.key("path"));
        let strict = self.semantics() == PathSemantics::Strict;
        let regex = self.wants_regex();
        let free = self.path_type == PathType::ImplementationSpecific;
        if regex && free || !holds_regex(self.path) {
            return Some(());
        }
        if ends_with_star(self.path) && !regex {
            findings.push(programmed::path_never_matches(origin(), self.path));
            return Some(());
        }
        if free {
            findings.push(programmed::regex_taken_literally(
                origin(),
                &shown(self.path),
            ));
            return Some(());
        }
        let finding = accepted::regex_needs_implementation_specific(
            origin(),
            &shown(self.path),
            self.path_type.as_str(),
        );
        if strict {
            findings.push(finding);
            return None;
        }
        // ingress-nginx serves it, as a regular expression or literally, but its webhook refuses it.
        findings.push(finding.with_severity(Severity::Warning));
        Some(())
    }

    fn advise_host_wide(&self, owner: &Origin, findings: &mut Vec<Diagnostic>) {
        if owner.object != self.claimed.object && !self.wants_regex() {
            findings.push(programmed::regex_host_wide(
                self.origin.at(self.origin.field.key("path")),
                &self.host.to_string(),
                self.path,
                &owner.object.to_string(),
            ));
        }
    }
}

/// A literal path in an ordered host: the expression that takes just the same requests.
fn as_regex(literal: PathMatch, regexes: &mut Regexes) -> Result<PathMatch, NameError> {
    let escape = |path: &RoutePath| fancy_regex::escape(path.as_str()).into_owned();
    let source = match &literal {
        PathMatch::Exact(path) => format!(r"{}\z", escape(path)),
        PathMatch::Prefix(path) if path.is_root() => "/".to_owned(),
        PathMatch::Prefix(path) => format!(r"{}(?:/|\z)", escape(path)),
        PathMatch::PlainPrefix(path) => escape(path),
        PathMatch::Regex(_) => return Ok(literal),
    };
    regexes.heeding_case(&source).map(PathMatch::Regex)
}
