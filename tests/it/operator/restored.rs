//! What somebody deletes, replaces or edits of a publication is put back, and no request notices.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::installation::{Installation, until};
use super::{HOST, load, nothing_is_lost, served, until_both};
use crate::cluster::{Cluster, test};

async fn until_restored(
    cluster: &Cluster,
    installation: &Installation,
    wanted: &[(String, vigie::render::wire::Plain)],
) {
    until("all stands as before", async || {
        installation.standing(cluster).await == wanted
    })
    .await;
}

async fn names<K>(api: &Api<K>, part: &str) -> Vec<String>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let of_part = ListParams::default().labels(&format!("vigie.dev/part={part},vigie.dev/proxy"));
    let listed = api.list(&of_part).await.expect("a list").items.into_iter();
    listed
        .filter_map(|object| object.meta().name.clone())
        .collect()
}

async fn delete_all<K>(api: &Api<K>, part: &str)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let names = names(api, part).await;
    assert!(!names.is_empty(), "{part}");
    for name in names {
        api.delete(&name, &DeleteParams::default())
            .await
            .expect("it is there");
    }
}

#[test]
fn what_is_deleted_replaced_or_edited_is_put_back_and_no_request_is_lost() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, controller, mut proxies) = served(&cluster, "shop").await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        let maps: Api<ConfigMap> = cluster.api();
        let secrets: Api<Secret> = cluster.api();
        // Old shards are gone: what stands does not change by itself any more.
        let mut wanted = Vec::new();
        until("it is calm", async || {
            let before = std::mem::replace(&mut wanted, installation.standing(&cluster).await);
            before == wanted && !wanted.is_empty()
        })
        .await;
        let loads = load(&proxies);

        delete_all(&maps, "index").await;
        until_restored(&cluster, &installation, &wanted).await;
        delete_all(&maps, "shard").await;
        delete_all(&secrets, "shard").await;
        until_restored(&cluster, &installation, &wanted).await;
        delete_all(&maps, "endpoints").await;
        until_restored(&cluster, &installation, &wanted).await;

        // A shard cannot be edited, but another one can take its place.
        for name in names(&maps, "shard").await {
            let mut other = maps.get(&name).await.expect("it is there");
            maps.delete(&name, &DeleteParams::default())
                .await
                .expect("it is there");
            other.metadata.resource_version = None;
            other.data = Some([("files".to_owned(), "{}".to_owned())].into());
            // Who comes second finds that it is back already.
            let _ = maps.create(&PostParams::default(), &other).await;
        }
        until_restored(&cluster, &installation, &wanted).await;
        let edit =
            json!({"data": {"endpoints": "vigie 10.77.0.9:1\n", "revision": "0", "more": "x"}});
        for part in ["endpoints", "index"] {
            for name in names(&maps, part).await {
                let by = PatchParams::default();
                maps.patch(&name, &by, &Patch::Merge(&edit))
                    .await
                    .expect("it is there");
            }
            until_restored(&cluster, &installation, &wanted).await;
        }

        // A report, without which a proxy does not count.
        delete_all(&maps, "report").await;
        controller
            .until_metric("vigie_proxies_current", "2 again", |count| count == 2.0)
            .await;
        nothing_is_lost(loads).await;

        // Whoever comes anew finds a whole publication.
        for proxy in &mut proxies {
            proxy.pod.end_all();
            std::fs::remove_dir_all(proxy.pod.directory()).expect("it is ours");
            std::fs::create_dir_all(proxy.pod.directory()).expect("it is ours");
            proxy.again();
        }
        until_both(&proxies, HOST, "shop").await;
        installation.nothing_was_forbidden(&cluster);
    });
}
