//! Five changes a second under a steady load, beside the same load at rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use vigie::render::ProxyKind;

use crate::client::{self, Answers};
use crate::manifests::{Manifests, Route, TLS_EVERY, host};
use crate::process::{Cpu, Vigie};

/// Requests a second.
const RATE: u32 = 1_000;

/// Hosts that are asked for. The backend has a thread for each connection, and each worker of a proxy
/// keeps connections to each endpoint.
const ASKED: usize = 100;

const BETWEEN_CHANGES: Duration = Duration::from_millis(200);

/// Numbers of routes that come and go; none has TLS.
const NEW: usize = 50_001;

/// What one of the two times was like.
struct Weather {
    answers: Answers,
    cpu: Cpu,
    /// The most that was seen, in MB: of Vigie and of the proxy.
    memory: (u64, u64),
}

pub fn storm(proxy: ProxyKind, port: u16, endpoints: usize, time: Duration) {
    let routes = endpoints / 2;
    let manifests = Manifests::new(routes, port);
    let vigie = Vigie::start(proxy, manifests.path());
    let plain = (0..routes).filter(|number| !number.is_multiple_of(TLS_EVERY));
    let hosts: Vec<String> = plain.take(ASKED).map(host).collect();
    println!(
        "\n== {proxy}, {endpoints} endpoints, {RATE} requests a second for {} s: at rest, and with five changes a second",
        time.as_secs()
    );
    // Connections to endpoints are opened before anything is counted.
    client::pace(vigie.http, &hosts, RATE, Duration::from_secs(5));
    let rest = weather(&vigie, &hosts, time, |_| {});
    print("at rest", &rest);
    let storm = weather(&vigie, &hosts, time, |number| change(number, &manifests));
    let last = Instant::now();
    manifests.write(Route::of(NEW - TLS_EVERY));
    let last = client::until(last, "the last change", || {
        let answer = client::get(vigie.http, &host(NEW - TLS_EVERY));
        answer.is_some_and(|(status, _)| status == 200)
    });
    print("in the storm", &storm);
    let mut loads: BTreeMap<String, usize> = BTreeMap::new();
    for load in vigie.loads.try_iter() {
        *loads.entry(load.how).or_default() += 1;
    }
    let loads: Vec<String> = loads.iter().map(|(how, n)| format!("{n} {how}")).collect();
    println!(
        "p99 ratio {:.1}; loads: {}; one more change was served after {} ms",
        p(&storm, 99).as_secs_f64() / p(&rest, 99).as_secs_f64(),
        loads.join(", "),
        last.as_millis()
    );
}

fn weather(vigie: &Vigie, hosts: &[String], time: Duration, change: impl Fn(usize)) -> Weather {
    let before = vigie.cpu();
    let start = Instant::now();
    let mut memory = (0, 0);
    let http = vigie.http;
    let answers = thread::scope(|scope| {
        let pace = scope.spawn(move || client::pace(http, hosts, RATE, time));
        for number in 0.. {
            let due = BETWEEN_CHANGES * number;
            if due >= time {
                break;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            change(number as usize);
            if number % 10 == 0 {
                let now = vigie.memory();
                memory = (memory.0.max(now.0), memory.1.max(now.1));
            }
        }
        pace.join().expect("the load ends")
    });
    Weather {
        answers,
        cpu: vigie.cpu().since(before),
        memory,
    }
}

/// A host comes, endpoints change, a certificate is renewed, the host goes, endpoints change again.
fn change(number: usize, manifests: &Manifests) {
    let new = NEW + number / 5 * TLS_EVERY;
    let pods = 2 + (number / 5 % 7) as u8;
    match number % 5 {
        0 => manifests.write(Route::of(new)),
        2 => manifests.write(Route {
            certificate: Some(number),
            ..Route::of(0)
        }),
        3 => manifests.remove(new),
        // Hosts that are asked for.
        kind => manifests.write(Route {
            pods,
            ..Route::of(kind)
        }),
    }
}

fn p(weather: &Weather, percent: usize) -> Duration {
    let latencies = &weather.answers.latencies;
    let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
    latencies.get(at).copied().unwrap_or_default()
}

fn print(name: &str, weather: &Weather) {
    let Weather {
        answers,
        cpu,
        memory,
    } = weather;
    println!(
        "{name:12} {} answered, {} lost, {} sent again on a new connection; p50 {:.1} ms, p99 {:.1} ms; CPU of vigie {:.1} s, its checks {:.1} s, the proxy {:.1} s; memory {} MB and {} MB",
        answers.latencies.len(),
        answers.lost.len(),
        answers.again,
        p(weather, 50).as_secs_f64() * 1e3,
        p(weather, 99).as_secs_f64() * 1e3,
        cpu.vigie.as_secs_f64(),
        cpu.checks.as_secs_f64(),
        cpu.proxy.as_secs_f64(),
        memory.0,
        memory.1,
    );
    if let Some(words) = answers.lost.first() {
        println!("{:12} the first lost: {words:?}", "");
    }
}
