//! What `vigie run` prints: the table of routes and the findings when they change, and a line for
//! each load, with what it cost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::addresses::url;
use super::table::{Row, rows, text};
use crate::agent::driver::{Aside, Found};
use crate::agent::resolve::NameProblem;
use crate::agent::{Load, LoadKind};
use crate::cli::report::{Report, colour, printable, summary};
use crate::model::diagnostics::{Diagnostic, ObjectRef, Origin, Severity};
use crate::model::names::{HostMatch, UpstreamName};
use crate::model::{Action, Certificate, Endpoints, Model, Route};
use crate::plan::listed;
use crate::render::bundle::ProxyKind;
use crate::render::capabilities::Version;
use crate::source::folder::Folder;

pub struct Teller {
    json: bool,
    found: Found,
    urls: BTreeMap<&'static str, Vec<String>>,
    ready: bool,
    labels: BTreeMap<UpstreamName, String>,
    model: Model,
    /// Objects that the proxy refused.
    aside: BTreeSet<ObjectRef>,
    /// What was served when a load was told last.
    served: Model,
    told_rows: Vec<Row>,
    findings: Findings,
}

/// About the latest build, ready to be printed.
#[derive(Default)]
struct Findings {
    text: String,
    json: Value,
    summary: String,
    errors: usize,
    told: bool,
}

impl Teller {
    pub fn new(json: bool, found: &Found, http: &[SocketAddr], https: &[SocketAddr]) -> Self {
        let urls = |scheme, all: &[SocketAddr]| {
            let urls = all.iter().map(|address| url(scheme, *address)).collect();
            (scheme, urls)
        };
        Self {
            json,
            found: found.clone(),
            urls: [urls("http", http), urls("https", https)].into(),
            ready: false,
            labels: BTreeMap::new(),
            model: Model::default(),
            aside: BTreeSet::new(),
            served: Model::default(),
            told_rows: Vec::new(),
            findings: Findings::default(),
        }
    }

    pub fn has_errors(&self) -> bool {
        self.findings.errors > 0
    }

    /// Which proxy it is, and what its version cannot do.
    pub fn found(&self) -> anyhow::Result<()> {
        let lacks = lacks(&self.found);
        let binary = self.found.binary.display();
        let proxy = self.found.capabilities;
        let and = lacks.map(|what| format!("; {what}")).unwrap_or_default();
        self.say(
            format!("{proxy} ({binary}){and}"),
            json!({
                "event": "found",
                "proxy": proxy.proxy.as_str(),
                "version": proxy.version.to_string(),
                "binary": self.found.binary,
                "lacks": lacks,
            }),
        )
    }

    /// Takes what a build has made; it is told with the load that follows.
    pub fn built(
        &mut self,
        model: &Model,
        diagnostics: Vec<Diagnostic>,
        aside: BTreeSet<ObjectRef>,
        folder: &Folder,
    ) -> anyhow::Result<()> {
        let report = Report::new(&diagnostics, &folder.locations);
        let before = std::mem::take(&mut self.findings);
        self.findings = Findings {
            text: report.text(colour(io::stdout().is_terminal())),
            json: serde_json::from_str(&report.json()?)?,
            summary: summary(&report, folder.objects, &folder.skipped),
            errors: report.count(Severity::Error),
            told: false,
        };
        self.findings.told = before.told
            && before.json == self.findings.json
            && before.summary == self.findings.summary;
        let labels = model.upstreams.iter();
        let labels = labels.map(|(name, upstream)| (name.clone(), upstream.label.clone()));
        // Names of upstreams that are gone are still told of.
        self.labels.extend(labels);
        self.model = model.clone();
        self.aside = aside;
        Ok(())
    }

    /// `again` where another build follows, which tells more.
    pub fn load(&mut self, load: Load, again: bool) -> anyhow::Result<()> {
        let refused = matches!(load.kind, LoadKind::Refused { .. });
        if (load.kind.is_loaded() || refused) && !again {
            self.routes()?;
        }
        let changes = load.plan.summary(|name| match self.labels.get(name) {
            Some(label) => label.clone(),
            None => name.to_string(),
        });
        let took = duration(load.took);
        let touched = touched(&self.served, &self.model);
        let routes = match touched.is_empty() {
            true => String::new(),
            false => format!("; routes: {}", listed(touched.iter().cloned())),
        };
        let line = match &load.kind {
            LoadKind::Started => format!("started: {}, {took}", self.found.capabilities),
            // Findings may have changed; what is served has not.
            LoadKind::Nothing => "nothing to load".into(),
            LoadKind::Live => format!("live: {changes}, {took}{routes}"),
            LoadKind::Reloaded => {
                let reasons = listed(load.reasons.iter().cloned());
                format!("reload: {reasons}, {took}{routes}")
            }
            LoadKind::Refused { words, origin } => {
                let by = origin
                    .as_ref()
                    .map(|o| format!(" ({}, {})", o.object, o.field));
                let by = by.unwrap_or_default();
                let aside = match (again, origin) {
                    (true, Some(_)) => "; it is set aside, all else is loaded",
                    (true, None) => "; the object at fault is sought, what ran goes on",
                    (false, _) => "; what ran goes on",
                };
                format!("refused: {words}{by}{aside}")
            }
            LoadKind::Failed { words } => format!("failed: {words}; it is tried again"),
            LoadKind::Ended { words } => {
                format!(
                    "{} has ended: {words}; it is started again",
                    self.found.capabilities
                )
            }
        };
        let line = format!("{line}{}", beside(&load.aside));
        let nothing = matches!(load.kind, LoadKind::Nothing);
        let mut value = self.load_value(&load, &changes);
        if load.kind.is_loaded() {
            value["routes"] = json!(touched);
            self.served = self.model.clone();
        }
        if !nothing || self.json {
            self.say(line, value)?;
        }
        if load.kind.is_loaded() && !self.ready {
            self.ready = true;
            self.tell_ready()?;
        }
        Ok(())
    }

    fn load_value(&self, load: &Load, changes: &str) -> Value {
        let (event, how, words, origin) = match &load.kind {
            LoadKind::Started => ("loaded", Some("started"), None, None),
            LoadKind::Nothing => ("loaded", Some("nothing"), None, None),
            LoadKind::Live => ("loaded", Some("live"), None, None),
            LoadKind::Reloaded => ("loaded", Some("reload"), None, None),
            LoadKind::Refused { words, origin } => ("refused", None, Some(words), origin.as_ref()),
            LoadKind::Failed { words } => ("failed", None, Some(words), None),
            LoadKind::Ended { words } => ("ended", None, Some(words), None),
        };
        let mut value = json!({
            "event": event,
            "revision": load.revision,
            "changes": (!load.plan.is_nothing()).then_some(changes),
            "reasons": load.reasons,
            "milliseconds": u64::try_from(load.took.as_millis()).unwrap_or(u64::MAX),
            "draining": load.aside.draining,
            "notes": load.aside.notes,
        });
        if let Some(how) = how {
            value["how"] = how.into();
        }
        if let Some(words) = words {
            value["words"] = words.as_str().into();
        }
        if let Some(Origin { object, field }) = origin {
            value["object"] = object.to_string().into();
            value["field"] = field.as_str().into();
        }
        value
    }

    /// The table and the findings, where they differ from what was told last.
    fn routes(&mut self) -> anyhow::Result<()> {
        let rows = rows(&self.model, &self.aside);
        if rows != self.told_rows {
            let table = match rows.is_empty() {
                true => "no routes".into(),
                false => text(&rows),
            };
            self.say_raw(
                &format!("\n{table}\n"),
                json!({"event": "routes", "routes": rows}),
            )?;
            self.told_rows = rows;
        }
        if !self.findings.told {
            self.findings.told = true;
            let text = format!("{}{}", self.findings.text, self.findings.summary);
            let value = json!({"event": "findings", "findings": self.findings.json});
            self.say_raw(&text, value)?;
        }
        Ok(())
    }

    fn tell_ready(&self) -> anyhow::Result<()> {
        let all: Vec<&str> = self.urls.values().flatten().map(String::as_str).collect();
        let mut value = json!({"event": "ready"});
        for (scheme, urls) in &self.urls {
            value[*scheme] = json!(urls);
        }
        self.say(format!("ready: {}", all.join(" ")), value)
    }

    pub fn name(&self, problem: &NameProblem) -> anyhow::Result<()> {
        let NameProblem { name, words } = problem;
        self.say(
            format!("external name {name}: {words}"),
            json!({"event": "name", "name": name.as_str(), "words": words}),
        )
    }

    pub fn stopped(&self) -> anyhow::Result<()> {
        self.say("stopped".into(), json!({"event": "stopped"}))
    }

    /// One line, in which nothing of a user's can speak to the terminal.
    fn say(&self, line: String, value: Value) -> anyhow::Result<()> {
        self.say_raw(&printable(&line), value)
    }

    fn say_raw(&self, text: &str, value: Value) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{value}")?;
        } else {
            writeln!(out, "{text}")?;
        }
        Ok(out.flush()?)
    }
}

/// The routes that another model serves otherwise, by host and path: they came or went, do something
/// else, or have other endpoints. A host with another certificate is named as such.
fn touched(old: &Model, new: &Model) -> BTreeSet<String> {
    let (was, is) = (routes(old), routes(new));
    let differs = |key: &&Key| match (was.get(*key), is.get(*key)) {
        (Some(was), Some(is)) => {
            (&was.action, &was.policy) != (&is.action, &is.policy)
                || endpoints(old, was) != endpoints(new, is)
        }
        _ => true,
    };
    let keys: BTreeSet<&Key> = was.keys().chain(is.keys()).collect();
    let keys = keys.into_iter().filter(differs);
    let routes = keys.map(|(host, path, _)| format!("{host}{path}"));
    let hosts = new.hosts.keys().filter(|host| {
        old.hosts.contains_key(host) && certificates(old, host) != certificates(new, host)
    });
    let hosts = hosts.map(|host| format!("{host} (certificate)"));
    routes.chain(hosts).collect()
}

/// Host, path and kind of match.
type Key = (String, String, &'static str);

fn certificates<'a>(model: &'a Model, host: &HostMatch) -> Vec<Option<&'a Certificate>> {
    let host = model.hosts.get(host).map(|host| host.certificates.iter());
    let of = |id| model.certificates.get(id);
    host.into_iter().flatten().map(of).collect()
}

fn endpoints<'a>(model: &'a Model, route: &Route) -> Vec<Option<&'a Endpoints>> {
    let of = |name: &UpstreamName| Some(&model.upstreams.get(name)?.endpoints);
    match &route.action {
        Action::Forward(forward) => forward.split.upstreams().map(of).collect(),
        Action::Redirect(_) | Action::Refuse(_) => Vec::new(),
    }
}

fn routes(model: &Model) -> BTreeMap<Key, &Route> {
    let hosts = model.hosts.iter().flat_map(|(host, of)| {
        let host = host.to_string();
        of.routes.iter().map(move |route| (host.clone(), route))
    });
    let fallback = model.fallback.iter().map(|route| ("*".to_owned(), route));
    hosts
        .chain(fallback)
        .map(|(host, route)| ((host, route.path.to_string(), route.path.kind()), route))
        .collect()
}

/// What stands behind the outcome of a load.
fn beside(aside: &Aside) -> String {
    let draining = match aside.draining {
        0 => None,
        1 => Some("1 old worker still drains".to_owned()),
        count => Some(format!("{count} old workers still drain")),
    };
    let all = aside.notes.iter().cloned().chain(draining);
    all.map(|words| format!("; {words}")).collect()
}

/// What a served version lacks beside newer ones.
fn lacks(found: &Found) -> Option<&'static str> {
    let Found { capabilities, .. } = found;
    let old_nginx =
        capabilities.proxy == ProxyKind::Nginx && capabilities.version < Version(1, 30, 0);
    old_nginx.then_some("cookie affinity needs nginx 1.30.0 or newer")
}

fn duration(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..500 => format!("{millis} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}
