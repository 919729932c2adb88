//! Two proxies of one kind, one of which refuses an object that the other takes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use vigie::api::route_health::{ConditionStatus, RouteHealth};

use super::installation::{Installation, until};
use super::told::is;
use super::{HOST, apply, ingress, load, nothing_is_lost, served};
use crate::cluster::{Cluster, test};

/// An nginx whose check refuses what names a host; `words` is a shell expression of `$place`.
fn picky(directory: &Path, words: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    let nginx = cache
        .unwrap_or_else(home)
        .join("vigie/proxies/nginx-1.30/nginx");
    let script = format!(
        "#!/bin/sh\n\
         previous=; prefix=\n\
         for word; do [ \"$previous\" = -p ] && prefix=$word; previous=$word; done\n\
         case \" $* \" in *' -t '*)\n\
         place=$(grep -rn refused.example \"$prefix\" --include='*.conf' | head -n 1 | cut -d: -f1,2)\n\
         if [ -n \"$place\" ]; then echo \"nginx: [emerg] {words}\" >&2; exit 1; fi;;\n\
         esac\n\
         exec {} \"$@\"\n",
        nginx.display()
    );
    let file = directory.join("picky-nginx");
    std::fs::write(&file, script).expect("it can be written");
    let runnable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&file, runnable).expect("it is ours");
    file
}

/// The object is set aside, and everyone else's change goes through on both.
async fn one_refuses(cluster: &Cluster, words: &str) {
    let shop = cluster.backend("shop", &[]).await;
    cluster.service_of("shop", &[&shop]).await;
    let installation = Installation::new(cluster).await;
    let mut controller = installation.controller(cluster, "one", "");
    let easy = installation.proxy(cluster, "nginx", "easy").await;
    let directory = cluster.control_plane().directory().join(&cluster.namespace);
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    let binary = format!("--proxy-binary {}", picky(&directory, words).display());
    let picky = installation
        .proxy_by(cluster, "nginx", "picky", &binary)
        .await;
    apply(cluster, &ingress("shop", &installation.class, HOST, "shop")).await;
    for proxy in [&easy, &picky] {
        proxy.until_backend(HOST, "shop").await;
    }
    let current = "vigie_proxies_current{proxy=\"nginx\"}";
    controller
        .until_metric(current, "2", |count| count == 2.0)
        .await;

    for (name, host) in [
        ("bad", "refused.example"),
        ("good", "good.example"),
        ("best", "best.example"),
    ] {
        apply(cluster, &ingress(name, &installation.class, host, "shop")).await;
    }
    let refused = "vigie_findings{severity=\"error\",code=\"RH302\"}";
    controller
        .until_metric(refused, "1", |count| count == 1.0)
        .await;
    for proxy in [&easy, &picky] {
        proxy.until_backend("good.example", "shop").await;
        proxy.until_backend("best.example", "shop").await;
        proxy.until_backend(HOST, "shop").await;
        proxy.until_status("http://refused.example/", 404).await;
    }
    controller
        .until_metric(current, "2 again", |count| count == 2.0)
        .await;

    // What was good of an object goes on where a later version is refused, also by a controller that
    // has not seen it.
    apply(
        cluster,
        &ingress("best", &installation.class, "refused.example", "shop"),
    )
    .await;
    controller
        .until_metric(refused, "2", |count| count == 2.0)
        .await;
    let memory = format!("{}-memory", installation.name);
    let secrets: Api<Secret> = cluster.api();
    let knows_both = |secret: &Secret| {
        let text = format!("{:?}", secret.data);
        let data = secret.data.as_ref().and_then(|data| data.get("quarantine"));
        let text = data.map_or(text, |bytes| String::from_utf8_lossy(&bytes.0).into_owned());
        text.contains("best.example") && text.contains("refused.example")
    };
    crate::cluster::until(&secrets, &memory, "told of both", knows_both).await;
    controller.process.kill();
    controller.process.ended().await;
    controller.again();
    controller
        .until_metric(refused, "2 after a restart", |count| count == 2.0)
        .await;
    apply(
        cluster,
        &ingress("late", &installation.class, "late.example", "shop"),
    )
    .await;
    for proxy in [&easy, &picky] {
        proxy.until_backend("late.example", "shop").await;
        proxy.until_backend("best.example", "shop").await;
    }
    apply(
        cluster,
        &ingress("best", &installation.class, "best.example", "shop"),
    )
    .await;

    // Mended, it is served.
    apply(
        cluster,
        &ingress("bad", &installation.class, "mended.example", "shop"),
    )
    .await;
    for proxy in [&easy, &picky] {
        proxy.until_backend("mended.example", "shop").await;
    }
    controller
        .until_metric(refused, "0", |count| count == 0.0)
        .await;
    installation.nothing_was_forbidden(cluster);
}

#[test]
fn an_object_that_one_proxy_refuses_is_set_aside_on_both() {
    test(async |cluster| one_refuses(&cluster, "this name is beyond me in $place").await);
}

#[test]
fn an_object_is_found_also_where_the_words_of_the_proxy_lead_nowhere() {
    test(async |cluster| one_refuses(&cluster, "no").await);
}

#[test]
fn a_proxy_that_takes_nothing_holds_nobody_else_back() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let installation = Installation::new(&cluster).await;
        let mut controller = installation.controller(&cluster, "one", "");
        let easy = installation.proxy(&cluster, "nginx", "easy").await;
        let host = "refused.example";
        apply(
            &cluster,
            &ingress("shop", &installation.class, host, "shop"),
        )
        .await;
        apply(
            &cluster,
            &ingress("more", &installation.class, HOST, "shop"),
        )
        .await;
        easy.until_backend(host, "shop").await;
        let directory = cluster.control_plane().directory().join(&cluster.namespace);
        std::fs::create_dir_all(&directory).expect("a directory can be made");
        let binary = format!("--proxy-binary {}", picky(&directory, "no").display());
        let late = installation
            .proxy_by(&cluster, "nginx", "late", &binary)
            .await;
        let refusing = "vigie_proxies_refusing{proxy=\"nginx\"}";
        for _ in 0..2 {
            controller
                .until_metric(refusing, "1", |count| count == 1.0)
                .await;
            apply(
                &cluster,
                &ingress("next", &installation.class, "next.example", "shop"),
            )
            .await;
            easy.until_backend("next.example", "shop").await;
            easy.until_backend(host, "shop").await;
            easy.until_backend(HOST, "shop").await;
            // One that has never seen anything else comes to the same.
            controller.process.kill();
            controller.process.ended().await;
            controller.again();
            controller.until_ready().await;
        }
        until("it refuses still", async || {
            late.metric("vigie_refusing").await == 1.0
        })
        .await;
        easy.until_backend(host, "shop").await;
    });
}

/// Both proxies count no further than 65535, which our own reader of expressions does.
const BEYOND: &str = "/(a)\\1{70000}";

fn expression(name: &str, class: &str, path: &str) -> serde_json::Value {
    let mut manifest = ingress(name, class, &format!("{name}.example"), "shop");
    manifest["metadata"]["annotations"] = serde_json::json!({"vigie.dev/use-regex": "true"});
    let rule = &mut manifest["spec"]["rules"][0]["http"]["paths"][0];
    rule["path"] = path.into();
    rule["pathType"] = "ImplementationSpecific".into();
    manifest
}

#[test]
fn an_object_that_both_real_proxies_refuse_is_told_with_their_words_and_hurts_nobody_else() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (installation, controller, proxies) = served(&cluster, "shop").await;
        let loads = load(&proxies);
        apply(&cluster, &expression("bad", &installation.class, BEYOND)).await;
        apply(&cluster, &expression("good", &installation.class, "/a")).await;
        let refused = "vigie_findings{severity=\"error\",code=\"RH302\"}";
        controller
            .until_metric(refused, "1", |count| count == 1.0)
            .await;
        for proxy in &proxies {
            proxy.until_status("http://good.example/a", 200).await;
            proxy.until_status("http://bad.example/a", 404).await;
        }
        let healths: Api<RouteHealth> = cluster.api();
        let told = |health: &RouteHealth| format!("{:?}", health.status).contains("RH302");
        crate::cluster::until(&healths, "bad.auto", "told of", told).await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;

        apply(&cluster, &expression("bad", &installation.class, "/b")).await;
        for proxy in &proxies {
            proxy.until_status("http://bad.example/b", 200).await;
        }
        controller
            .until_metric(refused, "0", |count| count == 0.0)
            .await;
        let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
        crate::cluster::until(&healths, "bad.auto", "healthy", healthy).await;
        nothing_is_lost(loads).await;
        installation.nothing_was_forbidden(&cluster);
    });
}
