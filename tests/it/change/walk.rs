//! One running HAProxy walks through all cases: after each step the case is answered as if the proxy
//! had been started with it, and the process holds just what its files say.

use std::time::Duration;

use tokio::task::JoinSet;
use vigie::agent::{Load, LoadKind};
use vigie::model::Model;
use vigie::render::ProxyKind;
use vigie::source::folder::{File, Folder};
use vigie::translate::translate;

use super::{Dice, held, rounds};
use crate::case::{self, Case};
use crate::laws::documents;
use crate::serve::Served;
use crate::support::expect;

/// Proxies that walk at one time.
const WALKERS: usize = 4;

/// Idle connections to a server end some seconds after its last request.
const TIDIED: Duration = Duration::from_secs(30);

/// What HAProxy reads at its start only; all else is changed as it runs.
const READ_AT_START: [&str; 3] = ["haproxy.cfg", "defaults.list", "trusted.list"];

/// It counts connections, which those of the cases before are among.
const OF_A_FRESH_PROXY: &str = "connections-to-endpoints-are-kept-for-further-requests";

struct Walker {
    served: Served,
    worker: i32,
    /// Reloads that a change of listeners or of the default certificate has forced.
    reloads: usize,
}

impl Walker {
    async fn start() -> Self {
        let model = model_of(Vec::new());
        let served = Served::start(&model, ProxyKind::Haproxy).await;
        let served = served.expect("an empty model is served");
        let worker = held::worker(served.directory()).await;
        Self {
            served,
            worker,
            reloads: 0,
        }
    }

    /// Takes one model, and says what is not as it must be.
    async fn step(&mut self, model: &Model) -> Vec<String> {
        let (bundle, load) = match self.served.load(model).await {
            Ok(loaded) => loaded,
            Err(words) => return vec![words],
        };
        let directory = self.served.directory();
        let worker = held::worker(directory).await;
        let mut wrong = match load.kind {
            LoadKind::Live | LoadKind::Nothing if worker == self.worker => Vec::new(),
            LoadKind::Reloaded if is_allowed(&load) => {
                self.worker = worker;
                self.reloads += 1;
                Vec::new()
            }
            kind => vec![format!("{kind:?} because of {:?}", load.reasons)],
        };
        wrong.extend(held::differences(directory, &bundle).await);
        wrong
    }

    /// Goes back to nothing, and waits until everything has left.
    async fn end(mut self) -> Vec<String> {
        let mut wrong = self.step(&model_of(Vec::new())).await;
        let bundle = self.served.send(&model_of(Vec::new())).await;
        let directory = self.served.directory();
        wrong.extend(held::differences_at_rest(directory, &bundle, TIDIED).await);
        self.served.stop().await;
        wrong
    }
}

/// Whether every reason is a file that is read at the start only.
fn is_allowed(load: &Load) -> bool {
    let at_start = |reason: &String| READ_AT_START.iter().any(|file| reason.contains(file));
    !load.reasons.is_empty() && load.reasons.iter().all(at_start)
}

fn model_of(documents: Vec<String>) -> Model {
    let file = File {
        name: "all.yaml".into(),
        content: Ok(documents.concat().into_bytes()),
    };
    let folder = Folder::of(vec![file]);
    translate(&folder.snapshot, &case::usual_options()).model
}

async fn walk(cases: Vec<Case>) -> (Vec<String>, usize) {
    let mut walker = Walker::start().await;
    let mut wrong = Vec::new();
    for case in cases {
        let _backends = expect::start_backends(&case.expect).expect("backends");
        let mut found = walker.step(&case.translate().0.model).await;
        let failures = walker.served.ask(&case.expect).await;
        found.extend(failures.iter().map(ToString::to_string));
        wrong.extend(found.iter().map(|words| format!("{}: {words}", case.name)));
    }
    let reloads = walker.reloads;
    wrong.extend(walker.end().await);
    (wrong, reloads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_haproxy_that_runs_becomes_every_case_after_the_other() {
    let mut shares: Vec<Vec<Case>> = (0..WALKERS).map(|_| Vec::new()).collect();
    let cases = case::all().into_iter();
    let cases = cases.filter(|case| case.name != OF_A_FRESH_PROXY);
    for (number, case) in cases.enumerate() {
        shares[number % WALKERS].push(case);
    }
    let mut walking: JoinSet<_> = shares.into_iter().map(walk).collect();
    let mut wrong = Vec::new();
    let mut reloads = 0;
    while let Some(walked) = walking.join_next().await {
        let (found, forced) = walked.expect("no walker panics");
        wrong.extend(found);
        reloads += forced;
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    let all = case::all().len();
    assert!(reloads * 3 < all, "{reloads} reloads for {all} cases");
}

/// Cases come and go, many at a time, in random order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_haproxy_that_runs_holds_what_its_files_say_whatever_comes_and_goes() {
    let of_case = |(number, case): (usize, &Case)| {
        documents(&case.snapshot(), &format!("c{number}")).concat()
    };
    let cases: Vec<String> = case::all().iter().enumerate().map(of_case).collect();
    let mut present = vec![false; cases.len()];
    let mut walker = Walker::start().await;
    let mut dice = Dice::new(7);
    for round in 0..rounds(25) {
        for _ in 0..=dice.below(12) {
            let which = dice.below(cases.len());
            present[which] = !present[which];
        }
        let chosen = cases.iter().zip(&present).filter(|(_, present)| **present);
        let model = model_of(chosen.map(|(documents, _)| documents.clone()).collect());
        let wrong = walker.step(&model).await;
        assert!(wrong.is_empty(), "round {round}: {}", wrong.join("\n"));
    }
    let wrong = walker.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
