//! The example of examples/cluster, and what the shipped roles are good for.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, PostParams};

use super::installation::Installation;
use crate::cluster::{Cluster, ask, own, until_answer};
use crate::support::client::Response;
use crate::support::echo::{Echo, Identity};

fn application() -> Echo {
    let listens = ["10.77.1.1:8000", "10.77.1.2:8000"].map(|text| text.parse().expect("a port"));
    let identity = Identity::self_signed().expect("a certificate");
    Echo::start("stdelval", &listens, &identity).expect("its ports are free")
}

#[test]
fn the_example_is_served_by_both_proxies_with_the_rights_that_ship() {
    // Its class has the name that other tests' objects have too.
    own(async |cluster| {
        let application = application();
        let installation = Installation::new(&cluster).await;
        let controller = installation.controller(&cluster, "one", "--class vigie");
        let nginx = installation.proxy(&cluster, "nginx", "nginx").await;
        let haproxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        cluster
            .apply(include_str!("../../../examples/cluster/shop.yaml"))
            .await;
        controller.until_ready().await;
        for proxy in [&nginx, &haproxy] {
            let address = proxy.pod.address.into();
            let url = "http://shop.example.com/stdelval/items?a=%2F&b=1";
            let seen_unchanged = |answer: &Response| {
                let report = answer.report();
                report.is_some_and(|report| report.path == "/stdelval/items?a=%2F&b=1")
            };
            until_answer(address, url, "the path as it was", seen_unchanged).await;
            proxy
                .until_status("http://shop.example.com/broken", 503)
                .await;
            let elsewhere = ask(address, "http://shop.example.com/other").await;
            assert_eq!(elsewhere.expect("an answer").status, 404);
            proxy
                .until_page("/readyz", "ready", |answer| answer.status == 200)
                .await;
        }
        controller
            .until_metric("vigie_proxies_current", "both", |count| count == 2.0)
            .await;
        controller
            .until_metric(
                "vigie_findings{severity=\"error\",code=\"RH201\"}",
                "1",
                |count| count == 1.0,
            )
            .await;
        // We are no peer of its pod.
        let model = controller.page("/debug/model").await.expect("an answer");
        assert_eq!(model.status, 403);
        assert!(
            model.text().contains("kubectl port-forward"),
            "{}",
            model.text()
        );
        assert!(
            application
                .seen()
                .iter()
                .all(|report| report.path.starts_with("/stdelval"))
        );
        installation.nothing_was_forbidden(&cluster);
        an_agent_may_do_no_more(&cluster, &installation).await;
    });
}

async fn an_agent_may_do_no_more(cluster: &Cluster, installation: &Installation) {
    let client = installation.agents.client().await;
    let code = |error: kube::Error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    };
    for namespace in ["default", "kube-system"] {
        let elsewhere: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let listed = elsewhere.list(&ListParams::default()).await;
        assert_eq!(listed.map(drop).map_err(code), Err(403), "{namespace}");
        let read = elsewhere.get("any").await;
        assert_eq!(read.map(drop).map_err(code), Err(403), "{namespace}");
    }
    let own: Api<Secret> = Api::namespaced(client, &cluster.namespace);
    let secret = serde_json::from_value(serde_json::json!({"metadata": {"name": "mine"}}));
    let made = own
        .create(&PostParams::default(), &secret.expect("a Secret"))
        .await;
    assert_eq!(made.map(drop).map_err(code), Err(403));
}
