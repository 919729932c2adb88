//! What one change costs, from the moment when a file has changed until a client sees it served:
//! `vigie run` over a folder of manifests, beside the same change by hand on the same proxy. Then a
//! storm of changes under load. Prints figures of one run; asserts nothing but right answers.
//!
//! `SIZES=100,1000 ROUNDS=5 SECONDS=10 cargo bench --bench change` is a quick run; `PROXIES=haproxy`
//! leaves nginx out.

#![allow(clippy::panic, reason = "benchmarks fail by panicking")]

mod client;
mod hand;
mod manifests;
mod phases;
mod process;
mod proxy;
#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod shared;
mod storm;
mod usage;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use vigie::render::ProxyKind;

use hand::Hand;
use manifests::{Manifests, Route, TLS_EVERY, address, host};
use process::{Cpu, Vigie};

/// After a reload the next one waits for a second, which is not what a change in quiet times costs.
const BETWEEN_RELOADS: Duration = Duration::from_millis(1_100);

/// Routes that are changed by Vigie, and by hand.
const OURS: usize = 1;
const BY_HAND: usize = 2;

/// Numbers of routes that come and go; neither has TLS.
const NEW: usize = 50_001;
const NEW_BY_HAND: usize = 70_001;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Ingress,
    Endpoints,
    Certificate,
    Deletion,
}

impl Change {
    const ALL: [(Self, &str); 4] = [
        (Self::Ingress, "new Ingress"),
        (Self::Endpoints, "endpoints"),
        (Self::Certificate, "certificate"),
        (Self::Deletion, "deletion"),
    ];
}

/// What a kind of change has cost so far; times in milliseconds.
#[derive(Default)]
struct Costs {
    total: Vec<f64>,
    load: Vec<f64>,
    by_hand: Vec<f64>,
    cpu: Cpu,
    how: BTreeMap<String, usize>,
}

fn main() {
    let port = client::backend();
    let rounds = numbers("ROUNDS", "10")[0];
    let debounce = phases::debounce();
    println!(
        "the watch waits for quiet: {debounce:.0} ms from a change to the change being noticed"
    );
    for size in numbers("SIZES", "100,1000,10000") {
        let manifests = Manifests::new(size, port);
        for proxy in proxies() {
            println!("\n== {proxy}, {size} routes, {rounds} rounds; milliseconds");
            phases::print(proxy, &manifests);
            let costs = changes(proxy, &manifests, port, rounds);
            print(&costs, debounce);
        }
    }
    let seconds = Duration::from_secs(numbers("SECONDS", "60")[0] as u64);
    for proxy in proxies() {
        storm::storm(proxy, port, numbers("ENDPOINTS", "10000")[0], seconds);
    }
}

fn proxies() -> impl Iterator<Item = ProxyKind> {
    let wanted = std::env::var("PROXIES").unwrap_or_else(|_| "nginx,haproxy".to_owned());
    let is_wanted = move |proxy: &ProxyKind| wanted.split(',').any(|w| w == proxy.as_str());
    ProxyKind::ALL.into_iter().filter(is_wanted)
}

/// Numbers of the environment, with commas between them.
fn numbers(name: &str, default: &str) -> Vec<usize> {
    let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let numbers = text.split(',').map(|n| n.trim().parse());
    numbers
        .collect::<Result<_, _>>()
        .expect("numbers, with commas")
}

fn changes(
    proxy: ProxyKind,
    manifests: &Manifests,
    port: u16,
    rounds: usize,
) -> BTreeMap<Change, Costs> {
    // The proxy before left other endpoints and another certificate.
    manifests.write(Route::of(OURS));
    manifests.write(Route::of(0));
    let vigie = Vigie::start(proxy, manifests.path());
    let mut hand = Hand::of(proxy, &vigie);
    let mut costs: BTreeMap<Change, Costs> = BTreeMap::new();
    for round in 0..rounds {
        for (change, _) in Change::ALL {
            let costs = costs.entry(change).or_default();
            ours(change, round, manifests, &vigie, costs);
        }
        for (change, _) in Change::ALL {
            let start = Instant::now();
            by_hand(change, round, manifests, &mut hand, port);
            let took = client::until(start, "by hand", || {
                is_served_by_hand(change, round, manifests, &vigie)
            });
            let costs = costs.entry(change).or_default();
            costs.by_hand.push(milliseconds(took));
        }
        hand.restore(TLS_EVERY, manifests);
        client::until(Instant::now(), "what was before", || {
            let shown = client::certificate(vigie.https, &host(TLS_EVERY));
            shown.as_deref() == Some(manifests.certificate(TLS_EVERY))
                && reaches(&vigie, BY_HAND, 1)
        });
        // Workers of the time before end, so that they slow nothing down.
        thread::sleep(BETWEEN_RELOADS);
    }
    costs
}

fn ours(change: Change, round: usize, manifests: &Manifests, vigie: &Vigie, costs: &mut Costs) {
    let new = NEW + round * TLS_EVERY;
    let before = vigie.cpu();
    let start = Instant::now();
    match change {
        Change::Ingress => manifests.write(Route::of(new)),
        Change::Endpoints => manifests.write(Route {
            pods: pods(round),
            ..Route::of(OURS)
        }),
        Change::Certificate => manifests.write(Route {
            certificate: Some(round + 1),
            ..Route::of(0)
        }),
        Change::Deletion => manifests.remove(new),
    }
    let total = client::until(start, "Vigie's", || match change {
        Change::Ingress => status(vigie, new) == Some(200),
        Change::Endpoints => reaches(vigie, OURS, pods(round)),
        Change::Certificate => {
            let shown = client::certificate(vigie.https, &host(0));
            shown.as_deref() == Some(manifests.certificate(round + 1))
        }
        Change::Deletion => status(vigie, new) == Some(404),
    });
    let load = vigie.loaded();
    if load.how == "reload" {
        thread::sleep(BETWEEN_RELOADS);
    }
    costs.total.push(milliseconds(total));
    costs.load.push(milliseconds(load.took));
    costs.cpu = costs.cpu.plus(vigie.cpu().since(before));
    *costs.how.entry(load.how).or_default() += 1;
}

fn by_hand(change: Change, round: usize, manifests: &Manifests, hand: &mut Hand, port: u16) {
    let new = NEW_BY_HAND + round * TLS_EVERY;
    match change {
        Change::Ingress => hand.create(new, BY_HAND, port),
        Change::Endpoints => hand.endpoint(new, BY_HAND, pods(round), port),
        Change::Certificate => hand.certificate(TLS_EVERY, &manifests.pem(TLS_EVERY + 1)),
        Change::Deletion => hand.delete(new, BY_HAND),
    }
}

fn is_served_by_hand(change: Change, round: usize, manifests: &Manifests, vigie: &Vigie) -> bool {
    let new = NEW_BY_HAND + round * TLS_EVERY;
    match change {
        Change::Ingress => status(vigie, new) == Some(200),
        Change::Endpoints => {
            reaches(vigie, new, pods(round)) || reaches(vigie, BY_HAND, pods(round))
        }
        Change::Certificate => {
            let shown = client::certificate(vigie.https, &host(TLS_EVERY));
            shown.as_deref() == Some(manifests.certificate(TLS_EVERY + 1))
        }
        Change::Deletion => status(vigie, new) == Some(404),
    }
}

/// Others in each round.
fn pods(round: usize) -> u8 {
    2 + (round % 2) as u8
}

fn status(vigie: &Vigie, number: usize) -> Option<u16> {
    client::get(vigie.http, &host(number)).map(|(status, _)| status)
}

fn reaches(vigie: &Vigie, number: usize, pods: u8) -> bool {
    let answer = client::get(vigie.http, &host(number));
    let wanted = [1, 2].map(|last| format!("{}\n", address(pods, last)));
    answer.is_some_and(|(_, body)| wanted.contains(&body))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn print(costs: &BTreeMap<Change, Costs>, debounce: f64) {
    println!(
        "{:12} {:>27} {:>27} {:>7} {:>7}   CPU of vigie, its checks, the proxy",
        "min/median/p95/max", "changed to served", "by hand", "ratio", "load"
    );
    for (change, name) in Change::ALL {
        let Some(costs) = costs.get(&change) else {
            continue;
        };
        let median = |values: &[f64]| quantile(values, 0.5);
        let noticed = median(&costs.total) - debounce;
        let each = |cpu: Duration| milliseconds(cpu) / costs.total.len() as f64;
        let how: Vec<String> = costs.how.iter().map(|(h, n)| format!("{n} {h}")).collect();
        println!(
            "{name:18} {:>27} {:>27} {:7.1} {:7.0}   {:5.0} {:5.0} {:5.0}   {}; noticed to served {noticed:.0}, {:.1} x by hand",
            distribution(&costs.total),
            distribution(&costs.by_hand),
            median(&costs.total) / median(&costs.by_hand),
            median(&costs.load),
            each(costs.cpu.vigie),
            each(costs.cpu.checks),
            each(costs.cpu.proxy),
            how.join(", "),
            noticed / median(&costs.by_hand),
        );
    }
}

fn distribution(values: &[f64]) -> String {
    let all = [0.0, 0.5, 0.95, 1.0].map(|share| format!("{:.0}", quantile(values, share)));
    all.join("/")
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[(last as f64 * share).round() as usize]
}
