//! Two controllers of one installation: one leads, and only that one writes.

use nix::sys::signal::Signal;

use super::installation::{Controller, Installation, Proxy, shipped, until};
use super::{HOST, apply, ingress, load, nothing_is_lost, until_both};
use crate::cluster::{Account, Cluster, test};

/// What only the one that leads writes.
const WRITTEN: [&str; 5] = [
    "configmaps",
    "secrets",
    "routehealths",
    "ingresses",
    "events",
];

struct Pair {
    installation: Installation,
    accounts: [Account; 2],
    controllers: [Controller; 2],
    proxies: Vec<Proxy>,
}

/// Each with an account of its own, so that the API server can tell who writes. The first leads.
async fn pair(cluster: &Cluster) -> Pair {
    let installation = Installation::new(cluster).await;
    let roles = shipped("controller-roles.yaml");
    let accounts = [
        cluster.account("first", &roles).await,
        cluster.account("second", &roles).await,
    ];
    let first = installation.controller_as(cluster, &accounts[0], "first", "");
    first
        .until_metric("vigie_leader", "1", |leads| leads == 1.0)
        .await;
    let second = installation.controller_as(cluster, &accounts[1], "second", "");
    let mut proxies = Vec::new();
    for kind in ["nginx", "haproxy"] {
        proxies.push(installation.proxy(cluster, kind, kind).await);
    }
    let shop = ingress("shop", &installation.class, HOST, "shop");
    apply(cluster, &shop).await;
    until_both(&proxies, HOST, "shop").await;
    second.until_ready().await;
    Pair {
        installation,
        accounts,
        controllers: [first, second],
        proxies,
    }
}

/// How often an account has written something that is published, or that users are told.
fn writes(cluster: &Cluster, account: &Account) -> usize {
    let asked = cluster.requests_of(account);
    let published = asked.iter().filter(|asked| {
        let is_write = ["create", "patch", "update", "delete"].contains(&&*asked.verb);
        is_write
            && asked
                .resource
                .split('/')
                .any(|part| WRITTEN.contains(&part))
            && !asked.name.ends_with("default-certificate")
    });
    published.count()
}

async fn change(cluster: &Cluster, installation: &Installation, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (name, host) = (format!("n-{number}"), format!("n-{number}.example"));
        apply(cluster, &ingress(&name, &installation.class, &host, "shop")).await;
    }
}

async fn until_all(proxies: &[Proxy], numbers: std::ops::Range<u32>) {
    for number in numbers {
        until_both(proxies, &format!("n-{number}.example"), "shop").await;
    }
}

#[test]
fn a_leader_that_is_killed_or_ends_in_a_storm_is_followed_by_the_other() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let Pair {
            installation,
            accounts,
            controllers: [mut first, mut second],
            proxies,
        } = pair(&cluster).await;
        assert_eq!(writes(&cluster, &accounts[1]), 0, "it does not lead");
        let loads = load(&proxies);
        change(&cluster, &installation, 0..10).await;
        first.process.kill();
        first.process.ended().await;
        change(&cluster, &installation, 10..20).await;
        until_all(&proxies, 0..20).await;
        second
            .until_metric("vigie_leader", "1", |leads| leads == 1.0)
            .await;

        first.again();
        first.until_ready().await;
        let before = writes(&cluster, &accounts[0]);
        change(&cluster, &installation, 20..30).await;
        second.process.terminate();
        assert!(second.process.ended().await.success());
        change(&cluster, &installation, 30..40).await;
        until_all(&proxies, 20..40).await;
        first
            .until_metric("vigie_leader", "1", |leads| leads == 1.0)
            .await;
        assert!(writes(&cluster, &accounts[0]) > before);
        nothing_is_lost(loads).await;
        installation.nothing_was_forbidden_to(&cluster, &accounts);
    });
}

#[test]
fn a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let Pair {
            installation,
            accounts,
            controllers: [first, second],
            proxies,
        } = pair(&cluster).await;
        first.process.signal(Signal::SIGSTOP);
        change(&cluster, &installation, 0..5).await;
        until_all(&proxies, 0..5).await;
        second
            .until_metric("vigie_leader", "1", |leads| leads == 1.0)
            .await;
        let before = writes(&cluster, &accounts[0]);
        let stood = installation.standing(&cluster).await;
        first.process.signal(Signal::SIGCONT);
        first
            .until_metric("vigie_leader", "0", |leads| leads == 0.0)
            .await;
        // By then it has built what it slept through.
        until("it has caught up", async || {
            let answer = first.page("/metrics").await;
            answer.is_some_and(|answer| !answer.text().contains("vigie_ingresses 0"))
        })
        .await;
        change(&cluster, &installation, 5..8).await;
        until_all(&proxies, 5..8).await;
        assert_eq!(writes(&cluster, &accounts[0]), before, "both have written");
        assert_ne!(installation.standing(&cluster).await, stood);
    });
}
