//! What cert-manager does for a certificate by HTTP-01, step by step.

use serde_json::json;

use super::{Proxy, apply, ingress, served};
use crate::change::manifests::secret;
use crate::cluster::{Cluster, test, until_answer, until_backend};
use crate::support::client::Response;

const TLS: &str = "tls.example";
const CHALLENGE: &str = "http://tls.example/.well-known/acme-challenge/token";

pub async fn until_certificate(proxy: &Proxy, subject: &str) {
    let shown = |answer: &Response| {
        let first = answer.tls.as_ref().and_then(|tls| tls.chain.first());
        let mut windows = first.into_iter().flat_map(|der| der.windows(subject.len()));
        windows.any(|window| window == subject.as_bytes())
    };
    let address = proxy.pod.address.into();
    until_answer(address, "https://tls.example/", subject, shown).await;
}

fn solver(class: &str) -> serde_json::Value {
    let mut solver = ingress("cm-acme-http-solver-x", class, TLS, "solver");
    let path = &mut solver["spec"]["rules"][0]["http"]["paths"][0];
    path["path"] = json!("/.well-known/acme-challenge/token");
    path["pathType"] = json!("ImplementationSpecific");
    solver["metadata"]["annotations"] = json!({
        "nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0",
    });
    solver
}

async fn issue(cluster: &Cluster, subject: &str) {
    cluster.apply(&secret("tls", TLS, subject)).await;
}

#[test]
fn a_certificate_is_issued_and_renewed_by_http_01_without_a_reload() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        let solving = cluster.backend("solver", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        cluster.service_of("solver", &[&solving]).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        let mut wanted = ingress("tls", &installation.class, TLS, "shop");
        wanted["spec"]["tls"] = json!([{"hosts": [TLS], "secretName": "tls"}]);
        apply(&cluster, &wanted).await;
        for proxy in &proxies {
            proxy.until_status("http://tls.example/", 308).await;
            let address = proxy.pod.address.into();
            // With the certificate of last resort.
            until_backend(address, "https://tls.example/", "shop").await;
        }
        apply(&cluster, &solver(&installation.class)).await;
        for proxy in &proxies {
            until_backend(proxy.pod.address.into(), CHALLENGE, "solver").await;
            proxy.until_status("http://tls.example/", 308).await;
        }
        issue(&cluster, "first").await;
        for proxy in &proxies {
            until_certificate(proxy, "first").await;
        }
        controller
            .until_metric("vigie_proxies_current", "both", |count| count == 2.0)
            .await;
        let mut before = Vec::new();
        for proxy in &proxies {
            before.push(proxy.metric("vigie_reloads_total").await);
        }
        for subject in ["second", "third"] {
            issue(&cluster, subject).await;
            for proxy in &proxies {
                until_certificate(proxy, subject).await;
            }
        }
        for (proxy, before) in proxies.iter().zip(before) {
            assert_eq!(
                proxy.metric("vigie_reloads_total").await,
                before,
                "{}",
                proxy.kind
            );
        }
        installation.nothing_was_forbidden(&cluster);
    });
}
