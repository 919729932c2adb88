//! Laws over all cases at once and over hostile values: order means nothing, a bad object costs
//! nobody else, and no value gets past the real proxies' own parsers. `ROUNDS=1000` soaks.

mod again;
mod hostile;
mod others;
mod wire;

use std::sync::Arc;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use vigie::agent::directory::Directory;
use vigie::agent::dns;
use vigie::agent::driver::{Driver, Output, Verdict};
use vigie::agent::haproxy::Haproxy;
use vigie::agent::nginx::Nginx;
use vigie::model::diagnostics::Diagnostic;
use vigie::model::names::HostMatch;
use vigie::render::{self, Bundle, Capabilities, Placement, ProxyKind};
use vigie::snapshot::Snapshot;
use vigie::source::folder::{File, Folder};
use vigie::standalone::find::find;
use vigie::telemetry::chain;
use vigie::translate::{Translation, translate};

use crate::case::{self, Case};
use crate::serve::free;

/// How often a law is tried with other values.
fn rounds(usual: u32) -> u32 {
    let given = std::env::var("ROUNDS").ok();
    given
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(usual)
}

/// Manifests, and all that comes of them.
#[derive(PartialEq)]
struct Outcome {
    translation: Translation,
    findings: Vec<Diagnostic>,
    bundles: Vec<Bundle>,
}

impl Outcome {
    fn of(files: Vec<(String, String)>) -> Self {
        let file = |(name, text): (String, String)| File {
            name,
            content: Ok(text.into_bytes()),
        };
        let folder = Folder::of(files.into_iter().map(file).collect());
        let translation = translate(&folder.snapshot, &case::usual_options());
        let mut findings = folder.diagnostics;
        findings.extend(translation.diagnostics.iter().cloned());
        findings.sort();
        let bundle = |proxy| {
            let capabilities = Capabilities::assumed(proxy);
            render::render(&translation.model, &capabilities, &case::placement())
        };
        let bundles = ProxyKind::ALL.into_iter().map(bundle).collect();
        Self {
            translation,
            findings,
            bundles,
        }
    }
}

/// Every object of a snapshot as a document of JSON, in a namespace of its own.
pub fn documents(snapshot: &Snapshot, mark: &str) -> Vec<String> {
    fn json<T: serde::Serialize>(object: &Arc<T>) -> Value {
        serde_json::to_value(object.as_ref()).expect("objects of the API are JSON")
    }
    let ingresses = snapshot.ingresses.values().map(json);
    let services = snapshot.services.values().map(json);
    let secrets = snapshot.secrets.values().map(json);
    let slices = snapshot
        .slices
        .values()
        .flat_map(|of| of.values().map(json));
    let marked = |mut object: Value| {
        let metadata = &mut object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("default");
        let namespace: String = format!("{mark}-{namespace}").chars().take(63).collect();
        metadata["namespace"] = Value::String(namespace);
        format!("---\n{object}\n")
    };
    ingresses
        .chain(services)
        .chain(secrets)
        .chain(slices)
        .map(marked)
        .collect()
}

/// The documents of all cases, each case's in a namespace of its own.
fn of_all_cases() -> Vec<String> {
    let mut documents = Vec::new();
    for (number, case) in case::all().iter().enumerate() {
        documents.extend(self::documents(&case.snapshot(), &format!("c{number}")));
    }
    documents
}

/// Fisher and Yates, by a generator that is the same everywhere.
fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut items = items.to_vec();
    for at in (1..items.len()).rev() {
        items.swap(at, next(at + 1));
    }
    items
}

#[test]
fn shuffled_documents_and_files_render_to_the_same_bytes() {
    let documents = of_all_cases();
    let expected = Outcome::of(vec![("all.yaml".into(), documents.concat())]);
    for seed in 1..=u64::from(rounds(4)) {
        let shuffled = shuffled(&documents, seed);
        let chunk = shuffled.len().div_ceil(seed as usize % 7 + 1);
        let chunks = shuffled.chunks(chunk).enumerate();
        let files = chunks.map(|(at, chunk)| (format!("{at}.yaml"), chunk.concat()));
        let outcome = Outcome::of(files.collect());
        assert!(
            outcome == expected,
            "shuffled by seed {seed}, something differs"
        );
    }
}

/// Cases whose manifests are bad; each document of theirs is a bad object.
fn bad_documents() -> Vec<(String, String)> {
    let bad = |case: &Case| {
        ["costs", "hostile", "no-harm"]
            .iter()
            .any(|w| case.name.contains(w))
    };
    let mut documents = Vec::new();
    for case in case::all().iter().filter(|case| bad(case)) {
        let files = std::fs::read_dir(&case.dir).expect("a case can be read");
        let files = files.map(|entry| entry.expect("an entry").path());
        for file in files.filter(|f| f.extension().is_some_and(|e| e == "yaml")) {
            if file.ends_with("expect.yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a manifest");
            // Hosts of their own: who claims the same path of the same host is another matter.
            let text = text.replace(".example.com", ".bad.test");
            let each = text.split("\n---\n").enumerate();
            documents.extend(each.map(|(at, d)| (format!("{} {at}", case.name), d.to_owned())));
        }
    }
    documents
}

/// Some of everything that others may have; in long rounds all of it. Rules for any host are left
/// out: whoever has another one shares that host.
fn base() -> (String, String) {
    let cases = case::all();
    let shares = |case: &&Case| {
        let model = case.translate().0.model;
        model.fallback.is_some() || model.hosts.contains_key(&HostMatch::Any)
    };
    let good = cases
        .iter()
        .filter(|case| !case.name.contains("hostile") && !shares(case));
    let step = if rounds(1) > 1 { 1 } else { 6 };
    let chosen = good.enumerate().filter(|(number, _)| number % step == 0);
    let documents = chosen.flat_map(|(n, case)| documents(&case.snapshot(), &format!("c{n}")));
    ("base.yaml".into(), documents.collect())
}

#[test]
fn a_bad_object_changes_no_byte_of_what_others_get() {
    let base = base();
    let before = Outcome::of(vec![base.clone()]);
    let nothing = Outcome::of(Vec::new());
    assert!(
        others::unchanged(&before, &nothing).is_err(),
        "the law sees no difference at all"
    );
    for (name, document) in bad_documents() {
        let after = Outcome::of(vec![base.clone(), ("bad.yaml".into(), document)]);
        if let Err(words) = others::unchanged(&before, &after) {
            panic!("{name}: {words}");
        }
    }
}

#[test]
fn a_hostile_value_in_any_field_changes_no_byte_of_what_others_get() {
    let base = base();
    let before = Outcome::of(vec![base.clone()]);
    for (name, documents) in hostile::each_value_in_every_field() {
        let after = Outcome::of(vec![base.clone(), ("bad.yaml".into(), documents)]);
        if let Err(words) = others::unchanged(&before, &after) {
            panic!("{name}: {words}");
        }
        hostile::findings_are_printable(&after.findings).unwrap_or_else(|w| panic!("{name}: {w}"));
    }
}

/// Both real proxies, asked whether they would take a bundle.
struct Checkers {
    runtime: tokio::runtime::Runtime,
    directory: Directory,
    nginx: Nginx,
    haproxy: Haproxy,
    capabilities: [Capabilities; 2],
    placement: Placement,
    _temporary: tempfile::TempDir,
}

impl Checkers {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = Directory::open(temporary.path()).expect("it can be used");
        let found = |proxy| {
            runtime
                .block_on(find(proxy, None))
                .expect("the proxy is there")
        };
        let (nginx, haproxy) = (found(ProxyKind::Nginx), found(ProxyKind::Haproxy));
        let (zones, _) = dns::server();
        // nginx binds its addresses even where it only checks.
        let placement = Placement {
            http: vec![free()],
            https: vec![free()],
            ..case::placement()
        };
        Self {
            capabilities: [nginx.capabilities, haproxy.capabilities],
            nginx: Nginx::new(nginx.binary, &directory, Output::default(), zones),
            haproxy: Haproxy::new(haproxy.binary, &directory, Output::default()),
            runtime,
            directory,
            placement,
            _temporary: temporary,
        }
    }

    fn take(&mut self, model: &vigie::model::Model) -> Result<(), String> {
        for capabilities in self.capabilities {
            let bundle = render::render(model, &capabilities, &self.placement).into();
            let staged = self.directory.stage(&bundle).map_err(|e| e.to_string())?;
            let verdict = match capabilities.proxy {
                ProxyKind::Nginx => self
                    .runtime
                    .block_on(self.nginx.check(staged.path(), &bundle)),
                ProxyKind::Haproxy => self
                    .runtime
                    .block_on(self.haproxy.check(staged.path(), &bundle)),
            };
            self.directory.discard(staged).map_err(|e| e.to_string())?;
            match verdict.map_err(|error| chain(&error))? {
                Verdict::Accepted => {}
                Verdict::Refused(refusal) => return Err(format!("{capabilities}: {refusal:?}")),
            }
        }
        Ok(())
    }
}

#[test]
fn no_hostile_value_gets_past_the_parsers_of_the_real_proxies() {
    let mut checkers = Checkers::new();
    let base = base();
    let before = Outcome::of(vec![base.clone()]);
    checkers
        .take(&before.translation.model)
        .expect("good objects are taken");
    let config = Config {
        cases: rounds(16),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let checkers = std::cell::RefCell::new(checkers);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let law = runner.run(&hostile::objects(), |documents| {
        let after = Outcome::of(vec![base.clone(), ("bad.json".into(), documents)]);
        let fail = proptest::test_runner::TestCaseError::fail;
        others::unchanged(&before, &after).map_err(fail)?;
        hostile::findings_are_printable(&after.findings).map_err(fail)?;
        checkers
            .borrow_mut()
            .take(&after.translation.model)
            .map_err(fail)
    });
    law.unwrap_or_else(|error| panic!("{error}"));
}
