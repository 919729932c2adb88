//! Writes that the API server refuses, each with each of its usual answers: what can go on goes on, it
//! is told, tries are paced, and when it takes them again all comes right without a restart.

use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use tokio::time::Instant;
use vigie::api::route_health::{ConditionStatus, RouteHealth};

use super::installation::{Controller, Installation, Proxy, until};
use super::slow::turns;
use super::told::is;
use super::{HOST, apply, ingress, load, nothing_is_lost, served_by, until_both};
use crate::cluster::between::{Act, Between, Heard};
use crate::cluster::{Cluster, test};
use crate::support::client::Response;

/// With what becomes of a status that is refused so.
const CODES: [(u16, &str); 5] = [
    (403, "forbidden"),
    (409, "conflict"),
    (422, "invalid"),
    (429, "throttled"),
    (500, "unavailable"),
];

/// How often something is tried by whoever pauses so long at first, and longer each time.
fn tries(first: Duration, within: Duration) -> usize {
    let mut pauses = std::iter::successors(Some(first), |pause| Some(2 * *pause));
    let mut passed = Duration::ZERO;
    let more = pauses.position(|pause| {
        passed += pause;
        passed > within
    });
    2 + more.unwrap_or_default()
}

async fn backends(cluster: &Cluster) -> crate::cluster::Backend {
    cluster.define().await;
    let shop = cluster.backend("shop", &[]).await;
    cluster.service_of("shop", &[&shop]).await;
    shop
}

/// An installation whose controller comes by where something can stand in its way.
async fn controlled(cluster: &Cluster) -> (Between, Installation) {
    let between = Between::start(cluster).await;
    let mut installation = Installation::new(cluster).await;
    installation.account = between.account(&installation.account);
    (between, installation)
}

fn publishes(heard: &Heard) -> bool {
    let is_write = ["create", "patch", "delete"].contains(&heard.verb);
    is_write && ["configmaps", "secrets"].contains(&&*heard.resource)
}

#[test]
fn a_publication_that_is_refused_is_told_and_made_when_it_is_taken() {
    test(async |cluster| {
        let _shop = backends(&cluster).await;
        let (between, installation) = controlled(&cluster).await;
        let (controller, proxies) = served_by(&cluster, &installation, "shop").await;
        let loads = load(&proxies);
        for (code, _) in CODES {
            let begun = Instant::now();
            let before = between.touched(publishes);
            between.fault(Act::Refuse(code), publishes);
            let (name, host) = (format!("n-{code}"), format!("n-{code}.example"));
            apply(
                &cluster,
                &ingress(&name, &installation.class, &host, "shop"),
            )
            .await;
            for proxy in ["nginx", "haproxy"] {
                let told = move |answer: &Response| {
                    let line = format!("degraded publish for {proxy}");
                    let text = answer.text();
                    let mut lines = text.lines().filter(|shown| shown.starts_with(&line));
                    lines.any(|line| line.contains(&format!("the test answers {code}")))
                };
                controller.until_page("/readyz", "told", told).await;
            }
            until("it is tried again", async || {
                between.touched(publishes) >= before + 12
            })
            .await;
            between.heal();
            let refused = between.touched(publishes) - before;
            // A try of one of two proxies is of its few new shards at most.
            let most = 2 * 4 * tries(Duration::from_millis(50), begun.elapsed());
            assert!(refused <= most, "{code}: {refused} of at most {most}");
            until_both(&proxies, &host, "shop").await;
        }
        controller
            .until_metric("vigie_proxies_current", "2", |count| count == 2.0)
            .await;
        nothing_is_lost(loads).await;
    });
}

fn writes(resource: &'static str, name: String) -> impl Fn(&Heard) -> bool + Copy + Send + 'static {
    // A test ends soon.
    let name: &'static str = name.leak();
    move |heard| {
        let is_write = ["create", "patch"].contains(&heard.verb);
        is_write && heard.resource == resource && heard.name.starts_with(name)
    }
}

/// What is refused of each code: a RouteHealth, its status, the addresses of an Ingress, an Event.
const REFUSED: [(&str, &str, &str); 4] = [
    ("create", "made", "routehealths"),
    ("status", "told", "routehealths/status"),
    ("addresses", "shown", "ingresses/status"),
    ("event", "lost", "events"),
];

#[test]
fn a_status_that_is_refused_holds_no_other_back_and_is_written_when_it_is_taken() {
    test(async |cluster| {
        let _shop = backends(&cluster).await;
        let (between, installation) = controlled(&cluster).await;
        let flags = "--publish-address 192.0.2.9";
        let controller = installation.controller(&cluster, "one", flags);
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        controller.until_ready().await;
        let begun = Instant::now();
        for (code, _) in CODES {
            for (_, name, resource) in REFUSED {
                let name = format!("{name}-{code}");
                let service = if resource == "events" { "none" } else { "shop" };
                between.fault(Act::Refuse(code), writes(resource, format!("{name}.")));
                if resource == "ingresses/status" {
                    between.fault(Act::Refuse(code), writes(resource, name.clone()));
                }
                let host = format!("{name}.example");
                apply(
                    &cluster,
                    &ingress(&name, &installation.class, &host, service),
                )
                .await;
            }
        }
        apply(
            &cluster,
            &ingress("good", &installation.class, HOST, "shop"),
        )
        .await;
        let healths: Api<RouteHealth> = cluster.api();
        let healthy = |health: &RouteHealth| is(health, ConditionStatus::True);
        crate::cluster::until(&healths, "good.auto", "healthy", healthy).await;
        proxy.until_backend(HOST, "shop").await;

        for (code, outcome) in CODES {
            for (what, name, resource) in REFUSED {
                let series =
                    format!("vigie_status_writes_total{{what=\"{what}\",outcome=\"{outcome}\"}}");
                controller
                    .until_metric(&series, "told", |count| count >= 1.0)
                    .await;
                let of_it = writes(resource, format!("{name}-{code}"));
                let lasting = [403, 422].contains(&code) || what == "event";
                let least = if lasting { 1 } else { 3 };
                until("it is tried", async || between.touched(of_it) >= least).await;
                let first = if lasting { 15_000 } else { 500 };
                let most = match what {
                    // It is told once, and not tried again.
                    "event" => 1,
                    _ => tries(Duration::from_millis(first), begun.elapsed()),
                };
                let refused = between.touched(of_it);
                assert!(
                    refused <= most,
                    "{name}-{code}: {refused} of at most {most}"
                );
            }
        }
        let words = |answer: &Response| {
            answer
                .text()
                .contains("degraded write status: the test answers")
        };
        controller.until_page("/readyz", "told", words).await;
        between.heal();
        for (code, _) in CODES {
            for name in ["made", "told", "shown"] {
                let health = format!("{name}-{code}.auto");
                crate::cluster::until(&healths, &health, "healthy", healthy).await;
            }
            let lost = |health: &RouteHealth| is(health, ConditionStatus::False);
            crate::cluster::until(&healths, &format!("lost-{code}.auto"), "told", lost).await;
            let shown = |ingress: &Ingress| format!("{:?}", ingress.status).contains("192.0.2.9");
            let ingresses: Api<Ingress> = cluster.api();
            crate::cluster::until(&ingresses, &format!("shown-{code}"), "shown", shown).await;
        }
        let done = |answer: &Response| !answer.text().contains("write status");
        controller.until_page("/readyz", "done", done).await;
    });
}

fn of_lease(heard: &Heard) -> bool {
    heard.resource == "leases" && ["get", "create", "update"].contains(&heard.verb)
}

fn renews(heard: &Heard) -> bool {
    heard.resource == "leases" && heard.verb == "update"
}

#[test]
fn a_renewal_that_is_refused_is_made_again_before_the_lease_is_lost() {
    test(async |cluster| {
        let _shop = backends(&cluster).await;
        let (between, installation) = controlled(&cluster).await;
        let mut controller = installation.controller(&cluster, "one", "");
        let leads = async |controller: &Controller, leads: f64| {
            let what = leads.to_string();
            controller
                .until_metric("vigie_leader", &what, |now| now == leads)
                .await;
        };
        leads(&controller, 1.0).await;
        for (code, _) in CODES {
            let (refused, all) = (between.touched(renews), between.heard(renews));
            between.fault_times(1, Act::Refuse(code), renews);
            until("it is refused", async || between.touched(renews) > refused).await;
            until("it is renewed", async || between.heard(renews) > all + 1).await;
            // After a conflict alone, what stands is read again at once, and nothing is wrong with it.
            if code != 409 {
                let words = format!("the test answers {code}");
                let told = |line: &str| line.contains(&words);
                controller.process.line("why", told).await;
            }
        }
        assert_eq!(turns(&controller.process.said()), ["leads=true"]);

        // What is refused for longer than a Lease holds ends it, and no longer than it is refused.
        let before = between.touched(of_lease);
        let begun = Instant::now();
        between.fault(Act::Refuse(500), of_lease);
        leads(&controller, 0.0).await;
        until("it is tried again", async || {
            between.touched(of_lease) > before + 5
        })
        .await;
        let refused = between.touched(of_lease) - before;
        let most = 2 + usize::try_from(begun.elapsed().as_secs()).expect("a few");
        assert!(refused <= most, "{refused} of at most {most}");
        between.heal();
        leads(&controller, 1.0).await;
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        apply(
            &cluster,
            &ingress("shop", &installation.class, HOST, "shop"),
        )
        .await;
        proxy.until_backend(HOST, "shop").await;
    });
}

/// An installation whose agents come by where something can stand in their way.
async fn followed(cluster: &Cluster) -> (Between, Installation, Controller, Vec<Proxy>) {
    let between = Between::start(cluster).await;
    let mut installation = Installation::new(cluster).await;
    installation.agents = between.account(&installation.agents);
    let (controller, proxies) = served_by(cluster, &installation, "shop").await;
    (between, installation, controller, proxies)
}

fn reports(heard: &Heard) -> bool {
    heard.verb == "patch" && ["configmaps", "leases"].contains(&&*heard.resource)
}

#[test]
fn an_agent_whose_report_is_refused_goes_on_and_reports_when_it_is_taken() {
    test(async |cluster| {
        let _shop = backends(&cluster).await;
        let (between, installation, controller, mut proxies) = followed(&cluster).await;
        let loads = load(&proxies);
        let current = "vigie_proxies_current";
        for (code, _) in CODES {
            let (begun, before) = (Instant::now(), between.touched(reports));
            between.fault(Act::Refuse(code), reports);
            let (name, host) = (format!("n-{code}"), format!("n-{code}.example"));
            apply(
                &cluster,
                &ingress(&name, &installation.class, &host, "shop"),
            )
            .await;
            until_both(&proxies, &host, "shop").await;
            controller
                .until_metric(current, "0", |count| count == 0.0)
                .await;
            for proxy in &mut proxies {
                let words = format!("the test answers {code}");
                let told = |line: &str| line.contains("reporting failed") && line.contains(&words);
                proxy.agent.line("why", told).await;
            }
            until("it is tried again", async || {
                between.touched(reports) >= before + 6
            })
            .await;
            between.heal();
            let refused = between.touched(reports) - before;
            // Each of two agents tries to tell what is new, and to renew what it holds.
            let most = 2 * 2 * tries(Duration::from_millis(100), begun.elapsed());
            assert!(refused <= most, "{code}: {refused} of at most {most}");
            controller
                .until_metric(current, "2", |count| count == 2.0)
                .await;
        }
        nothing_is_lost(loads).await;
    });
}

fn fetches(heard: &Heard) -> bool {
    heard.verb == "get" && ["configmaps", "secrets"].contains(&&*heard.resource)
}

#[test]
fn an_agent_that_cannot_fetch_what_is_new_tells_it_and_loads_it_when_it_can() {
    test(async |cluster| {
        let _shop = backends(&cluster).await;
        let (between, installation, _controller, proxies) = followed(&cluster).await;
        let loads = load(&proxies);
        for (code, _) in CODES {
            let (begun, before) = (Instant::now(), between.touched(fetches));
            between.fault(Act::Refuse(code), fetches);
            let (name, host) = (format!("n-{code}"), format!("n-{code}.example"));
            apply(
                &cluster,
                &ingress(&name, &installation.class, &host, "shop"),
            )
            .await;
            for proxy in &proxies {
                let words = format!("the test answers {code}");
                let told = |answer: &Response| {
                    let text = answer.text();
                    answer.status == 200
                        && text.contains("degraded follow")
                        && text.contains(&words)
                };
                proxy.until_page("/readyz", "told", told).await;
            }
            until("it is tried again", async || {
                between.touched(fetches) >= before + 12
            })
            .await;
            between.heal();
            let refused = between.touched(fetches) - before;
            // A try of one of two agents is of the few shards that are new.
            let most = 2 * 4 * tries(Duration::from_millis(50), begun.elapsed());
            assert!(refused <= most, "{code}: {refused} of at most {most}");
            until_both(&proxies, &host, "shop").await;
        }
        nothing_is_lost(loads).await;
    });
}
