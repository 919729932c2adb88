//! What changes in the cluster is served, and nothing is lost meanwhile.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use nix::sys::signal::Signal;

use super::installation::{Installation, Proxy, until};
use super::{HOST, apply, ingress, load, nothing_is_lost, served, until_both};
use crate::cluster::{Backend, ask, test};

async fn reloads(proxies: &[Proxy]) -> f64 {
    let mut all = 0.0;
    for proxy in proxies {
        all += proxy.metric("vigie_reloads_total").await;
    }
    all
}

/// Through twenty answers of each proxy it is asked for nothing.
async fn until_left_alone(proxies: &[Proxy], backend: &Backend) {
    until(
        &format!("{} gets no more requests", backend.name),
        async || {
            let before = backend.seen().len();
            for proxy in proxies {
                for _ in 0..20 {
                    let _ = ask(proxy.pod.address.into(), &format!("http://{HOST}/")).await;
                }
            }
            backend.seen().len() == before
        },
    )
    .await;
}

#[test]
fn traffic_follows_endpoints_without_a_reload_and_nothing_is_lost() {
    test(async |cluster| {
        let labels = [("app", "shop")];
        cluster.service("shop", &labels).await;
        let one = cluster.backend("one", &labels).await;
        let (_installation, _controller, proxies) = served(&cluster, "one").await;
        let before = reloads(&proxies).await;
        let loads = load(&proxies);
        let two = cluster.backend("two", &labels).await;
        let three = cluster.backend("three", &labels).await;
        until_both(&proxies, HOST, "two").await;
        until_both(&proxies, HOST, "three").await;
        one.drain().await;
        until_left_alone(&proxies, &one).await;
        two.set_ready(false).await;
        until_left_alone(&proxies, &two).await;
        two.set_ready(true).await;
        until_both(&proxies, HOST, "two").await;
        three.delete().await;
        until_left_alone(&proxies, &three).await;
        drop((one, three));
        until_both(&proxies, HOST, "two").await;
        assert_eq!(reloads(&proxies).await, before);
        nothing_is_lost(loads).await;
    });
}

async fn shards(installation: &Installation, maps: &Api<ConfigMap>) -> Vec<String> {
    let shards = format!(
        "vigie.dev/instance={},vigie.dev/proxy=nginx,vigie.dev/part=shard",
        installation.name
    );
    let listed = maps.list(&ListParams::default().labels(&shards)).await;
    let items = listed.expect("a list").items.into_iter();
    items.filter_map(|map| map.metadata.name).collect()
}

#[test]
fn old_shards_stay_while_an_agent_needs_them_and_then_go() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        let late = installation.proxy(&cluster, "nginx", "late").await;
        let current = "vigie_proxies_current{proxy=\"nginx\"}";
        controller
            .until_metric(current, "2", |count| count == 2.0)
            .await;
        let maps: Api<ConfigMap> = cluster.api();
        let old = shards(&installation, &maps).await;
        assert!(!old.is_empty());

        late.agent.signal(Signal::SIGSTOP);
        apply(
            &cluster,
            &ingress("more", &installation.class, "more.example", "shop"),
        )
        .await;
        until_both(&proxies, "more.example", "shop").await;
        controller
            .until_metric(current, "1", |count| count == 1.0)
            .await;
        let both = shards(&installation, &maps).await;
        assert!(
            old.iter().all(|shard| both.contains(shard)),
            "{old:?}, {both:?}"
        );
        assert!(both.len() > old.len());

        late.agent.signal(Signal::SIGCONT);
        late.until_backend("more.example", "shop").await;
        until("only what the index names stands", async || {
            let left = shards(&installation, &maps).await;
            let index = maps.get("vigie-nginx").await.expect("an index");
            let named = &index.data.unwrap_or_default()["shards"];
            let lines = named.lines().filter(|line| line.starts_with("ConfigMap"));
            left.len() == lines.count() && left.iter().all(|shard| named.contains(shard))
        })
        .await;
        installation.nothing_was_forbidden(&cluster);
    });
}
