//! Whatever stands in tables and certificates, HAProxy's runtime API gets no other command than ours: a
//! value is refused before it is sent, or it is held exactly, and all else stays as it was.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use vigie::agent::directory::Directory;
use vigie::agent::driver::{Driver, Output};
use vigie::agent::haproxy::Haproxy;
use vigie::model::PrivatePem;
use vigie::plan::plan;
use vigie::render::bundle::Content;
use vigie::render::haproxy::REVISION_FILE;
use vigie::render::{self, Bundle, Placement, ProxyKind};
use vigie::standalone::find::find;

use super::manifests::{A, Ingress, model, service};
use super::{held, rounds};
use crate::case;
use crate::serve::free;

/// A table that is looked up in a tree, and one that is walked, without regular expressions.
const TABLES: [&str; 2] = ["maps/features.map", "maps/shares.map"];
const VICTIM: &str = "victim/of";

/// Pieces that could end a word, a line, a payload or a command, and commands.
const PIECES: [&str; 34] = [
    " ",
    "  ",
    "\\",
    "\\\\",
    "\"",
    "'",
    ";",
    "<<",
    "<<%vigie-end%",
    "%vigie-end%",
    "%",
    "#",
    "\t",
    "\u{1}",
    "\r",
    "\n",
    "\n\n",
    "\r\n",
    "\u{7f}",
    "é",
    "\u{2028}",
    "\u{a0}",
    "a",
    "1",
    "/",
    "$x",
    "${HOME}",
    "@1 ",
    "@",
    "%[src]",
    "`id`",
    "&",
    "disable frontend http",
    "clear map maps/hosts.map",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES.to_vec());
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A running HAProxy, and what it was started with.
struct Victim {
    runtime: tokio::runtime::Runtime,
    root: PathBuf,
    driver: Haproxy,
    base: Bundle,
    /// All that no hostile value may touch.
    untouched: Vec<Vec<String>>,
    _temporary: tempfile::TempDir,
}

impl Victim {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let found = runtime
            .block_on(find(ProxyKind::Haproxy, None))
            .expect("HAProxy is there");
        let placement = Placement {
            http: vec![free()],
            https: vec![free()],
            ..case::placement()
        };
        let shop = Ingress::new("shop", "shop.example.com").path("/", "api");
        let model = model(&(shop.yaml() + &service("api", &[A])));
        let mut base = render::render(&model, &found.capabilities, &placement);
        for table in TABLES {
            change(&mut base, table, |text| {
                text.push_str(&format!("{VICTIM} unhurt\n"))
            });
        }
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut directory = Directory::open(temporary.path()).expect("it can be used");
        let staged = directory.stage(&base.clone().into());
        let staged = staged.expect("it is written");
        directory.swap(staged).expect("it is swapped");
        let mut driver = Haproxy::new(found.binary, &directory, Output::default());
        runtime.block_on(driver.start(&base)).expect("it starts");
        let mut victim = Self {
            runtime,
            root: temporary.path().to_path_buf(),
            driver,
            base,
            untouched: Vec::new(),
            _temporary: temporary,
        };
        victim.untouched = victim.look();
        victim
    }

    fn look(&self) -> Vec<Vec<String>> {
        self.runtime.block_on(look(&self.root))
    }

    /// The lines of a table as they are held: exactly, but for their order.
    fn table(&self, table: &str) -> Vec<String> {
        let command = format!("show map {table}");
        let shown = self.runtime.block_on(held::ask(&self.root, &command));
        let lines = shown.lines().filter_map(|line| line.split_once(' '));
        let mut lines: Vec<String> = lines.map(|(_, line)| line.to_owned()).collect();
        lines.sort();
        lines
    }

    /// Tries to go there, and says whether it was taken.
    fn go(&mut self, from: &Bundle, to: &Bundle) -> Result<bool, TestCaseError> {
        let differs = plan(from, to);
        let taken = self
            .runtime
            .block_on(self.driver.update(&differs, from, to))
            .is_ok();
        prop_assert_eq!(&self.look(), &self.untouched, "something else was touched");
        for table in TABLES.iter().filter(|_| taken) {
            prop_assert_eq!(self.table(table), lines(to, table), "{} differs", table);
        }
        Ok(taken)
    }

    /// As the agent does when a change was not taken.
    fn go_back(&mut self) -> Result<(), TestCaseError> {
        let base = self.base.clone();
        let reloaded = self.runtime.block_on(self.driver.reload(&base));
        reloaded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&self.look(), &self.untouched, "something was left");
        for table in TABLES {
            prop_assert_eq!(self.table(table), lines(&base, table));
        }
        Ok(())
    }

    fn stop(mut self) {
        self.runtime
            .block_on(self.driver.stop(std::time::Duration::ZERO));
    }
}

async fn look(root: &std::path::Path) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for map in ["maps/hosts.map", "maps/routes.map", REVISION_FILE] {
        all.push(held::map(root, map).await);
    }
    for command in ["show backend", "show ssl crt-list -n certs.list"] {
        let shown = held::ask(root, command).await;
        all.push(shown.lines().map(str::to_owned).collect());
    }
    // Until a transaction is ended, the certificate of it is shown.
    let shown = held::ask(root, "show ssl cert").await;
    let certificates = shown.lines().filter(|line| !line.contains("hostile"));
    all.push(certificates.map(str::to_owned).collect());
    let shown = held::ask(root, "show servers state").await;
    let server = |line: &str| line.split(' ').take(7).collect::<Vec<_>>().join(" ");
    all.push(shown.lines().map(server).collect());
    let shown = held::ask(root, "show stat").await;
    let status = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let named = [fields.first(), fields.get(1), fields.get(17)];
        named
            .into_iter()
            .flatten()
            .copied()
            .collect::<Vec<_>>()
            .join(",")
    };
    all.push(shown.lines().map(status).collect());
    all
}

fn change(bundle: &mut Bundle, table: &str, edit: impl Fn(&mut String)) {
    if let Some(Content::Table(table)) = bundle.structure.get_mut(table) {
        edit(&mut table.text);
    }
}

fn lines(bundle: &Bundle, table: &str) -> Vec<String> {
    let text = match bundle.structure.get(table) {
        Some(Content::Table(table)) => table.text.as_str(),
        _ => "",
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// As in every tree: who writes one sees to it.
fn has_keys_once(bundle: &Bundle, table: &str) -> bool {
    let lines = lines(bundle, table);
    let key = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let keys: BTreeSet<String> = lines.iter().map(key).collect();
    keys.len() == lines.len()
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        max_shrink_iters: 50,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn no_line_of_a_table_is_another_command() {
    let victim = RefCell::new(Victim::start());
    let taken = RefCell::new([0, 0]);
    let added = prop::collection::vec((0..TABLES.len(), text(), text()), 0..3);
    let cases = (added, prop::option::of(text()));
    let law = runner(rounds(150) as u32).run(&cases, |(added, set)| {
        let mut victim = victim.borrow_mut();
        let base = victim.base.clone();
        let mut hostile = base.clone();
        for (table, key, value) in added {
            let line = format!("k{key} {value}\n");
            change(&mut hostile, TABLES[table], |text| text.push_str(&line));
        }
        if let Some(value) = set {
            let line = format!("{VICTIM} {value}\n");
            let was = format!("{VICTIM} unhurt\n");
            change(&mut hostile, TABLES[0], |text| {
                *text = text.replace(&was, &line)
            });
        }
        prop_assume!(TABLES.iter().all(|table| has_keys_once(&hostile, table)));
        let left = |table: &&str| victim.table(table) != lines(&base, table);
        if TABLES.iter().any(left) {
            // Of a round that failed, while a smaller one is looked for.
            victim.go_back()?;
        }
        let there = victim.go(&base, &hostile)?;
        taken.borrow_mut()[usize::from(there)] += 1;
        let back = there && victim.go(&hostile, &base)?;
        prop_assert!(!there || back, "what was taken is not given back");
        if !there {
            victim.go_back()?;
        }
        Ok(())
    });
    law.unwrap_or_else(|error| panic!("{error}"));
    let [refused, taken] = taken.into_inner();
    assert!(
        refused > 10 && taken > 10,
        "{refused} refused, {taken} taken"
    );
    victim.into_inner().stop();
}

#[test]
fn no_line_of_a_certificate_is_another_command() {
    let victim = RefCell::new(Victim::start());
    let law = runner(rounds(25) as u32).run(&text(), |text| {
        let mut victim = victim.borrow_mut();
        let base = victim.base.clone();
        let mut hostile = base.clone();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let pem = Content::Private(PrivatePem::new(pem));
        hostile.structure.insert("certs/hostile.pem".into(), pem);
        prop_assert!(!victim.go(&base, &hostile)?, "it is no certificate");
        victim.go_back()
    });
    law.unwrap_or_else(|error| panic!("{error}"));
    victim.into_inner().stop();
}
