//! RouteHealths that cannot be read, as another version of the definition may have let them in.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use vigie::api::route_health::{ConditionStatus, RouteHealth, crd_yaml};

use super::installation::{Controller, until};
use super::told::is;
use super::{HOST, apply, ingress, load, nothing_is_lost, served, until_both};
use crate::cluster::{Cluster, own};
use crate::support::client::Response;

/// The definition that ships, but for what it says of objects.
fn loose() -> Value {
    let crd = crd_yaml().expect("it prints");
    let mut crd: Value = serde_saphyr::from_str(&crd).expect("it is read");
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    for version in crd["spec"]["versions"].as_array_mut().expect("versions") {
        let version = version.as_object_mut().expect("a version");
        version.remove("selectableFields");
        version.remove("additionalPrinterColumns");
        let properties = &mut version["schema"]["openAPIV3Schema"]["properties"];
        properties["spec"] = anything.clone();
        properties["status"] = anything.clone();
    }
    crd
}

fn untyped(cluster: &Cluster) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<RouteHealth>(&());
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
}

async fn set_status(cluster: &Cluster, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    let by = PatchParams::default();
    until("the API server takes such a status", async || {
        let patched = untyped(cluster).patch_status(name, &by, &patch).await;
        patched.is_ok()
    })
    .await;
}

async fn until_named(controller: &Controller, name: &str) {
    let named = |answer: &Response| {
        let text = answer.text();
        let mut lines = text.lines();
        let of_watch = lines.find(|line| line.starts_with("degraded watch RouteHealth: "));
        answer.status == 200 && of_watch.is_some_and(|line| line.contains(name))
    };
    controller.until_page("/readyz", name, named).await;
}

async fn until_healthy(cluster: &Cluster, name: &str) {
    let healths: Api<RouteHealth> = cluster.api();
    let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
    crate::cluster::until(&healths, name, "healthy", healthy).await;
}

#[test]
fn a_route_health_that_cannot_be_read_is_named_and_all_others_are_told_of() {
    own(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        until_healthy(&cluster, "shop.auto").await;
        let loads = load(&proxies);
        apply(&cluster, &loose()).await;

        let namespace = &cluster.namespace;
        let bad = json!({
            "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
            "metadata": {"name": "bad"}, "spec": {"targetRef": ["no", "reference"]},
        });
        let bad: DynamicObject = serde_json::from_value(bad).expect("an object");
        until("the API server takes it", async || {
            let made = untyped(&cluster).create(&PostParams::default(), &bad).await;
            made.is_ok()
        })
        .await;
        until_named(&controller, &format!("{namespace}/bad cannot be read: ")).await;
        // One that is ours already, and whose status is not.
        set_status(&cluster, "shop.auto", json!({"conditions": "none"})).await;
        until_named(
            &controller,
            &format!("{namespace}/shop.auto cannot be read: "),
        )
        .await;
        let unreadable = "vigie_unreadable_objects{watch=\"RouteHealth\"}";
        controller
            .until_metric(unreadable, "2", |count| count == 2.0)
            .await;

        let more = ingress("more", &installation.class, "more.example", "shop");
        apply(&cluster, &more).await;
        until_both(&proxies, "more.example", "shop").await;
        until_healthy(&cluster, "more.auto").await;

        set_status(&cluster, "shop.auto", Value::Null).await;
        until_healthy(&cluster, "shop.auto").await;
        let how = DeleteParams::default();
        drop(
            untyped(&cluster)
                .delete("bad", &how)
                .await
                .expect("it is there"),
        );
        controller
            .until_metric(unreadable, "0", |count| count == 0.0)
            .await;
        let done = |answer: &Response| answer.text().contains("done watch RouteHealth");
        controller.until_page("/readyz", "done", done).await;
        nothing_is_lost(loads).await;
        until_both(&proxies, HOST, "shop").await;
        installation.nothing_was_forbidden(&cluster);
    });
}
