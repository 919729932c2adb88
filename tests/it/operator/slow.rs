//! An API server that takes its time, and answers that never come.

use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use vigie::api::route_health::{ConditionStatus, RouteHealth};

use super::installation::{Installation, until};
use super::told::is;
use super::{HOST, apply, ingress, load, nothing_is_lost, served_by, until_both};
use crate::cluster::between::{Act, Between, Heard};
use crate::cluster::test;

/// Of every answer. The one who leads asks once for each renewal, and must know within four seconds.
const DELAY: Duration = Duration::from_millis(1500);

fn renews(heard: &Heard) -> bool {
    heard.verb == "update" && heard.resource == "leases"
}

fn lives(heard: &Heard) -> bool {
    heard.verb == "patch" && heard.resource == "leases"
}

#[test]
fn with_an_api_server_that_takes_its_time_all_comes_up_and_the_leader_stays() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        let more = cluster.backend("more", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        cluster.service_of("more", &[&more]).await;
        let between = Between::start(&cluster).await;
        between.fault(Act::Late(DELAY), |_| true);
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        installation.agents = between.account(&installation.agents);
        let (controller, proxies) = served_by(&cluster, &installation, "shop").await;

        // Both Services are in use all the time: one that a proxy meets for the first time may fail for a
        // moment.
        for service in ["shop", "more"] {
            let host = format!("{service}-too.example");
            let other = ingress(
                &format!("{service}-too"),
                &installation.class,
                &host,
                service,
            );
            apply(&cluster, &other).await;
            until_both(&proxies, &host, service).await;
        }
        let loads = load(&proxies);
        for service in ["more", "shop"] {
            let changed = ingress("shop", &installation.class, HOST, service);
            apply(&cluster, &changed).await;
            until_both(&proxies, HOST, service).await;
        }
        let healths: Api<RouteHealth> = cluster.api();
        let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
        crate::cluster::until(&healths, "shop.auto", "healthy", healthy).await;
        until("all have renewed what they hold", async || {
            between.touched(renews) >= 5 && between.touched(lives) >= 4
        })
        .await;
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        nothing_is_lost(loads).await;
        assert_eq!(turns(&controller.process.said()), ["leads=true"]);
        installation.nothing_was_forbidden(&cluster);
    });
}

/// How leadership has turned.
pub(super) fn turns(said: &[String]) -> Vec<&str> {
    let turns = said.iter().filter(|line| line.contains("leadership"));
    turns
        .filter_map(|line| line.split(' ').next_back())
        .collect()
}

#[test]
fn writes_of_status_that_are_never_answered_are_given_up_and_made_again() {
    test(async |cluster| {
        cluster.define().await;
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let between = Between::start(&cluster).await;
        let mut installation = Installation::new(&cluster).await;
        installation.account = between.account(&installation.account);
        let flags = "--publish-address 192.0.2.9";
        let controller = installation.controller(&cluster, "one", flags);
        let _proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        // As many as are made at the same time, so that none goes past them.
        let of_health = |heard: &Heard| heard.resource == "routehealths/status";
        let of_address = |heard: &Heard| heard.resource == "ingresses/status";
        between.fault_times(8, Act::Hang, of_health);
        between.fault_times(4, Act::Hang, of_address);
        let names: Vec<String> = (0..10).map(|number| format!("n-{number}")).collect();
        for name in &names {
            let host = format!("{name}.example");
            apply(&cluster, &ingress(name, &installation.class, &host, "shop")).await;
        }
        until("as many hang", async || {
            between.touched(of_health) == 8 && between.touched(of_address) == 4
        })
        .await;
        let (healths, ingresses): (Api<RouteHealth>, Api<Ingress>) = (cluster.api(), cluster.api());
        for name in &names {
            let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
            crate::cluster::until(&healths, &format!("{name}.auto"), "healthy", healthy).await;
            let shown = |ingress: &Ingress| format!("{:?}", ingress.status).contains("192.0.2.9");
            crate::cluster::until(&ingresses, name, "shown", shown).await;
        }
        let failed = "vigie_status_writes_total{what=\"status\",outcome=\"failed\"}";
        controller
            .until_metric(failed, "8", |count| count == 8.0)
            .await;
    });
}
