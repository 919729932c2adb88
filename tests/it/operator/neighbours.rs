//! Two installations in one cluster and one namespace, with one pair of proxies each.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;

use super::installation::{Installation, until};
use super::{apply, ingress};
use crate::cluster::test;

#[test]
fn two_installations_in_one_namespace_keep_off_each_others_objects() {
    test(async |cluster| {
        let classes = ["red", "blue"].map(|name| {
            let class = format!("{}-{name}", cluster.namespace);
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {class}}}\n\
                 spec: {{controller: example.com/{name}}}\n"
            )
        });
        cluster.apply(&classes.join("---\n")).await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let red = Installation::named(&cluster, "red").await;
        let blue = Installation::named(&cluster, "blue").await;
        let mut of_red = red.controller(&cluster, "one", "--controller example.com/red");
        let of_blue = blue.controller(&cluster, "one", "--controller example.com/blue");
        let red_proxy = red.proxy(&cluster, "nginx", "nginx").await;
        let blue_proxy = blue.proxy(&cluster, "haproxy", "haproxy").await;
        apply(&cluster, &ingress("red", &red.class, "red.example", "shop")).await;
        apply(
            &cluster,
            &ingress("blue", &blue.class, "blue.example", "shop"),
        )
        .await;
        red_proxy.until_backend("red.example", "shop").await;
        blue_proxy.until_backend("blue.example", "shop").await;
        red_proxy.until_status("http://blue.example/", 404).await;
        blue_proxy.until_status("http://red.example/", 404).await;
        of_red
            .until_metric("vigie_proxies", "1", |count| count == 1.0)
            .await;
        of_blue
            .until_metric("vigie_proxies", "1", |count| count == 1.0)
            .await;

        // One changes, sweeps and restores while the other is away.
        let mut before = Vec::new();
        until("red is calm", async || {
            let earlier = std::mem::replace(&mut before, red.standing(&cluster).await);
            earlier == before && !before.is_empty()
        })
        .await;
        of_red.process.terminate();
        assert!(of_red.process.ended().await.success());
        apply(
            &cluster,
            &ingress("more", &blue.class, "more.example", "shop"),
        )
        .await;
        blue_proxy.until_backend("more.example", "shop").await;
        let maps: Api<ConfigMap> = cluster.api();
        let index = "blue-haproxy";
        maps.delete(index, &DeleteParams::default())
            .await
            .expect("it is there");
        until("the index is back", async || {
            maps.get_opt(index).await.is_ok_and(|map| map.is_some())
        })
        .await;
        assert_eq!(red.standing(&cluster).await, before);
        red_proxy.until_backend("red.example", "shop").await;
        red.nothing_was_forbidden(&cluster);
        blue.nothing_was_forbidden(&cluster);
    });
}
