//! What Vigie costs in a cluster, from the moment when the API server has an object until a client sees
//! it served: a real API server, a controller, and an agent with its proxy in a pod of its own. Prints
//! figures of one run beside baselines of the same run; asserts nothing but right answers.
//!
//! `SIZES=100,1000 ROUNDS=20 SECONDS=20 PROXIES=haproxy cargo bench --bench cluster` is a quick run. It
//! needs root, and the test cluster of scripts/control-plane.sh.

#![allow(clippy::panic, reason = "benchmarks fail by panicking")]

#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/it"]
mod it {
    pub mod cluster;
    pub mod support;
}
use it::{cluster, support};

#[path = "in_cluster/estate.rs"]
mod estate;
#[path = "in_cluster/measure.rs"]
mod measure;

use std::env;
use std::time::{Duration, Instant};

use cluster::{Cluster, Pod, Process, vigie};
use estate::Estate;
use measure::{Accounts, Figures, Watched, baseline, until_served};

/// The routes that are asked for when all are to be served: those that were made last are among them.
const ASKED: usize = 20;

fn numbers(name: &str, otherwise: &[usize]) -> Vec<usize> {
    let given = env::var(name).ok();
    let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{name}: {text}"));
    given.map_or_else(
        || otherwise.to_vec(),
        |given| given.split(',').map(parse).collect(),
    )
}

fn main() {
    let sizes = numbers("SIZES", &[100, 1_000, 5_000, 10_000]);
    let rounds = numbers("ROUNDS", &[20])[0];
    let seconds = numbers("SECONDS", &[60])[0];
    let proxies = env::var("PROXIES").unwrap_or_else(|_| "haproxy,nginx".to_owned());
    cluster::own(async |cluster| {
        cluster.define().await;
        let mut estate = Estate::new(&cluster).await;
        for size in sizes {
            estate.grow(size).await;
            println!("\n{size} Ingresses, each with a host, a Service and two endpoints; 10 % TLS");
            let listing = baseline(&cluster).await;
            println!("  a bare client lists the same kinds in {listing:.0?}");
            for proxy in proxies.split(',') {
                one(&cluster, &mut estate, proxy, size, rounds, seconds, listing).await;
            }
        }
    });
}

#[allow(
    clippy::too_many_arguments,
    reason = "they are the dimensions of the run"
)]
async fn one(
    cluster: &Cluster,
    estate: &mut Estate,
    proxy: &str,
    size: usize,
    rounds: usize,
    seconds: usize,
    listing: Duration,
) {
    println!("  {proxy}");
    let installation = format!("{proxy}-{size}");
    let pod = Pod::start(cluster, &installation, &[]).await;
    let accounts = Accounts::new(cluster, &installation).await;
    let common = format!(
        "--namespace {} --installation {installation} --proxy {proxy}",
        cluster.namespace,
    );
    let directory = pod.directory().join("d");
    let agent = pod.spawn(vigie(&format!(
        "agent {common} --kubeconfig {} --pod-name {} --pod-uid {} --directory {} --grace 0",
        accounts.agent.kubeconfig.display(),
        pod.name,
        pod.uid,
        directory.display()
    )));
    let begun = Instant::now();
    let controller = Process::start(vigie(&format!(
        "controller {common} --kubeconfig {} --listen 10.77.0.9:0",
        accounts.controller.kubeconfig.display(),
    )));
    let watched = Watched::new(&controller, &agent);
    for number in estate.sample(ASKED) {
        until_served(pod.address, number).await;
    }
    let cold = begun.elapsed();
    println!(
        "    cold start to all served {cold:.0?}, {:.1} x the listing",
        cold.as_secs_f64() / listing.as_secs_f64()
    );
    watched.settle().await;
    println!("    until every status is written {:.0?}", begun.elapsed());
    accounts.print_requests(cluster, "until then");
    let mut figures = Figures::default();
    for _ in 0..rounds {
        figures.new_ingress(cluster, estate, &pod).await;
        figures.endpoints(estate, &pod).await;
    }
    figures.print(rounds);
    watched.at_rest().await;
    accounts.forget(cluster);
    figures.storm(estate, &pod, &watched, seconds).await;
    accounts.print_requests(cluster, "in the storm");
    watched.print_memory(size);
    estate.shrink().await;
    drop((controller, agent));
}
