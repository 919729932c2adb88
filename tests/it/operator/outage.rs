//! The API server away, and back.

use serde_json::json;

use super::{HOST, apply, ingress, load, nothing_is_lost, served, until_both};
use crate::cluster::own;

#[test]
fn agents_go_on_and_come_up_without_the_api_server_and_follow_when_it_is_back() {
    own(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        let more = cluster.backend("more", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        cluster.service_of("more", &[&more]).await;
        let (installation, mut controller, mut proxies) = served(&cluster, "shop").await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        for proxy in &proxies {
            let copy = proxy.pod.directory().join("last-good.json");
            super::installation::until("a copy is kept", async || copy.is_file()).await;
        }
        let before = installation.standing(&cluster).await;
        let loads = load(&proxies);
        cluster.control_plane().stop_api_server().await;
        for proxy in &proxies {
            let degraded = |answer: &crate::support::client::Response| {
                answer.status == 200 && answer.text().contains("degraded follow")
            };
            proxy.until_page("/readyz", "degraded", degraded).await;
        }
        nothing_is_lost(loads).await;

        // All that runs ends at once, and comes up again, while nothing can be asked.
        controller.process.kill();
        controller.process.ended().await;
        controller.again();
        for proxy in &mut proxies {
            proxy.pod.end_all();
            proxy.again();
        }
        until_both(&proxies, HOST, "shop").await;
        let loads = load(&proxies);
        cluster.control_plane().start_api_server().await;
        apply(
            &cluster,
            &ingress("more", &installation.class, "more.example", "more"),
        )
        .await;
        until_both(&proxies, "more.example", "more").await;
        controller.until_ready().await;
        nothing_is_lost(loads).await;

        // Nothing was made anew that was good: with the change taken back, all is as it was.
        let gone: kube::Api<k8s_openapi::api::networking::v1::Ingress> = cluster.api();
        gone.delete("more", &kube::api::DeleteParams::default())
            .await
            .expect("it is there");
        super::installation::until("all is as it was", async || {
            installation.standing(&cluster).await == before
        })
        .await;
    });
}

#[test]
fn a_right_that_is_withdrawn_is_named_and_traffic_goes_on() {
    own(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        // Our own resource is not there yet; nothing waits for it.
        let says = |text: &'static str| {
            move |answer: &crate::support::client::Response| {
                answer.status == 200 && answer.text().contains(text)
            }
        };
        controller
            .until_page(
                "/readyz",
                "without it",
                says("degraded watch RouteHealth: absent"),
            )
            .await;
        cluster.define().await;
        controller
            .until_page("/readyz", "with it", says("done watch RouteHealth"))
            .await;

        let loads = load(&proxies);
        let rules = |rules: serde_json::Value| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": "vigie-controller"}, "rules": rules,
            })
        };
        apply(&cluster, &rules(json!([]))).await;
        // Whoever watches already is not asked again before the connection ends.
        cluster.control_plane().stop_api_server().await;
        cluster.control_plane().start_api_server().await;
        let all = [
            "Ingress",
            "Service",
            "EndpointSlice",
            "Secret",
            "RouteHealth",
        ];
        for kind in all {
            let named = move |answer: &crate::support::client::Response| {
                let line = format!("degraded watch {kind}: forbidden");
                answer.status == 200 && answer.text().contains(&line)
            };
            controller.until_page("/readyz", kind, named).await;
        }
        nothing_is_lost(loads).await;
        cluster
            .apply(&super::installation::shipped("controller-roles.yaml"))
            .await;
        apply(
            &cluster,
            &ingress("more", &installation.class, "more.example", "shop"),
        )
        .await;
        until_both(&proxies, "more.example", "shop").await;
        until_both(&proxies, HOST, "shop").await;
    });
}
