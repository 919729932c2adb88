//! Far more changes than a proxy can take: none is lost that matters, and the last one counts.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use vigie::agent::LoadKind;
use vigie::render::ProxyKind;

use super::load::Load;
use super::lossless::Scene;
use super::manifests::{A, B, Ingress, model, service};
use super::{held, processes};
use crate::serve::Served;

const CHANGES: usize = 1000;
const HOST: &str = "shop.example.com";

/// Sends a change each 10 ms while clients ask, and gives the number of reloads.
async fn storm(proxy: ProxyKind) -> usize {
    let scene = Scene::new(proxy);
    let models: Vec<_> = (0..60).map(|step| scene.at(step)).collect();
    let mut served = Served::start(&models[0], proxy)
        .await
        .expect("it is served");
    let running = processes::of(served.directory());
    let load = Load::begin(HOST, served.http, served.https);
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sent, mut reloads) = (0, 0);
    let mut bad = Vec::new();
    while sent < CHANGES {
        tokio::select! {
            _ = ticks.tick() => {
                sent += 1;
                served.send(&models[sent % models.len()]).await;
            }
            told = served.told() => match told.expect("the agent runs").kind {
                LoadKind::Reloaded => reloads += 1,
                kind if kind.is_loaded() => {}
                kind => bad.push(format!("{kind:?}")),
            },
        }
    }
    let shop = Ingress::new("shop", HOST)
        .path("/", "api")
        .path("/last", "api");
    let shop = shop.annotation("ssl-redirect", "false");
    let last = model(&(shop.yaml() + &service("api", &[A, B])));
    let (bundle, loaded) = served.load(&last).await.expect("the last one is loaded");
    reloads += usize::from(loaded.kind == LoadKind::Reloaded);
    let log = load.end().await;
    assert!(bad.is_empty(), "{proxy}: {}", bad.join("\n"));
    assert!(
        log.failed.is_empty(),
        "{proxy}: {} of {} failed:\n{}",
        log.failed.len(),
        log.answered,
        log.failed.join("\n")
    );
    if proxy == ProxyKind::Haproxy {
        assert_eq!(processes::of(served.directory()), running);
        let differences = held::differences(served.directory(), &bundle).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    served.stop().await;
    reloads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_takes_a_thousand_changes_in_ten_seconds_without_a_reload() {
    assert_eq!(storm(ProxyKind::Haproxy).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_takes_a_thousand_changes_in_ten_seconds_by_a_reload_a_second() {
    let began = Instant::now();
    let reloads = storm(ProxyKind::Nginx).await;
    let most = began.elapsed().as_secs() + 1;
    assert!(
        (1..=most).contains(&(reloads as u64)),
        "{reloads} reloads, at most {most}"
    );
}
