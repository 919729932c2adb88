//! What users are told: by `vigie wait`, `vigie status` and `vigie explain`, by the addresses of Ingresses,
//! and by settings that can change.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use vigie::api::route_health::{ConditionStatus, RouteHealth};

use super::installation::Installation;
use super::{HOST, apply, ingress, served, until_both};
use crate::cluster::{Cluster, Process, test, until, vigie};

/// Runs one of our tools against the cluster, as somebody who may see everything.
async fn tool(cluster: &Cluster, arguments: &str) -> (Option<i32>, String) {
    let kubeconfig = cluster.control_plane().kubeconfig();
    let arguments = format!("{arguments} --kubeconfig {}", kubeconfig.display());
    let mut process = Process::start(vigie(&arguments));
    let (status, lines) = process.output().await;
    (status.code(), lines.join("\n"))
}

#[test]
fn an_ingress_is_waited_for_and_what_is_wrong_is_told_with_its_reason() {
    test(async |cluster| {
        cluster.define().await;
        let backend = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&backend]).await;
        let (installation, _controller, _proxies) = served(&cluster, "shop").await;
        let namespace = &cluster.namespace;

        let (code, said) = tool(&cluster, &format!("wait ingress/shop -n {namespace}")).await;
        assert_eq!(code, Some(0), "{said}");

        let broken = ingress("broken", &installation.class, "broken.example", "none");
        apply(&cluster, &broken).await;
        let healths: Api<RouteHealth> = cluster.api();
        let is_told = |health: &RouteHealth| is(health, ConditionStatus::False);
        until(&healths, "broken.auto", "told of", is_told).await;
        let wait = format!("wait ingress/broken -n {namespace} --timeout 1");
        let (code, said) = tool(&cluster, &wait).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ServiceNotFound"), "{said}");

        let (code, said) = tool(&cluster, &format!("wait ingress/nobody -n {namespace}")).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("there is no ingress/nobody"), "{said}");

        let (code, said) = tool(&cluster, &format!("status -n {namespace}")).await;
        assert_eq!(code, Some(1), "{said}");
        for part in [
            "leader: one",
            "vigie-nginx",
            "current",
            "broken.auto",
            "ServiceNotFound",
        ] {
            assert!(said.contains(part), "{part} is missing:\n{said}");
        }

        let class = &installation.class;
        let explain = format!("explain http://{HOST}/ --class {class}");
        let (code, said) = tool(&cluster, &explain).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(&format!("Ingress {namespace}/shop")),
            "{said}"
        );
        installation.nothing_was_forbidden(&cluster);
    });
}

#[test]
fn ingresses_show_the_addresses_that_clients_reach_us_by() {
    test(async |cluster| {
        cluster.define().await;
        let installation = Installation::new(&cluster).await;
        let flags = "--publish-address 192.0.2.9,proxy.example";
        let _controller = installation.controller(&cluster, "one", flags);
        apply(
            &cluster,
            &ingress("shop", &installation.class, HOST, "shop"),
        )
        .await;
        let shows_both = |ingress: &Ingress| {
            let status = ingress.status.as_ref();
            let balancer = status.and_then(|status| status.load_balancer.as_ref());
            let shown = balancer.and_then(|balancer| balancer.ingress.as_ref());
            let shown = shown.into_iter().flatten();
            let texts: Vec<&String> = shown
                .filter_map(|one| one.ip.as_ref().or(one.hostname.as_ref()))
                .collect();
            texts == ["192.0.2.9", "proxy.example"]
        };
        until(&cluster.api(), "shop", "shown with both", shows_both).await;
    });
}

#[test]
fn an_ingress_is_waited_for_with_the_annotations_that_it_has_now() {
    test(async |cluster| {
        cluster.define().await;
        let backend = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&backend]).await;
        let (installation, mut controller, _proxies) = served(&cluster, "shop").await;
        let wait = |seconds: u8| {
            let namespace = &cluster.namespace;
            format!("wait ingress/shop -n {namespace} --timeout {seconds}")
        };
        let (code, said) = tool(&cluster, &wait(60)).await;
        assert_eq!(code, Some(0), "{said}");

        // While nobody can have looked at them, new annotations are not told to be served.
        controller.process.kill();
        controller.process.ended().await;
        let mut changed = ingress("shop", &installation.class, HOST, "shop");
        changed["metadata"]["annotations"] = json!({
            "nginx.ingress.kubernetes.io/proxy-read-timeout": "77",
        });
        apply(&cluster, &changed).await;
        let (code, said) = tool(&cluster, &wait(1)).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("as it is now"), "{said}");
        controller.again();
        let (code, said) = tool(&cluster, &wait(60)).await;
        assert_eq!(code, Some(0), "{said}");

        // Those that mean nothing to us are not waited for.
        controller.process.kill();
        controller.process.ended().await;
        changed["metadata"]["annotations"]["example.com/note"] = json!("seen");
        apply(&cluster, &changed).await;
        let (code, said) = tool(&cluster, &wait(1)).await;
        assert_eq!(code, Some(0), "{said}");
    });
}

#[test]
fn settings_of_a_config_map_go_before_flags_and_a_wrong_one_is_named() {
    test(async |cluster| {
        let backend = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&backend]).await;
        let installation = Installation::new(&cluster).await;
        let namespace = &cluster.namespace;
        let flags = format!("--config-map {namespace}/settings");
        let controller = installation.controller(&cluster, "one", &flags);
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        let stranger = "http://stranger.example/";
        proxy.until_status(stranger, 404).await;

        let settings = |key: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                "data": {key: format!("{namespace}/shop:80")},
            })
        };
        apply(&cluster, &settings("default-backend")).await;
        proxy.until_backend("stranger.example", "shop").await;

        apply(&cluster, &settings("default-backendd")).await;
        proxy.until_status(stranger, 404).await;
        let named = "did you mean default-backend?";
        controller
            .until_page("/readyz", named, |answer| answer.text().contains(named))
            .await;
        controller
            .until_metric("vigie_setting_problems", "1", |count| count == 1.0)
            .await;
        installation.nothing_was_forbidden(&cluster);
    });
}

#[test]
fn only_ingresses_of_selected_namespaces_are_served() {
    test(async |cluster| {
        let backend = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&backend]).await;
        let installation = Installation::new(&cluster).await;
        let label = format!("selected-{}", cluster.namespace);
        let flags = format!("--namespace-selector {label}=yes");
        let controller = installation.controller(&cluster, "one", &flags);
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        apply(
            &cluster,
            &ingress("shop", &installation.class, HOST, "shop"),
        )
        .await;
        controller.until_ready().await;
        let url = format!("http://{HOST}/");
        proxy.until_status(&url, 404).await;

        let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
        let set = async |value: &str| {
            let patch = json!({"metadata": {"labels": {&label: value}}});
            let (by, patch) = (PatchParams::default(), Patch::Merge(patch));
            let patched = namespaces.patch(&cluster.namespace, &by, &patch).await;
            drop(patched.expect("a namespace"));
        };
        set("yes").await;
        proxy.until_backend(HOST, "shop").await;
        set("no").await;
        proxy.until_status(&url, 404).await;
        installation.nothing_was_forbidden(&cluster);
    });
}

/// Whether it tells that of the health of its routes.
pub(super) fn is(health: &RouteHealth, verdict: ConditionStatus) -> bool {
    let status = health.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|c| c.type_ == "Healthy" && c.status == verdict)
}

/// What is told of the objects of a kind that change, from now on until a moment.
async fn changes<K>(cluster: &Cluster, until: Instant) -> Vec<String>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(cluster.api::<K>(), watcher::Config::default()));
    let (mut listed, mut seen) = (false, Vec::new());
    while let Ok(Some(event)) = timeout_at(until, events.next()).await {
        match event.expect("the API server answers") {
            watcher::Event::InitDone => listed = true,
            watcher::Event::Apply(object) if listed => {
                seen.push(format!("{} {} is written", K::kind(&()), object.name_any()));
            }
            watcher::Event::Delete(object) if listed => {
                seen.push(format!("{} {} is deleted", K::kind(&()), object.name_any()));
            }
            _ => {}
        }
    }
    assert!(listed, "no list came");
    seen
}

/// `QUIET=300` looks for five minutes.
#[test]
fn a_steady_installation_writes_nothing_but_leases() {
    test(async |cluster| {
        cluster.define().await;
        let backend = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&backend]).await;
        let (_installation, _controller, proxies) = served(&cluster, "shop").await;
        until_both(&proxies, HOST, "shop").await;
        let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
        let healths: Api<RouteHealth> = cluster.api();
        until(&healths, "shop.auto", "healthy", healthy).await;
        // Old shards go, and then nothing is left to do.
        let quiet = std::env::var("QUIET")
            .ok()
            .and_then(|text| text.parse().ok());
        let quiet = Duration::from_secs(quiet.unwrap_or(12));
        let settled = stream::iter(0..10).then(async |_| {
            let end = Instant::now() + Duration::from_secs(4);
            all_changes(&cluster, end).await.is_empty()
        });
        let settled = std::pin::pin!(settled.filter(|calm| std::future::ready(*calm)));
        assert!(settled.into_future().await.0.is_some(), "it never is quiet");
        let seen = all_changes(&cluster, Instant::now() + quiet).await;
        assert!(seen.is_empty(), "{seen:#?}");
    });
}

async fn all_changes(cluster: &Cluster, end: Instant) -> Vec<String> {
    let (maps, secrets, ingresses, healths, events) = tokio::join!(
        changes::<ConfigMap>(cluster, end),
        changes::<Secret>(cluster, end),
        changes::<Ingress>(cluster, end),
        changes::<RouteHealth>(cluster, end),
        changes::<Event>(cluster, end),
    );
    [maps, secrets, ingresses, healths, events].concat()
}

/// What a user has of an installation in the namespace.
async fn left(cluster: &Cluster, installation: &Installation) -> (Vec<String>, bool) {
    let healths: Api<RouteHealth> = cluster.api();
    let healths = healths.list(&ListParams::default()).await.expect("a list");
    let names = healths.items.iter().map(ResourceExt::name_any).collect();
    let ingresses: Api<Ingress> = cluster.api();
    let shop = ingresses.get("shop").await.expect("it is there");
    let shown = shop.status.and_then(|status| status.load_balancer);
    let leases: Api<Lease> = cluster.api();
    let lease = leases
        .get_opt(&format!("{}-controller", installation.name))
        .await;
    assert!(lease.expect("an answer").is_none(), "its Lease is left");
    (names, shown.is_some_and(|shown| shown.ingress.is_some()))
}

#[test]
fn an_installation_that_is_gone_leaves_nothing_but_what_users_wrote() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let installation = Installation::new(&cluster).await;
        let further = "--publish-address 192.0.2.7";
        let mut controller = installation.controller(&cluster, "one", further);
        apply(
            &cluster,
            &ingress("shop", &installation.class, HOST, "shop"),
        )
        .await;
        let own = json!({
            "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth", "metadata": {"name": "ours"},
            "spec": {"targetRef": {"kind": "Ingress", "name": "nobody"}},
        });
        apply(&cluster, &own).await;
        let ingresses: Api<Ingress> = cluster.api();
        let healths: Api<RouteHealth> = cluster.api();
        super::installation::until("it is told", async || {
            let shop = ingresses.get("shop").await.expect("it is there");
            let shown = shop.status.and_then(|status| status.load_balancer);
            shown.is_some_and(|shown| shown.ingress.is_some())
                && healths
                    .get_opt("shop.auto")
                    .await
                    .expect("an answer")
                    .is_some()
        })
        .await;
        controller.process.kill();
        controller.process.ended().await;
        let cleanup = format!(
            "cleanup --installation {} --namespace {}",
            installation.name, cluster.namespace
        );
        let (code, said) = tool(&cluster, &cleanup).await;
        assert_eq!(code, Some(0), "{said}");
        let expected = (vec!["ours".to_owned()], false);
        assert_eq!(left(&cluster, &installation).await, expected);
    });
}
