//! What `vigie explain` says beforehand is what the cases expect of both real proxies.

mod command;

use std::fmt::Write as _;
use std::path::Path;

use vigie::explain::{Explanation, Forwarded, Outcome, Request, Url, explain};
use vigie::model::{Endpoints, Model};
use vigie::render::ProxyKind;

use crate::case;
use crate::serve::Served;
use crate::support::expect::{self, Expectations, Plain};

/// What an endpoint that is there may make a proxy answer all the same.
const OF_ENDPOINTS: [u16; 3] = [502, 503, 504];

#[test]
fn every_case_is_explained_as_it_is_answered() {
    let mut wrong = Vec::new();
    let mut held = 0;
    for case in case::all() {
        let model = case.translate().0.model;
        for plain in case.expect.plain() {
            held += 1;
            if let Err(words) = agrees(&model, &plain) {
                wrong.push(format!("{}: {}: {words}", case.name, plain.url));
            }
        }
    }
    assert!(
        std::env::var_os("CASE").is_some() || held > 400,
        "only {held} requests are held against an explanation"
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn agrees(model: &Model, plain: &Plain<'_>) -> Result<(), String> {
    let url: Url = plain.url.parse().map_err(|error| format!("{error}"))?;
    let header = |(name, value): &(&str, &str)| format!("{name}: {value}").parse();
    let headers = plain.headers.iter().map(header).collect::<Result<_, _>>();
    let request = Request {
        url,
        headers: headers.map_err(|error| format!("{error}"))?,
        client: Some(plain.client),
    };
    let explanation = explain(model, &request);
    agreeing(&explanation, plain).map_err(|words| format!("{words}: {:?}", explanation.outcome))
}

fn agreeing(explanation: &Explanation, plain: &Plain<'_>) -> Result<(), &'static str> {
    let outcome = &explanation.outcome;
    match (outcome.status(), outcome) {
        (Some(status), _) => {
            if plain.backend.is_some_and(|backend| backend.is_some()) {
                return Err("no endpoint is foreseen");
            }
            if plain.status.is_some_and(|wanted| wanted != status) {
                return Err("another status is foreseen");
            }
            if !plain.has_location(outcome.location().unwrap_or_default()) {
                return Err("another location is foreseen");
            }
        }
        (None, Outcome::Forwarded(forwarded)) => return forwards(forwarded, plain),
        (None, _) => return Err("it has no status"),
    }
    Ok(())
}

fn forwards(forwarded: &Forwarded, plain: &Plain<'_>) -> Result<(), &'static str> {
    match plain.backend {
        Some(None) if !plain.status.is_some_and(|s| OF_ENDPOINTS.contains(&s)) => {
            Err("an endpoint is foreseen")
        }
        Some(Some(backend)) if !reaches(forwarded, backend) => Err("another endpoint is foreseen"),
        _ if !plain.has_path(&forwarded.target) => Err("another path is foreseen"),
        _ => Ok(()),
    }
}

fn reaches(forwarded: &Forwarded, backend: &str) -> bool {
    let upstreams = forwarded
        .ways
        .iter()
        .filter_map(|way| way.upstream.as_ref());
    upstreams
        .into_iter()
        .any(|upstream| match &upstream.endpoints {
            Endpoints::Addresses(all) => all.iter().any(|e| e.to_string() == backend),
            // Whatever its name resolves to.
            Endpoints::Name { .. } => true,
        })
}

/// Hosts of every kind of path, each path with an endpoint of its own.
const HOSTS: [(&str, &[(&str, &str)]); 9] = [
    (
        "both",
        &[("Exact", "/foo"), ("Prefix", "/foo"), ("Prefix", "/")],
    ),
    ("slash", &[("Prefix", "/foo/"), ("Exact", "/foo/")]),
    ("deep", &[("Prefix", "/foo/bar"), ("Exact", "/foo/b@r;x")]),
    (
        "plain",
        &[
            ("ImplementationSpecific", "/foo"),
            ("ImplementationSpecific", "/foo/bar"),
        ],
    ),
    (
        "below",
        &[
            ("ImplementationSpecific", "/foo/"),
            ("ImplementationSpecific", "/fo"),
        ],
    ),
    ("only", &[("ImplementationSpecific", "/foo/")]),
    (
        "mixed",
        &[
            ("Prefix", "/foo"),
            ("ImplementationSpecific", "/fo"),
            ("Exact", "/foo/bar"),
        ],
    ),
    (
        "bytes",
        &[("Prefix", "/é"), ("ImplementationSpecific", "/a%20")],
    ),
    (
        "regex",
        &[
            ("ImplementationSpecific", "/foo/[a-z]+$"),
            ("ImplementationSpecific", "/(a|é)."),
        ],
    ),
];

const SPELLINGS: [&str; 56] = [
    "/",
    "/foo",
    "/foo/",
    "/foo/bar",
    "/foo/bar/",
    "/foobar",
    "/fo",
    "/fob",
    "/FOO",
    "/foo/BAR",
    "//foo",
    "/foo//",
    "/foo//bar",
    "/foo/./bar",
    "/foo/.",
    "/foo/..",
    "/foo/../foo",
    "/x/../foo",
    "/%66oo",
    "/%46oo",
    "/foo%2Fbar",
    "/foo%2fbar",
    "/%2Ffoo",
    "/foo%2F",
    "/foo%2F..%2Ffoo",
    "/foo/%2e%2e/foo",
    "/foo/%2e",
    "/%2e/foo",
    "/foo/..%2ffoo",
    "/foo/bar/..",
    "/foo/b%40r%3Bx",
    "/foo/b@r;x",
    "/foo;x",
    "/foo%3B",
    "/foo%20",
    "/foo%3Fbar",
    "/foo%23",
    "/foo?/../x",
    "/foo?",
    "/foo%25",
    "/%2566oo",
    "/.foo",
    "/..foo",
    "/foo..",
    "/...",
    "/%C3%A9",
    "/%c3%a9/x",
    "/%C3%A9x",
    "/%E9",
    "/a%20b",
    "/a%2Fb",
    "/ab",
    "/..",
    "/foo/../../foo",
    "/%",
    "/%00",
];

fn spelled(semantics: &str) -> String {
    let mut text = format!(
        "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: vigie}}
spec: {{controller: {semantics}}}
"
    );
    for (host, paths) in HOSTS {
        let regex = host == "regex";
        let paths = paths.iter().enumerate().map(|(number, (kind, path))| {
            format!("\n      - {{path: '{path}', pathType: {kind}, backend: {{service: {{name: s{number}, port: {{number: 80}}}}}}}}")
        });
        let paths: String = paths.collect();
        text.push_str(&format!(
            "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {host}, annotations: {{vigie.dev/use-regex: '{regex}'}}}}
spec:
  ingressClassName: vigie
  rules:
  - host: {host}.test
    http:
      paths:{paths}
"
        ));
    }
    for number in 0..3 {
        text.push_str(&format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: s{number}}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{number}, labels: {{kubernetes.io/service-name: s{number}}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [127.1.0.{}]}}]
",
            number + 1
        ));
    }
    text
}

/// What explanations foresee, written as a case would.
fn foreseen(model: &Model) -> String {
    let mut text = "requests:\n".to_owned();
    for (host, _) in HOSTS {
        for spelling in SPELLINGS {
            let url = format!("http://{host}.test{spelling}");
            let explanation = explain(model, &Request::get(url.parse().expect("a URL")));
            let outcome = &explanation.outcome;
            let backend = match outcome {
                Outcome::Forwarded(forwarded) => forwarded.ways[0].upstream.as_ref(),
                _ => None,
            };
            let backend = backend.map(|upstream| match &upstream.endpoints {
                Endpoints::Addresses(all) => all[0].to_string(),
                Endpoints::Name { .. } => String::new(),
            });
            text.push_str(&format!(
                "- get: '{url}'\n  expect: {{status: {}, backend: {}}}\n",
                outcome.status().unwrap_or(200),
                backend.unwrap_or("null".to_owned())
            ));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_path_is_explained_as_both_proxies_take_it() {
    let mut wrong = String::new();
    for semantics in ["vigie.dev/ingress-controller", "k8s.io/ingress-nginx"] {
        let model = case::of_text(&spelled(semantics)).translate().0.model;
        assert_eq!(model.hosts.len(), HOSTS.len(), "{semantics}");
        let text = foreseen(&model);
        let expect = Expectations::parse(&text, Path::new("")).expect("it can be read");
        let _backends = expect::start_backends(&expect).expect("they start");
        for proxy in ProxyKind::ALL {
            let served = Served::start(&model, proxy).await.expect("it is served");
            for failure in served.ask(&expect).await {
                let _ = writeln!(wrong, "{semantics}: {failure}");
            }
            served.stop().await;
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
