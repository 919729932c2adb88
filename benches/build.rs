//! What a build costs: translate and render, by CPU time an Ingress, beside the proxy's own check of
//! the result; how it grows; and how much memory it takes. Prints ratios of one run; asserts nothing.
//!
//! `cargo bench --bench build`

#![allow(clippy::panic, reason = "benchmarks fail by panicking")]

mod estate;
mod proxy;
mod shared;
mod usage;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::UsageWho;
use vigie::diagnose::diagnose;
use vigie::render::{self, Bundle, Capabilities, Placement, ProxyKind, haproxy};
use vigie::translate::{tallies, translate};

use usage::cpu;

const SIZES: [usize; 2] = [1_000, 10_000];
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, proxy, size, features] = arguments.as_slice()
        && flag == "--memory"
    {
        return memory(proxy, size, features == "features");
    }
    diagnosis();
    for features in [false, true] {
        let kind = if features {
            "with rewrite, regex, time-out and body size"
        } else {
            "plain"
        };
        println!("\n== {kind} Ingresses: one host, one Service, two endpoints each; 20 % TLS");
        for proxy in ProxyKind::ALL {
            let cost = SIZES.map(|size| cost(proxy, size, features));
            for (size, cost) in SIZES.iter().zip(&cost) {
                let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / *size as f64;
                println!(
                    "{proxy:8} {size:6}: translate {:5.1} + render {:5.1} = {:5.1} us of CPU an Ingress; own check {:7.1} us; peak memory {}",
                    each(cost.translate),
                    each(cost.render),
                    each(cost.translate + cost.render),
                    each(cost.check),
                    peak(proxy, *size, features),
                );
            }
            let total = |cost: &Cost| (cost.translate + cost.render).as_secs_f64();
            println!(
                "{proxy:8} growth from {} to {}: {:.1} x",
                SIZES[0],
                SIZES[1],
                total(&cost[1]) / total(&cost[0])
            );
        }
    }
}

/// What looking behind Services adds to a translation, with two pods behind each.
fn diagnosis() {
    println!("\n== diagnosis: a Deployment and two pods behind each Service");
    let options = shared::options();
    for (size, broken_every) in [(1_000, 100), (10_000, 100), (10_000, 1)] {
        let mut snapshot = estate::estate(size, false);
        estate::with_pods(&mut snapshot, broken_every);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let start = cpu(UsageWho::RUSAGE_SELF);
            let translation = black_box(translate(&snapshot, &options));
            let translated = cpu(UsageWho::RUSAGE_SELF);
            let tallies = tallies(&snapshot, &translation.model);
            black_box(diagnose(&snapshot, &translation.model, &tallies));
            rounds.push((cpu(UsageWho::RUSAGE_SELF) - translated, translated - start));
        }
        rounds.sort();
        let (diagnose, translate) = rounds[ROUNDS / 2];
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / size as f64;
        println!(
            "{size:6}, one in {broken_every:3} broken: translate {:5.1} + diagnose {:5.1} us of CPU an Ingress, {:.2} x translate alone",
            each(translate),
            each(diagnose),
            (translate + diagnose).as_secs_f64() / translate.as_secs_f64()
        );
    }
}

struct Cost {
    translate: Duration,
    render: Duration,
    /// The proxy's check of the files.
    check: Duration,
}

fn cost(proxy: ProxyKind, size: usize, features: bool) -> Cost {
    let snapshot = estate::estate(size, features);
    let mut rounds: Vec<(Duration, Duration)> = Vec::new();
    let mut bundle = None;
    let mut options = shared::options();
    for _ in 0..ROUNDS {
        let start = cpu(UsageWho::RUSAGE_SELF);
        let translation = black_box(translate(&snapshot, &options));
        let translated = cpu(UsageWho::RUSAGE_SELF);
        bundle = Some(black_box(rendered(&translation.model, proxy)));
        rounds.push((translated - start, cpu(UsageWho::RUSAGE_SELF) - translated));
        // As the loop does: what one build left to know is what the next one is given.
        options.memory = translation.memory;
    }
    rounds.sort_by_key(|(translate, render)| *translate + *render);
    let (translate, render) = rounds[ROUNDS / 2];
    let check = bundle
        .map(|bundle| check(proxy, &bundle))
        .unwrap_or_default();
    Cost {
        translate,
        render,
        check,
    }
}

fn rendered(model: &vigie::model::Model, proxy: ProxyKind) -> Bundle {
    let address = |text: &str| vec![text.parse().expect("an address")];
    let resolvers = (0..40).map(|i| {
        format!("127.0.0.1:{}", 20_000 + i)
            .parse()
            .expect("an address")
    });
    let placement = Placement {
        http: address("127.0.0.1:18080"),
        https: address("127.0.0.1:18443"),
        resolvers: resolvers.collect(),
        https_redirect_port: None,
    };
    render::render(model, &Capabilities::assumed(proxy), &placement)
}

/// CPU time of the proxy's own check of the files.
fn check(proxy: ProxyKind, bundle: &Bundle) -> Duration {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in bundle.files() {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a directory");
        std::fs::write(path, text.as_bytes()).expect("a file");
    }
    for below in ["run", "tmp"] {
        std::fs::create_dir_all(dir.path().join(below)).expect("a directory");
    }
    let binary = proxy::binary(proxy);
    let mut command = Command::new(binary);
    match proxy {
        ProxyKind::Nginx => command
            .args(["-t", "-q", "-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(dir.path())
            .current_dir(dir.path()),
        ProxyKind::Haproxy => command
            .args(["-c", "-q"])
            .args(haproxy::CONFIGURATION.iter().flat_map(|file| ["-f", file]))
            .current_dir(dir.path()),
    };
    let before = cpu(UsageWho::RUSAGE_CHILDREN);
    let status = command.status().expect("the proxy starts");
    assert!(status.success(), "{proxy} refuses what is rendered");
    cpu(UsageWho::RUSAGE_CHILDREN) - before
}

/// Peak memory of a process that holds the estate and builds it once; the same process without the
/// build is the estate's own share.
fn peak(proxy: ProxyKind, size: usize, features: bool) -> String {
    let me = std::env::current_exe().expect("a path of this program");
    let output = Command::new(me)
        .args([
            "--memory",
            proxy.as_str(),
            &size.to_string(),
            if features { "features" } else { "plain" },
        ])
        .output()
        .expect("this program starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn memory(proxy: &str, size: &str, features: bool) {
    let proxy = if proxy == "nginx" {
        ProxyKind::Nginx
    } else {
        ProxyKind::Haproxy
    };
    let snapshot = estate::estate(size.parse().expect("a number"), features);
    let before = high_water();
    let translation = translate(&snapshot, &shared::options());
    let bundle = rendered(&translation.model, proxy);
    black_box(bundle.files());
    println!(
        "{} MB (objects alone {} MB)",
        high_water() / 1024,
        before / 1024
    );
}

/// VmHWM of this process, in kB.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("VmHWM is there");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number of kB")
}
