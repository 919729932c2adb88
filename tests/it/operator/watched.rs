//! Watches that are refused, broken off, or that never are begun: what is known stays, and what has
//! changed meanwhile is taken up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::installation::{Installation, Proxy, until};
use super::{apply, ingress, load, nothing_is_lost, served_by, until_both};
use crate::cluster::between::{Act, Between, Heard};
use crate::cluster::{Cluster, ask, test};
use crate::support::client::Response;

/// Watches of a resource.
fn watch(resource: &'static str) -> impl Fn(&Heard) -> bool + Copy + Send + 'static {
    move |heard| heard.verb == "watch" && heard.resource == resource
}

fn list(resource: &'static str) -> impl Fn(&Heard) -> bool + Copy + Send + 'static {
    move |heard| heard.verb == "list" && heard.resource == resource
}

fn listens(heard: &Heard) -> bool {
    ["watch", "list"].contains(&heard.verb)
}

/// Until it is listed anew, the version that a watch was at is said to be forgotten.
fn forgotten(between: &Between, resource: &'static str) {
    let listed = Arc::new(AtomicBool::new(false));
    between.fault(Act::Refuse(410), move |heard| {
        listed.fetch_or(list(resource)(heard), Ordering::Relaxed);
        watch(resource)(heard) && !listed.load(Ordering::Relaxed)
    });
}

/// A host that is served by another Service than all before, whose endpoints are new as well.
async fn change(
    cluster: &Cluster,
    installation: &Installation,
    name: &str,
) -> (String, crate::cluster::Backend) {
    let backend = cluster.backend(name, &[]).await;
    cluster.service_of(name, &[&backend]).await;
    let host = format!("{name}.example");
    apply(cluster, &ingress(name, &installation.class, &host, name)).await;
    (host, backend)
}

#[test]
fn watches_that_end_as_soon_as_they_begin_are_begun_again_at_a_pace() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        installation.agents = between.account(&installation.agents);
        cluster.define().await;
        let (_controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let watches = |heard: &Heard| heard.verb == "watch";
        let begun = Instant::now();
        between.fault(Act::Tear, watches);
        between.cut();
        until("they have ended again and again", async || {
            between.touched(watches) >= 4 * WATCHES
        })
        .await;
        between.heal();
        let torn = between.touched(watches);
        let most = WATCHES * (2 + usize::try_from(begun.elapsed().as_secs()).expect("a few"));
        assert!(torn <= most, "{torn} of at most {most}");
        let (host, _more) = change(&cluster, &installation, "more").await;
        until_both(&proxies, &host, "more").await;
    });
}

#[test]
#[ignore = "a connection is given up after a hundred seconds of silence"]
fn watches_that_fall_silent_are_begun_again() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        installation.agents = between.account(&installation.agents);
        cluster.define().await;
        let (_controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let loads = load(&proxies);
        let watches = |heard: &Heard| heard.verb == "watch";
        between.fault(Act::Hang, watches);
        between.cut();
        until("all are silent", async || {
            between.touched(watches) >= WATCHES
        })
        .await;
        between.heal();
        let begun = Instant::now();
        let (host, _more) = change(&cluster, &installation, "more").await;
        let url = format!("http://{host}/");
        for proxy in &proxies {
            while !ask(proxy.pod.address.into(), &url)
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                let waited = begun.elapsed();
                assert!(
                    waited < Duration::from_secs(150),
                    "{} is never served",
                    proxy.kind
                );
                sleep(Duration::from_millis(200)).await;
            }
        }
        nothing_is_lost(loads).await;
    });
}

/// At each of so many watches: its pause grows with each failure, beginning with half a second.
fn bound(watches: usize, begun: Instant) -> usize {
    watches * (6 + 2 * usize::try_from(begun.elapsed().as_secs()).expect("a few"))
}

/// Those of a controller for two proxies, and of two agents.
const WATCHES: usize = 6 + 4 + 3 + 2;

const REQUIRED: [&str; 5] = [
    "ingresses",
    "ingressclasses",
    "services",
    "endpointslices",
    "secrets",
];

#[test]
fn a_controller_whose_watches_fail_keeps_what_it_knows_and_takes_up_what_has_changed() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        let (controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let loads = load(&proxies);

        // They cannot be taken up again.
        let begun = Instant::now();
        let codes = [429, 409, 500, 422, 403];
        for (resource, code) in REQUIRED.into_iter().zip(codes) {
            between.fault(Act::Refuse(code), watch(resource));
        }
        between.fault(Act::Refuse(503), listens);
        between.cut();
        for resource in REQUIRED.into_iter().chain(["configmaps", "leases", "pods"]) {
            let of_it = watch(resource);
            until(resource, async || between.touched(of_it) >= 2).await;
        }
        for line in [
            "degraded watch Ingress: failing: ",
            "degraded watch IngressClass: failing: ",
            "degraded watch Service: failing: ",
            "degraded watch EndpointSlice: failing: ",
            "degraded watch Secret: forbidden",
            "degraded watch RouteHealth: failing: ",
        ] {
            let told = |answer: &Response| answer.status == 200 && answer.text().contains(line);
            controller.until_page("/readyz", line, told).await;
        }
        let (host, _first) = change(&cluster, &installation, "first").await;
        between.heal();
        until_both(&proxies, &host, "first").await;
        let refused = between.touched(listens);
        let most = bound(14, begun);
        assert!(refused <= most, "{refused} of at most {most}");

        // They end in the middle, or are forgotten, and then lists are refused.
        between.fault_times(2, Act::Break(410), watch("ingresses"));
        between.fault_times(1, Act::Refuse(500), list("ingresses"));
        between.fault_times(1, Act::Tear, watch("services"));
        between.fault_times(1, Act::Break(500), watch("endpointslices"));
        between.fault_times(1, Act::Break(410), watch("secrets"));
        between.fault_times(1, Act::Refuse(429), list("secrets"));
        for resource in ["configmaps", "leases", "pods"] {
            forgotten(&between, resource);
        }
        let before = between.touched(listens);
        between.cut();
        until("all that was to fail has failed", async || {
            between.touched(listens) >= before + 7 + 3
        })
        .await;
        let (host, _second) = change(&cluster, &installation, "second").await;
        until_both(&proxies, &host, "second").await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        nothing_is_lost(loads).await;
    });
}

#[test]
fn a_watch_whose_version_is_refused_as_forgotten_begins_again_with_a_list() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        installation.agents = between.account(&installation.agents);
        let (_controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let begun = Instant::now();
        for resource in REQUIRED.into_iter().chain(["configmaps", "leases", "pods"]) {
            forgotten(&between, resource);
        }
        between.cut();
        let (host, _more) = change(&cluster, &installation, "more").await;
        until_both(&proxies, &host, "more").await;
        let refused = between.touched(listens);
        let most = bound(16, begun);
        assert!(refused <= most, "{refused} of at most {most}");
    });
}

#[test]
fn an_agent_whose_watch_fails_serves_on_and_takes_up_what_has_changed() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.agents = between.account(&installation.agents);
        let (_controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let loads = load(&proxies);
        let begun = Instant::now();
        let watches = watch("configmaps");
        between.fault(Act::Refuse(503), watches);
        between.cut();
        let (host, _first) = change(&cluster, &installation, "first").await;
        tells_it(&proxies).await;
        between.heal();
        until_both(&proxies, &host, "first").await;

        // One after the other, whichever of both agents asks.
        for act in [
            Act::Refuse(403),
            Act::Refuse(429),
            Act::Refuse(500),
            Act::Break(500),
            Act::Break(410),
        ] {
            between.fault_times(1, act, watches);
        }
        between.fault_times(2, Act::Refuse(500), list("configmaps"));
        let before = between.touched(listens);
        between.cut();
        let (host, _second) = change(&cluster, &installation, "second").await;
        until("all that was to fail has failed", async || {
            between.touched(listens) == before + 7
        })
        .await;
        until_both(&proxies, &host, "second").await;
        let refused = between.touched(listens);
        let most = bound(2, begun);
        assert!(refused <= most, "{refused} of at most {most}");
        nothing_is_lost(loads).await;
    });
}

async fn tells_it(proxies: &[Proxy]) {
    let told =
        |answer: &Response| answer.status == 200 && answer.text().contains("degraded follow");
    for proxy in proxies {
        proxy.until_page("/readyz", "told", told).await;
    }
}
