//! What is published belongs to the anchor of the installation, also to one that was made anew.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use super::installation::{Installation, until};
use super::{HOST, apply, ingress};
use crate::cluster::{Cluster, test};

async fn anchor(cluster: &Cluster) -> String {
    let anchor = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "anchor"}});
    apply(cluster, &anchor).await;
    let maps: Api<ConfigMap> = cluster.api();
    let made = maps.get("anchor").await.expect("it is there");
    made.metadata.uid.expect("a UID")
}

/// The UIDs of the owners of all that the controller writes, without what agents report.
async fn owners(cluster: &Cluster) -> Vec<String> {
    let ours = ListParams::default().labels("vigie.dev/instance,vigie.dev/part!=report");
    let maps: Api<ConfigMap> = cluster.api();
    let secrets: Api<Secret> = cluster.api();
    let leases: Api<Lease> = cluster.api();
    let maps = maps.list(&ours).await.expect("a list").items;
    let secrets = secrets.list(&ours).await.expect("a list").items;
    let leases = leases.list(&ours).await.expect("a list").items;
    let all: Vec<ObjectMeta> = maps
        .into_iter()
        .map(|object| object.metadata)
        .chain(secrets.into_iter().map(|object| object.metadata))
        .chain(leases.into_iter().map(|object| object.metadata))
        .collect();
    assert!(!all.is_empty(), "nothing is published");
    let owner = |metadata: ObjectMeta| {
        let owners = metadata.owner_references.unwrap_or_default();
        let uids: Vec<String> = owners.into_iter().map(|owner| owner.uid).collect();
        uids.join(" and ")
    };
    all.into_iter().map(owner).collect()
}

/// What the garbage collector does when an owner has gone.
async fn collect(cluster: &Cluster, uid: &str) {
    let all = ListParams::default().labels("vigie.dev/instance");
    let maps: Api<ConfigMap> = cluster.api();
    let secrets: Api<Secret> = cluster.api();
    let owned = |metadata: &ObjectMeta| {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| owner.uid == uid)
    };
    let how = DeleteParams::default();
    for map in maps.list(&all).await.expect("a list").items {
        if owned(&map.metadata) {
            let _ = maps
                .delete(&map.metadata.name.unwrap_or_default(), &how)
                .await;
        }
    }
    for secret in secrets.list(&all).await.expect("a list").items {
        if owned(&secret.metadata) {
            let name = secret.metadata.name.unwrap_or_default();
            let _ = secrets.delete(&name, &how).await;
        }
    }
}

#[test]
fn all_that_is_published_belongs_to_the_anchor_also_after_it_was_made_anew() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let installation = Installation::new(&cluster).await;
        let first = anchor(&cluster).await;
        let controller = installation.controller(&cluster, "one", "--anchor anchor");
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        let shop = ingress("shop", &installation.class, HOST, "shop");
        apply(&cluster, &shop).await;
        proxy.until_backend(HOST, "shop").await;
        let owned = owners(&cluster).await;
        assert!(owned.iter().all(|uid| *uid == first), "{first}: {owned:?}");

        let maps: Api<ConfigMap> = cluster.api();
        let gone = maps.delete("anchor", &DeleteParams::default()).await;
        drop(gone.expect("it is there"));
        let second = anchor(&cluster).await;
        assert_ne!(first, second);
        until("all belongs to the new one", async || {
            collect(&cluster, &first).await;
            let owned = owners(&cluster).await;
            owned.len() > 3 && owned.iter().all(|uid| *uid == second)
        })
        .await;
        controller
            .until_metric("vigie_proxies_current", "1", |count| count == 1.0)
            .await;
        proxy.until_backend(HOST, "shop").await;
        installation.nothing_was_forbidden(&cluster);
    });
}
