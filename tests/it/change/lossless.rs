//! No request is lost by a change, however it is taken: clients ask all the time, and every answer
//! counts. Endpoints that leave stay up, as they do while a Pod ends gracefully.

use vigie::agent::LoadKind;
use vigie::model::{Model, PrivatePem};
use vigie::render::ProxyKind;

use super::load::Load;
use super::manifests::{A, B, Ingress, model, secret, service};
use super::{held, processes};
use crate::serve::Served;
use crate::support::expect::{self, Expectations};

const HOST: &str = "shop.example.com";
const C: &str = "127.1.0.3:8080";

/// What is asked for is always there; what changes is where it leads to and what stands beside it.
pub struct Scene {
    proxy: ProxyKind,
    certificates: Vec<String>,
}

impl Scene {
    pub fn new(proxy: ProxyKind) -> Self {
        expect::start_backends(&Expectations::default()).expect("backends");
        let certificates = (0..3).map(|n| secret("one", HOST, &format!("number {n}")));
        Self {
            proxy,
            certificates: certificates.collect(),
        }
    }

    /// Endpoints roll, the route leads to other Services, other routes and hosts come and go, and
    /// certificates are rotated; each at its own pace.
    pub fn at(&self, step: usize) -> Model {
        let endpoints: [&[&str]; 4] = [&[A], &[A, B], &[B], &[B, C]];
        let to = ["api", "docs", "api", "api"][step / 2 % 4];
        let mut shop = Ingress::new("shop", HOST).path("/", to).tls(HOST, "one");
        shop = shop.annotation("ssl-redirect", "false");
        if self.proxy == ProxyKind::Nginx {
            // It asks for the endpoints of a Service only when the reload that brings it is done, so
            // a route is to be led to one that it knows already.
            shop = shop.path("/api", "api").path("/docs", "docs");
        }
        if step % 3 == 1 {
            shop = shop.path("/more", "docs").pattern("/v", "api");
        }
        if step % 5 == 2 {
            shop = shop.annotation("proxy-read-timeout", "30");
        }
        let mut text = shop.yaml();
        if step % 4 == 3 {
            let other = Ingress::new("other", "other.example.com");
            text.push_str(&other.path("/", "late").yaml());
            text.push_str(&service("late", &[C]));
        }
        text.push_str(&service("api", endpoints[step % 4]));
        text.push_str(&service("docs", &[[A, B, C][step / 3 % 3]]));
        text.push_str(&self.certificates[step / 2 % 3]);
        model(&text)
    }
}

async fn nothing_is_lost(proxy: ProxyKind, steps: usize) {
    let scene = Scene::new(proxy);
    let mut served = Served::start(&scene.at(0), proxy)
        .await
        .expect("it is served");
    let running = processes::of(served.directory());
    let load = Load::begin(HOST, served.http, served.https);
    let mut reloads = 0;
    for step in 1..steps {
        let (_, loaded) = served.load(&scene.at(step)).await.expect("it is loaded");
        reloads += usize::from(loaded.kind == LoadKind::Reloaded);
    }
    let log = load.end().await;
    assert!(
        log.failed.is_empty(),
        "{proxy}: {} failed, {} answered, {reloads} reloads:\n{}",
        log.failed.len(),
        log.answered,
        log.failed.join("\n")
    );
    assert!(
        log.answered > steps * 5,
        "{proxy}: only {} answered",
        log.answered
    );
    if proxy == ProxyKind::Haproxy {
        assert_eq!(reloads, 0);
        assert_eq!(processes::of(served.directory()), running);
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_by_changes_of_a_haproxy_that_goes_on() {
    nothing_is_lost(ProxyKind::Haproxy, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_by_changes_and_reloads_of_nginx() {
    nothing_is_lost(ProxyKind::Nginx, 10).await;
}

/// The default certificate is another each time, which HAProxy reads at its start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_by_reloads_of_haproxy() {
    let scene = Scene::new(ProxyKind::Haproxy);
    let any = Ingress::new("any", "any.example.com").path("/", "any");
    let any = any.tls("any.example.com", "any").yaml();
    let any = model(&(any + &secret("any", "any.example.com", "any")));
    let served = Served::start(&scene.at(0), ProxyKind::Haproxy).await;
    let mut served = served.expect("it is served");
    let load = Load::begin(HOST, served.http, served.https);
    let mut reloads = 0;
    for step in 1..9 {
        let mut model = scene.at(step);
        if step % 2 == 1 {
            model.certificates.extend(any.certificates.clone());
            let usual = model.default_certificate.take();
            usual.map(|usual| model.certificates.remove(&usual));
            let of_any = any.hosts.values().flat_map(|host| &host.certificates);
            model.default_certificate = of_any.into_iter().next().cloned();
        }
        let (bundle, loaded) = served.load(&model).await.expect("it is loaded");
        reloads += usize::from(loaded.kind == LoadKind::Reloaded);
        let differences = held::differences(served.directory(), &bundle).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    let log = load.end().await;
    assert_eq!(reloads, 8);
    assert!(log.failed.is_empty(), "{}", log.failed.join("\n"));
    served.stop().await;
}

/// A certificate that HAProxy refuses stands between good changes: it is refused, costs no request,
/// and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_change_among_good_ones_costs_nothing() {
    let scene = Scene::new(ProxyKind::Haproxy);
    let mut served = Served::start(&scene.at(0), ProxyKind::Haproxy).await;
    let served = served.as_mut().expect("it is served");
    let load = Load::begin(HOST, served.http, served.https);
    for step in 1..6 {
        let mut bad = scene.at(step);
        for certificate in bad.certificates.values_mut() {
            let pem = certificate.pem.reveal().replace("PRIVATE", "PIRATE");
            certificate.pem = PrivatePem::new(pem);
        }
        let refused = served.load(&bad).await.err().unwrap_or_default();
        assert!(refused.starts_with("refused"), "step {step}: {refused:?}");
        let (bundle, _) = served.load(&scene.at(step)).await.expect("it is loaded");
        let differences = held::differences(served.directory(), &bundle).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    let log = load.end().await;
    assert!(log.failed.is_empty(), "{}", log.failed.join("\n"));
}

/// HAProxy ends connections to its runtime API that were idle for long; here it is asked to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_connection_that_haproxy_has_closed_is_made_anew() {
    let scene = Scene::new(ProxyKind::Haproxy);
    let served = Served::start(&scene.at(0), ProxyKind::Haproxy).await;
    let mut served = served.expect("it is served");
    let running = processes::of(served.directory());
    for step in 1..6 {
        let shown = held::ask(served.directory(), "show sess").await;
        let of_the_api = shown.lines().filter(|line| line.contains("fe=GLOBAL"));
        for session in of_the_api.filter_map(|line| line.split_once(": ")) {
            let command = format!("shutdown session {}", session.0);
            held::ask(served.directory(), &command).await;
        }
        let (bundle, load) = served.load(&scene.at(step)).await.expect("it is loaded");
        assert_eq!(load.kind, LoadKind::Live, "{:?}", load.reasons);
        let differences = held::differences(served.directory(), &bundle).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
    assert_eq!(processes::of(served.directory()), running);
    served.stop().await;
}
