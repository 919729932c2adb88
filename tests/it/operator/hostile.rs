//! A tenant who may make Ingresses in a namespace of his own, and means it badly.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::scope::{namespace, within};
use super::{HOST, apply, ingress, load, nothing_is_lost, served, until_both};
use crate::cluster::test;

/// The user is `someone`, the password `secret`.
const USERS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: users}
stringData: {auth: 'someone:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='}
";

#[test]
fn a_hostile_tenant_gets_nothing_of_others_and_takes_nothing_from_them() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        let evil = cluster.backend("evil", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        cluster.apply(USERS).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        let class = &installation.class;
        let tenant = namespace(&cluster, "mallory", &evil).await;
        let loads = load(&proxies);

        // Another's host and path; what is his own on that host is his.
        let mut claims = within(&tenant, ingress("claims", class, HOST, "evil"));
        apply(&cluster, &claims).await;
        claims["metadata"]["name"] = json!("beside");
        claims["spec"]["rules"][0]["host"] = json!("evil.example");
        apply(&cluster, &claims).await;
        until_both(&proxies, "evil.example", "evil").await;

        // Another's Secrets, to guard his own route with and to serve with.
        let mut spies = within(&tenant, ingress("spies", class, "spies.example", "evil"));
        let secret = format!("{}/users", cluster.namespace);
        spies["metadata"]["annotations"] = json!({
            "nginx.ingress.kubernetes.io/auth-type": "basic",
            "nginx.ingress.kubernetes.io/auth-secret": secret,
        });
        apply(&cluster, &spies).await;
        for proxy in &proxies {
            proxy.until_status("http://spies.example/", 503).await;
        }

        // Very much of it, in many pieces and in a large one.
        let many = (0..300).map(|number| {
            let name = format!("many-{number}");
            let host = format!("{name}.evil.example");
            within(&tenant, ingress(&name, class, &host, "evil"))
        });
        let many: Vec<Value> = many.collect();
        let applied = stream::iter(&many)
            .map(|one| apply(&cluster, one))
            .buffer_unordered(8);
        applied.collect::<Vec<()>>().await;
        let mut large = within(&tenant, ingress("large", class, "large.example", "evil"));
        let path = |number: usize| {
            json!({
                "path": format!("/{number}/{}", "x".repeat(600)), "pathType": "Prefix",
                "backend": {"service": {"name": "evil", "port": {"number": 80}}},
            })
        };
        large["spec"]["rules"][0]["http"]["paths"] = (0..1200).map(path).collect();
        assert!(large.to_string().len() > 800_000);
        apply(&cluster, &large).await;

        apply(&cluster, &ingress("late", class, "late.example", "shop")).await;
        // So much takes nginx some seconds, and twice as many where the machine has much else to do.
        let current = "vigie_proxies_current";
        controller
            .until_metric(current, "both", |count| count == 2.0)
            .await;
        until_both(&proxies, "late.example", "shop").await;
        until_both(&proxies, "many-299.evil.example", "evil").await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        until_both(&proxies, HOST, "shop").await;
        assert!(
            evil.seen()
                .iter()
                .all(|report| report.host.as_deref() != Some(HOST))
        );
        nothing_is_lost(loads).await;
        installation.nothing_was_forbidden(&cluster);

        // So much would be told to other tests, too.
        let all: Api<Namespace> = Api::all(cluster.client.clone());
        let gone = all.delete(&tenant, &DeleteParams::default()).await;
        drop(gone.expect("it is there"));
    });
}
