//! Every case is served by both real proxies and asked as its expectations say.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vigie::render::ProxyKind;

use crate::case::{self, Case};
use crate::serve::Served;
use crate::support::expect;

/// Proxies that run at one time: enough to keep two cores busy while each one waits.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_answers_as_expected_on_nginx() {
    every_case(ProxyKind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_answers_as_expected_on_haproxy() {
    every_case(ProxyKind::Haproxy).await;
}

async fn every_case(proxy: ProxyKind) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in case::all() {
        let places = places.clone();
        running.spawn(async move {
            let _place = places
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            answers(case, proxy).await
        });
    }
    let mut wrong = Vec::new();
    while let Some(result) = running.join_next().await {
        wrong.extend(result.unwrap_or_else(|panic| vec![panic.to_string()]));
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{} answers of {proxy} differ\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

async fn answers(case: Case, proxy: ProxyKind) -> Vec<String> {
    let (translation, _) = case.translate();
    let _backends = match expect::start_backends(&case.expect) {
        Ok(backends) => backends,
        Err(error) => return vec![format!("{}: {error:#}", case.name)],
    };
    let served = match Served::start(&translation.model, proxy).await {
        Ok(served) => served,
        Err(error) => return vec![format!("{}: {error}", case.name)],
    };
    let failures = served.ask(&case.expect).await;
    let failures: Vec<String> = failures
        .into_iter()
        .map(|failure| format!("{}: {failure}", case.name))
        .collect();
    served.stop().await;
    failures
}
