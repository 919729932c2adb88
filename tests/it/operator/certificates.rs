//! Which certificates are served when something is wrong with them, or they grow old.

use jiff::civil::Date;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use vigie::api::route_health::{ConditionStatus, RouteHealth};
use vigie::self_signed::self_signed;

use super::acme::until_certificate;
use super::installation::{Installation, shipped};
use super::scope::{namespace, within};
use super::{apply, ingress, served, until_both};
use crate::change::manifests::secret;
use crate::cluster::{Cluster, test, until, until_backend};

const TLS: &str = "tls.example";

fn with_tls(class: &str) -> Value {
    let mut wanted = ingress("tls", class, TLS, "shop");
    wanted["spec"]["tls"] = json!([{"hosts": [TLS], "secretName": "tls"}]);
    wanted
}

#[test]
fn a_certificate_whose_secret_was_broken_while_no_controller_ran_is_served_and_told_of() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, mut controller, proxies) = served(&cluster, "shop").await;
        cluster.apply(&secret("tls", TLS, "first")).await;
        apply(&cluster, &with_tls(&installation.class)).await;
        for proxy in &proxies {
            until_certificate(proxy, "first").await;
        }
        controller.process.kill();
        controller.process.ended().await;
        let secrets: Api<Secret> = cluster.api();
        let broken = json!({"stringData": {"tls.crt": "nothing", "tls.key": "nothing"}});
        let by = PatchParams::default();
        let patched = secrets.patch("tls", &by, &Patch::Merge(broken)).await;
        drop(patched.expect("it is there"));
        controller.again();
        let healths: Api<RouteHealth> = cluster.api();
        let told = |health: &RouteHealth| {
            let status = health.status.as_ref();
            let conditions = status.map(|status| status.conditions.as_slice());
            let mut conditions = conditions.unwrap_or_default().iter();
            conditions.any(|condition| {
                condition.type_ == "Healthy"
                    && condition.status == ConditionStatus::False
                    && condition.reason == "TLSSecretInvalid"
                    && condition.message.contains("last good certificate")
            })
        };
        until(&healths, "tls.auto", "told of", told).await;

        // What is built by this controller reaches the proxies, with the old certificate in it.
        let later = ingress("later", &installation.class, "later.example", "shop");
        apply(&cluster, &later).await;
        until_both(&proxies, "later.example", "shop").await;
        for proxy in &proxies {
            until_certificate(proxy, "first").await;
        }
        cluster.apply(&secret("tls", TLS, "second")).await;
        for proxy in &proxies {
            until_certificate(proxy, "second").await;
        }
        installation.nothing_was_forbidden(&cluster);
    });
}

/// A default certificate as it was made on some day.
fn of_day(cluster: &Cluster, name: &str, instance: &str, day: Date) -> Value {
    let made = self_signed(day).expect("a certificate");
    let text = made.pem.reveal();
    let key = text.find("-----BEGIN PRIVATE KEY-----").expect("a key");
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": name, "namespace": cluster.namespace,
            "labels": {"vigie.dev/instance": instance},
        },
        "stringData": {"tls.crt": text[..key], "tls.key": text[key..]},
    })
}

#[test]
fn the_default_certificate_is_made_anew_when_it_is_old_or_gone() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let installation = Installation::new(&cluster).await;
        let name = format!("{}-default-certificate", installation.name);
        let old = of_day(
            &cluster,
            &name,
            &installation.name,
            Date::constant(2020, 1, 1),
        );
        apply(&cluster, &old).await;
        let secrets: Api<Secret> = cluster.api();
        let chain = |secret: &Secret| {
            let data = secret.data.as_ref();
            data.and_then(|data| data.get("tls.crt"))
                .map(|bytes| bytes.0.clone())
        };
        let first = chain(&secrets.get(&name).await.expect("it is there"));
        let _controller = installation.controller(&cluster, "one", "");
        let another = |before: &Option<Vec<u8>>| {
            let before = before.clone();
            move |secret: &Secret| chain(secret).is_some() && chain(secret) != before
        };
        let second = until(&secrets, &name, "made anew", another(&first)).await;
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        apply(&cluster, &with_tls(&installation.class)).await;
        until_backend(proxy.pod.address.into(), "https://tls.example/", "shop").await;

        // Also while it runs.
        apply(&cluster, &old).await;
        let third = until(&secrets, &name, "made anew again", |secret: &Secret| {
            chain(secret) != first && chain(secret) != chain(&second)
        });
        let third = chain(&third.await);
        let der = |chain: &Option<Vec<u8>>| {
            let text = chain.as_deref().expect("a chain");
            pem::parse(text).expect("PEM").into_contents()
        };
        let is_served = async |wanted: Vec<u8>| {
            let shown = |answer: &crate::support::client::Response| {
                let first = answer.tls.as_ref().and_then(|tls| tls.chain.first());
                first.is_some_and(|der| der.as_ref() == wanted)
            };
            let address = proxy.pod.address.into();
            let url = "https://tls.example/";
            crate::cluster::until_answer(address, url, "the new certificate", shown).await;
        };
        is_served(der(&third)).await;
        let gone = secrets.delete(&name, &DeleteParams::default()).await;
        drop(gone.expect("it is there"));
        let fourth = until(&secrets, &name, "there again", another(&third)).await;
        is_served(der(&chain(&fourth))).await;
        installation.nothing_was_forbidden(&cluster);
    });
}

#[test]
fn the_default_certificate_may_lie_in_a_namespace_that_is_not_served() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let watched = namespace(&cluster, "watched", &shop).await;
        let edge = namespace(&cluster, "edge", &shop).await;
        let tls = secret("tls", TLS, "of the edge");
        let tls: Value = serde_saphyr::from_str(tls.trim_start_matches("---\n")).expect("a Secret");
        apply(&cluster, &within(&edge, tls)).await;
        let roles = shipped("controller-roles-namespaced.yaml");
        let [served, own, certificate] = roles.split("---\n").collect::<Vec<_>>()[..] else {
            panic!("three roles");
        };
        let inside = |role: &str, name: &str, namespace: &str| {
            let named = format!("{{name: {name}, namespace: {namespace}}}");
            role.replace(&format!("{{name: {name}}}"), &named)
        };
        let account = cluster.account("controller", own).await;
        let roles = [
            inside(served, "vigie-served", &watched),
            inside(certificate, "vigie-default-certificate", &edge),
        ];
        for role in roles {
            cluster.grant(&account, &role).await;
        }
        let installation = Installation::with_account(&cluster, "vigie", account).await;
        let further = format!("--namespaces {watched} --default-certificate {edge}/tls");
        let controller = installation.controller(&cluster, "one", &further);
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        let mut wanted = ingress("tls", &installation.class, TLS, "shop");
        wanted["spec"]["tls"] = json!([{"hosts": [TLS]}]);
        apply(&cluster, &within(&watched, wanted)).await;
        until_certificate(&proxy, "of the edge").await;
        controller
            .until_page("/readyz", "the watch", |answer| {
                answer
                    .text()
                    .contains(&format!("done watch Secret tls in {edge}"))
            })
            .await;
        let anew = secret("tls", TLS, "renewed");
        let anew: Value =
            serde_saphyr::from_str(anew.trim_start_matches("---\n")).expect("a Secret");
        apply(&cluster, &within(&edge, anew)).await;
        until_certificate(&proxy, "renewed").await;
    });
}
