//! Each kind of change on both proxies, there and back: what a client sees before and after, and that
//! the proxy goes on as it is where it can.

use std::path::Path;

use tokio::task::JoinSet;
use vigie::agent::LoadKind;
use vigie::render::ProxyKind;

use super::manifests::{A, B, Ingress, model, secret, service};
use super::processes;
use crate::serve::Served;
use crate::support::expect::{self, Expectations};

const SHOP: &str = "shop.example.com";
const BLOG: &str = "blog.example.com";

/// A change, and what is seen: each line is an entry of an `expect.yaml`.
struct Kind {
    name: &'static str,
    before: String,
    after: String,
    sees: [&'static str; 2],
    /// Whether nginx takes it without a reload; HAProxy takes all.
    live_on_nginx: bool,
}

impl Kind {
    fn new(name: &'static str, [before, after]: [String; 2], sees: [&'static str; 2]) -> Self {
        Self {
            name,
            before,
            after,
            sees,
            live_on_nginx: false,
        }
    }

    fn live_on_nginx(mut self) -> Self {
        self.live_on_nginx = true;
        self
    }
}

fn shop() -> Ingress {
    Ingress::new("shop", SHOP)
}

fn api() -> String {
    service("api", &[A])
}

fn docs() -> String {
    service("docs", &[B])
}

/// An Ingress in front of one Service.
fn with_api(ingress: &Ingress) -> String {
    ingress.yaml() + &api()
}

fn endpoints() -> Vec<Kind> {
    let of = |endpoints: &[&str]| shop().path("/", "api").yaml() + &service("api", endpoints);
    vec![
        Kind::new(
            "an endpoint is added",
            [of(&[A]), of(&[A, B])],
            [
                "get: http://shop.example.com/, repeat: 8, expect: {status: 200, backend: 127.1.0.1:8080}",
                "get: http://shop.example.com/, repeat: 24, share: {127.1.0.1:8080: 1..23, 127.1.0.2:8080: 1..23}",
            ],
        )
        .live_on_nginx(),
        Kind::new(
            "an endpoint moves to another address",
            [of(&[A]), of(&[B])],
            [
                "get: http://shop.example.com/, repeat: 8, expect: {status: 200, backend: 127.1.0.1:8080}",
                "get: http://shop.example.com/, repeat: 8, expect: {status: 200, backend: 127.1.0.2:8080}",
            ],
        )
        .live_on_nginx(),
        Kind::new(
            "all endpoints are gone",
            [of(&[A, B]), of(&[])],
            [
                "get: http://shop.example.com/, repeat: 8, expect: {status: 200}",
                "get: http://shop.example.com/, repeat: 8, expect: {status: 503, backend: null}",
            ],
        )
        .live_on_nginx(),
    ]
}

fn routes() -> Vec<Kind> {
    let one = shop().path("/a", "api");
    let two = one.clone().path("/docs", "docs");
    let blog = Ingress::new("blog", BLOG).path("/", "api").yaml();
    vec![
        Kind::new(
            "a route is added",
            [with_api(&one), with_api(&one.clone().path("/b", "api"))],
            [
                "get: http://shop.example.com/b, expect: {status: 404, backend: null}",
                "get: http://shop.example.com/b, expect: {status: 200, backend: 127.1.0.1:8080}",
            ],
        ),
        Kind::new(
            "a route leads to another service",
            [
                shop().path("/", "api").path("/docs", "docs").yaml() + &api() + &docs(),
                shop().path("/", "docs").path("/docs", "docs").yaml() + &api() + &docs(),
            ],
            [
                "get: http://shop.example.com/, expect: {status: 200, backend: 127.1.0.1:8080}",
                "get: http://shop.example.com/, expect: {status: 200, backend: 127.1.0.2:8080}",
            ],
        ),
        Kind::new(
            "a host is new",
            [with_api(&one), with_api(&one) + &blog],
            [
                "get: http://blog.example.com/, expect: {status: 404, backend: null}",
                "get: http://blog.example.com/, expect: {status: 200, backend: 127.1.0.1:8080}",
            ],
        ),
        Kind::new(
            "a whole service is new with its route",
            [with_api(&one), with_api(&two) + &docs()],
            [
                "get: http://shop.example.com/docs, expect: {status: 404, backend: null}",
                "get: http://shop.example.com/docs, expect: {status: 200, backend: 127.1.0.2:8080}",
            ],
        ),
        Kind::new(
            "a host turns to regular expressions",
            [
                with_api(&shop().pattern("/v[0-9]", "api")),
                with_api(
                    &shop()
                        .pattern("/v[0-9]", "api")
                        .annotation("use-regex", "true"),
                ),
            ],
            [
                "get: http://shop.example.com/v7/x, expect: {status: 404, backend: null}",
                "get: http://shop.example.com/v7/x, expect: {status: 200, backend: 127.1.0.1:8080}",
            ],
        ),
    ]
}

fn certificates() -> Vec<Kind> {
    let plain = shop().path("/", "api");
    let both = |shop: Ingress, blog: Ingress| shop.yaml() + &blog.yaml() + &api();
    let blog = Ingress::new("blog", BLOG).path("/", "api");
    let first = secret("one", SHOP, "first");
    let second = secret("one", SHOP, "second");
    let other = secret("two", SHOP, "other");
    let wide = secret("wide", "*.example.com", "wide");
    let with = |name, secret: &str| with_api(&plain.clone().tls(SHOP, name)) + secret;
    vec![
        Kind::new(
            "a certificate is new",
            [with_api(&plain), with("one", &first)],
            [
                "get: https://shop.example.com/, expect: {status: 200, certificate: {default: true}}",
                "get: https://shop.example.com/, expect: {status: 200, certificate: {subject: ~first, default: false}}",
            ],
        ),
        Kind::new(
            "a certificate is rotated",
            [with("one", &first), with("one", &second)],
            [
                "get: https://shop.example.com/, expect: {status: 200, certificate: {subject: ~first}}",
                "get: https://shop.example.com/, expect: {status: 200, certificate: {subject: ~second}}",
            ],
        )
        .live_on_nginx(),
        Kind::new(
            "a host takes another certificate",
            [with("one", &first), with("two", &other)],
            [
                "get: https://shop.example.com/, expect: {status: 200, certificate: {subject: ~first}}",
                "get: https://shop.example.com/, expect: {status: 200, certificate: {subject: ~other}}",
            ],
        ),
        Kind::new(
            "a certificate goes to another host",
            [
                both(plain.clone().tls(SHOP, "wide"), blog.clone()) + &wide,
                both(plain.clone(), blog.clone().tls(BLOG, "wide")) + &wide,
            ],
            [
                "get: https://shop.example.com/, expect: {certificate: {subject: ~wide}}",
                "get: https://blog.example.com/, expect: {certificate: {subject: ~wide}}",
            ],
        ),
    ]
}

fn features() -> Vec<Kind> {
    let plain = shop().path("/", "api");
    let kind = |name, annotation, value, sees| {
        let changed = plain.clone().annotation(annotation, value);
        Kind::new(name, [with_api(&plain), with_api(&changed)], sees)
    };
    vec![
        kind(
            "a route redirects",
            "permanent-redirect",
            "https://new.example.com/",
            [
                "get: http://shop.example.com/x, expect: {status: 200}",
                "get: http://shop.example.com/x, expect: {status: 301, headers: {location: 'https://new.example.com/'}}",
            ],
        ),
        kind(
            "a route is closed to others",
            "allowlist-source-range",
            "127.0.0.9/32",
            [
                "get: http://shop.example.com/, client: 127.0.0.8, expect: {status: 200}",
                "get: http://shop.example.com/, client: 127.0.0.8, expect: {status: 403, backend: null}",
            ],
        ),
        kind(
            "a time-out is shorter",
            "proxy-read-timeout",
            "1",
            [
                "get: http://shop.example.com/?sleep=1500ms, expect: {status: 200}",
                "get: http://shop.example.com/?sleep=1500ms, expect: {status: 504}",
            ],
        ),
        kind(
            "a body may be smaller",
            "proxy-body-size",
            "1k",
            [
                "post: http://shop.example.com/, body-bytes: 2000, expect: {status: 200}",
                "post: http://shop.example.com/, body-bytes: 2000, expect: {status: 413}",
            ],
        ),
        Kind::new(
            "a path is rewritten",
            [
                with_api(
                    &shop()
                        .pattern("/old/(.*)", "api")
                        .annotation("use-regex", "true"),
                ),
                with_api(
                    &shop()
                        .pattern("/old/(.*)", "api")
                        .annotation("rewrite-target", "/new/$1"),
                ),
            ],
            [
                "get: http://shop.example.com/old/x, expect: {status: 200, path: /old/x}",
                "get: http://shop.example.com/old/x, expect: {status: 200, path: /new/x}",
            ],
        ),
        Kind::new(
            "endpoints speak another protocol",
            [
                with_api(&plain),
                plain.clone().annotation("backend-protocol", "HTTPS").yaml()
                    + &service("api", &["127.1.0.1:8443"]),
            ],
            [
                "get: http://shop.example.com/, expect: {status: 200, backend-tls: false}",
                "get: http://shop.example.com/, expect: {status: 200, backend-tls: true}",
            ],
        ),
    ]
}

fn canaries() -> Vec<Kind> {
    let with = |annotations: &[(&'static str, &str)]| {
        let mut canary = Ingress::new("canary", SHOP).path("/", "docs");
        canary = canary.annotation("canary", "true");
        for (name, value) in annotations {
            canary = canary.annotation(name, value);
        }
        shop().path("/", "api").yaml() + &canary.yaml() + &api() + &docs()
    };
    vec![
        Kind::new(
            "a canary takes all",
            [
                with(&[("canary-weight", "0")]),
                with(&[("canary-weight", "100")]),
            ],
            [
                "get: http://shop.example.com/, repeat: 10, expect: {status: 200, backend: 127.1.0.1:8080}",
                "get: http://shop.example.com/, repeat: 10, expect: {status: 200, backend: 127.1.0.2:8080}",
            ],
        ),
        Kind::new(
            "a canary is chosen by a header",
            [
                with(&[("canary-weight", "0")]),
                with(&[("canary-by-header", "X-Canary")]),
            ],
            [
                "get: http://shop.example.com/, headers: {X-Canary: always}, expect: {status: 200, backend: 127.1.0.1:8080}",
                "get: http://shop.example.com/, headers: {X-Canary: always}, expect: {status: 200, backend: 127.1.0.2:8080}",
            ],
        ),
    ]
}

async fn sees(served: &Served, proxy: ProxyKind, line: &str) -> Vec<String> {
    // Workers of nginx read certificates and endpoints again after a moment.
    let patience = match proxy {
        ProxyKind::Nginx => "eventually: 5s, ",
        ProxyKind::Haproxy => "",
    };
    let text = format!("requests:\n- {{{patience}{line}}}\n");
    let expect = Expectations::parse(&text, Path::new(".")).expect("it can be read");
    let _backends = expect::start_backends(&expect).expect("backends");
    let failures = served.ask(&expect).await;
    failures.iter().map(ToString::to_string).collect()
}

async fn one_after_the_other(proxy: ProxyKind, kinds: Vec<Kind>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut served = Served::start(&model(""), proxy)
        .await
        .expect("it is served");
    for kind in kinds {
        let steps = [(&kind.before, 0), (&kind.after, 1), (&kind.before, 0)];
        for (number, (manifests, seen)) in steps.into_iter().enumerate() {
            let running = processes::of(served.directory());
            let must_be_live = match proxy {
                ProxyKind::Haproxy => true,
                ProxyKind::Nginx => number > 0 && kind.live_on_nginx,
            };
            let load = match served.load(&model(manifests)).await {
                Ok((_, load)) => load,
                Err(words) => {
                    wrong.push(format!("{}, step {number}: {words}", kind.name));
                    continue;
                }
            };
            let mut found = sees(&served, proxy, kind.sees[seen]).await;
            let live = matches!(load.kind, LoadKind::Live | LoadKind::Nothing);
            if must_be_live && !(live && running == processes::of(served.directory())) {
                found.push(format!("{:?} because of {:?}", load.kind, load.reasons));
            }
            let all = found.iter();
            wrong.extend(all.map(|words| format!("{}, step {number}: {words}", kind.name)));
        }
    }
    served.stop().await;
    wrong
}

async fn every_kind(proxy: ProxyKind) {
    let all = [
        endpoints(),
        routes(),
        certificates(),
        features(),
        canaries(),
    ];
    let all = all
        .into_iter()
        .map(|kinds| one_after_the_other(proxy, kinds));
    let mut going: JoinSet<_> = all.collect();
    let mut wrong = Vec::new();
    while let Some(result) = going.join_next().await {
        wrong.extend(result.expect("no test panics"));
    }
    assert!(wrong.is_empty(), "{proxy}:\n\n{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_change_is_seen_at_once_on_a_haproxy_that_goes_on() {
    every_kind(ProxyKind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_change_is_seen_on_nginx_which_goes_on_where_it_can() {
    every_kind(ProxyKind::Nginx).await;
}
