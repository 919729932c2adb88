//! Proxies and whole runs that are killed at any moment: what comes back is the last good state.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use vigie::agent::{Load, LoadKind};
use vigie::render::{Bundle, ProxyKind};

use super::lossless::Scene;
use super::manifests::{A, Ingress, secret, service};
use super::processes::{self, eventually};
use super::{Dice, held, rounds};
use crate::serve::{Served, free};
use crate::support::client::{Request, Target, exchange};
use crate::support::expect::{self, Expectations};

const HOST: &str = "shop.example.com";
const PATIENCE: Duration = Duration::from_secs(40);

async fn answers(http: SocketAddr) -> bool {
    let mut target = Target::plain(http);
    target.timeout = Duration::from_secs(1);
    let answer = exchange(&target, &Request::get(HOST, "/")).await;
    answer.is_ok_and(|response| response.status == 200)
}

/// Waits for a report; those of loads that met a dead proxy are passed over.
async fn until(served: &mut Served, wanted: impl Fn(&Load) -> bool) {
    let told = async { while !wanted(&served.told().await.expect("the agent goes on")) {} };
    timeout(PATIENCE, told).await.expect("it comes back");
}

/// Ends the master, or any process of the proxy, at once.
fn end_one(served: &Served, dice: &mut Dice) {
    let master = processes::master(served.directory());
    let all: Vec<i32> = processes::of(served.directory()).into_iter().collect();
    if let Some(pid) = master.filter(|_| dice.below(2) == 0) {
        processes::end_at_once(pid);
    } else if !all.is_empty() {
        processes::end_at_once(all[dice.below(all.len())]);
    }
}

/// The proxy serves, and where it can be asked, it holds just this bundle.
async fn is_right(served: &Served, proxy: ProxyKind, bundle: &Bundle, what: &str) {
    let right = async || {
        let held = match proxy {
            ProxyKind::Haproxy => held::differences(served.directory(), bundle).await,
            ProxyKind::Nginx => Vec::new(),
        };
        held.is_empty() && answers(served.http).await
    };
    if !eventually(PATIENCE, right).await {
        let held = held::differences(served.directory(), bundle).await;
        panic!(
            "{proxy}, {what}: it does not come back: {}",
            held.join("\n")
        );
    }
}

async fn is_killed_again_and_again(proxy: ProxyKind) {
    let scene = Scene::new(proxy);
    let mut served = Served::start(&scene.at(0), proxy)
        .await
        .expect("it is served");
    let mut dice = Dice::new(11);
    let mut step = 0;
    for round in 0..rounds(5) {
        let kill_after = dice.below(20);
        for change in 0..kill_after + 5 {
            step += 1;
            served.send(&scene.at(step)).await;
            sleep(Duration::from_millis(dice.below(20) as u64)).await;
            if change == kill_after {
                end_one(&served, &mut dice);
            }
        }
        let bundle = served.send(&scene.at(step + 1)).await;
        let revision = bundle.revision();
        let loaded = |load: &Load| load.revision == revision && load.kind.is_loaded();
        until(&mut served, loaded).await;
        is_right(&served, proxy, &bundle, &format!("round {round}")).await;

        // With nothing to be changed, it comes back with the last good bundle.
        let Some(master) = processes::master(served.directory()) else {
            panic!("round {round}: no process is there");
        };
        processes::end_at_once(master);
        until(&mut served, |load| load.kind == LoadKind::Started).await;
        is_right(&served, proxy, &bundle, &format!("round {round}, at rest")).await;
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_haproxy_that_is_killed_comes_back_as_it_should_be() {
    is_killed_again_and_again(ProxyKind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nginx_that_is_killed_comes_back_as_it_should_be() {
    is_killed_again_and_again(ProxyKind::Nginx).await;
}

fn run(folder: &Path, proxy: ProxyKind, http: SocketAddr, https: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vigie"))
        .arg("run")
        .arg(folder)
        .args(["--proxy", proxy.as_str()])
        .args(["--http", &http.to_string(), "--https", &https.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be started")
}

/// A run that is killed takes its proxy along, and the next one finds its ports free.
async fn a_run_is_killed(proxy: ProxyKind) {
    expect::start_backends(&Expectations::default()).expect("backends");
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Ingress::new("shop", HOST).path("/", "api").tls(HOST, "one");
    let shop = shop.annotation("ssl-redirect", "false");
    let manifests = shop.yaml() + &service("api", &[A]) + &secret("one", HOST, "one");
    std::fs::write(folder.path().join("shop.yaml"), manifests).expect("it is written");
    let (http, https) = (free(), free());
    for round in 0..2 {
        let mut run = run(folder.path(), proxy, http, https);
        let served = eventually(PATIENCE, async || answers(http).await).await;
        assert!(served, "{proxy}, round {round}: it does not serve");
        let pid = run
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .expect("it runs");
        let proxies = processes::below(pid);
        assert!(!proxies.is_empty());
        processes::end_at_once(pid);
        run.wait().await.expect("it has ended");
        let ended = async || proxies.iter().all(|pid| !processes::is_alive(*pid));
        assert!(
            eventually(PATIENCE, ended).await,
            "{proxy}: some of {proxies:?} are left"
        );
        for address in [http, https] {
            assert!(
                TcpListener::bind(address).is_ok(),
                "{proxy}: {address} is in use"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_leaves_no_haproxy_and_the_next_one_serves() {
    a_run_is_killed(ProxyKind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_leaves_no_nginx_and_the_next_one_serves() {
    a_run_is_killed(ProxyKind::Nginx).await;
}
