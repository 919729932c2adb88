//! Whatever is killed at whatever moment: in the end all is served, and what stands is what a build from
//! nothing gives. `ROUNDS=50` soaks.

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::DeleteParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vigie::render::wire::Plain;

use super::installation::{Controller, Installation, Proxy, until};
use super::{HOST, apply, ingress, load, nothing_is_lost, served, until_both};
use crate::change::processes;
use crate::change::{Dice, rounds};
use crate::cluster::{Backend, Cluster, test};

async fn backends(cluster: &Cluster) -> Vec<Backend> {
    let mut backends = Vec::new();
    for name in ["shop", "more"] {
        let backend = cluster.backend(name, &[]).await;
        cluster.service_of(name, &[&backend]).await;
        backends.push(backend);
    }
    backends
}

/// Twelve hosts come and go; who serves one changes too. Says what is then served where.
async fn change(
    cluster: &Cluster,
    installation: &Installation,
    dice: &mut Dice,
) -> Option<(String, &'static str)> {
    let number = dice.below(12);
    let name = format!("n-{number}");
    if dice.below(3) == 0 {
        let ingresses: Api<Ingress> = cluster.api();
        // It may not be there.
        let _ = ingresses.delete(&name, &DeleteParams::default()).await;
        return None;
    }
    let service = ["shop", "more"][dice.below(2)];
    let host = format!("{name}.example");
    let manifest = ingress(&name, &installation.class, &host, service);
    apply(cluster, &manifest).await;
    Some((host, service))
}

async fn kill_one(controller: &mut Controller, proxies: &mut [Proxy], dice: &mut Dice) {
    match dice.below(5) {
        0 => {
            controller.process.kill();
            controller.process.ended().await;
            controller.again();
        }
        which @ (1 | 2) => {
            let proxy = &mut proxies[which - 1];
            proxy.agent.kill();
            proxy.agent.ended().await;
            proxy.again();
        }
        which => {
            let proxy = &proxies[which - 3];
            let master = processes::below(proxy.agent.pid().expect("it runs"));
            if let Some(pid) = master.first() {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
    }
}

/// Ends one at once, or what it has started, and starts it again; a proxy comes back by itself. Nothing
/// of it is left that answers for a last time.
async fn kill_proxy(proxy: &mut Proxy, dice: &mut Dice) {
    let before = processes::below(proxy.agent.pid().expect("it runs"));
    if dice.below(2) == 0 {
        proxy.agent.kill();
        proxy.agent.ended().await;
        proxy.again();
    } else {
        let master = before.first().expect("a proxy runs");
        kill(Pid::from_raw(*master), Signal::SIGKILL).expect("it is ours");
    }
    // What has ended may wait for somebody who asks for its end, and then has no program.
    let runs = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    until("all of it has ended", async || !before.iter().any(runs)).await;
}

#[test]
fn a_controller_that_is_killed_costs_no_request_and_a_proxy_none_but_its_own() {
    test(async |cluster| {
        let _backends = backends(&cluster).await;
        let (installation, mut controller, mut proxies) = served(&cluster, "shop").await;
        let mut dice = Dice::new(11);
        for _ in 0..rounds(3) {
            let loads = load(&proxies);
            let mut last = None;
            for _ in 0..1 + dice.below(4) {
                last = change(&cluster, &installation, &mut dice).await.or(last);
            }
            controller.process.kill();
            controller.process.ended().await;
            controller.again();
            if let Some((host, service)) = last {
                until_both(&proxies, &host, service).await;
            }
            controller.until_ready().await;
            nothing_is_lost(loads).await;

            let which = dice.below(2);
            let others = load(&proxies[1 - which..2 - which]);
            change(&cluster, &installation, &mut dice).await;
            kill_proxy(&mut proxies[which], &mut dice).await;
            proxies[which].until_backend(HOST, "shop").await;
            nothing_is_lost(others).await;
        }
    });
}

/// Both indexes, and no shard of an earlier publication.
fn only_what_is_named_stands(stands: &[(String, Plain)]) -> bool {
    let (indexes, others): (Vec<_>, Vec<_>) = stands
        .iter()
        .partition(|(_, data)| data.contains_key("revision"));
    let named = |name: &str| {
        let mut texts = indexes.iter().flat_map(|(_, index)| index.values());
        texts.any(|text| text.split_whitespace().any(|word| word == name))
    };
    indexes.len() == 2 && others.iter().all(|(name, _)| named(name))
}

#[test]
fn whatever_is_killed_all_is_served_in_the_end_and_nothing_else_stands() {
    test(async |cluster| {
        let _backends = backends(&cluster).await;
        let (installation, mut controller, mut proxies) = served(&cluster, "shop").await;
        let mut dice = Dice::new(7);
        for _ in 0..rounds(8) {
            for _ in 0..4 {
                change(&cluster, &installation, &mut dice).await;
            }
            kill_one(&mut controller, &mut proxies, &mut dice).await;
            let last = change(&cluster, &installation, &mut dice).await;
            // The next one dies at work, or when all has come to rest.
            if let (Some((host, service)), 0) = (last, dice.below(2)) {
                until_both(&proxies, &host, service).await;
            }
        }
        let ingresses: Api<Ingress> = cluster.api();
        let listed = ingresses
            .list(&kube::api::ListParams::default())
            .await
            .expect("a list");
        for number in 0..12 {
            let name = format!("n-{number}");
            let found = listed
                .items
                .iter()
                .find(|one| one.metadata.name.as_deref() == Some(&name));
            let spec = found.and_then(|one| one.spec.as_ref());
            let Some(spec) = spec else {
                for proxy in &proxies {
                    proxy
                        .until_status(&format!("http://{name}.example/"), 404)
                        .await;
                }
                continue;
            };
            let to_more = serde_json::to_string(spec)
                .expect("it prints")
                .contains("\"more\"");
            let service = if to_more { "more" } else { "shop" };
            until_both(&proxies, &format!("{name}.example"), service).await;
        }
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        let mut stands = Vec::new();
        until("it is calm", async || {
            let before = std::mem::replace(&mut stands, installation.standing(&cluster).await);
            before == stands && only_what_is_named_stands(&stands)
        })
        .await;
        controller.process.terminate();
        controller.process.ended().await;
        controller.again();
        controller.until_ready().await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        assert_eq!(installation.standing(&cluster).await, stands);
        installation.nothing_was_forbidden(&cluster);
    });
}
