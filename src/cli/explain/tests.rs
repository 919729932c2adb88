use super::ask::{Agreement, Answer, held_against};
use super::*;
use crate::explain::Outcome;
use crate::source::folder::File;

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: vigie
  tls: [{hosts: [secure.example.com]}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
      - {path: /made, pathType: Exact, backend: {service: {name: made, port: {number: 80}}}}
      - {path: /gone, pathType: Exact, backend: {service: {name: gone, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: other}
spec:
  ingressClassName: nginx
  rules: [{host: other.example.com}]
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: made}
spec: {selector: {app: made}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: maker}
spec:
  template:
    metadata: {labels: {app: made}}
    spec:
      containers:
      - name: web
        ports: [{containerPort: 8080}]
        lifecycle: {preStop: {sleep: {seconds: 5}}}
        readinessProbe: {httpGet: {path: /, port: 8080}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: exact}
spec:
  ingressClassName: vigie
  rules:
  - host: exact.example.com
    http:
      paths: [{path: /shop, pathType: Exact, backend: {service: {name: made, port: {number: 80}}}}]
";

struct Explained {
    text: String,
    findings: Vec<&'static str>,
    works: bool,
}

fn explained(args: &[&str]) -> Explained {
    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: ExplainArgs,
    }
    let args = [
        &["explain"],
        args,
        &["-", "--backend=default/web:80=127.0.0.1:1"],
    ]
    .concat();
    let Only { args } = clap::Parser::try_parse_from(args).expect("they are taken");
    let folder = Folder::of(vec![File {
        name: "shop.yaml".into(),
        content: Ok(MANIFESTS.into()),
    }]);
    let Asked::Url(url) = args.asked.clone() else {
        panic!("it is a URL");
    };
    let built = build(&args, &folder).expect("stand-ins are addresses");
    let explanation = explain(&built.model, &args.request(&url));
    let findings = findings::concerning(
        &explanation,
        &built.snapshot,
        &built.diagnostics,
        &built.behind,
    );
    let stages = stages::lines(&built, &explanation);
    Explained {
        text: text::text(&built.model, &explanation, &built.expected, &stages, &[])
            + &sentence::sentence(&explanation, &built.expected),
        findings: findings.iter().map(|f| f.code.as_str()).collect(),
        works: built.works(&explanation),
    }
}

#[test]
fn a_route_that_works_is_told_down_to_its_endpoints() {
    let explained = explained(&["http://shop.example.com//%61p?x=1", "--client=10.1.2.3"]);
    assert_eq!(
        explained.text,
        "\
http://shop.example.com//%61p?x=1

 ok  Listener   http; the client is 10.1.2.3
 ok  Path       //%61p is looked up as /ap
 ok  Host       shop.example.com, by its name
 ok  Route      shop.example.com/ (prefix)
                Ingress default/shop, spec.rules[0].http.paths[0]
                - exact        /gone                it is another path (default/shop)
                - exact        /made                it is another path (default/shop)
                - prefix       /api                 the path does not begin with it (default/shop)
                * prefix       /                    it takes every path (default/shop)
 ok  Forward    as it came: //%61p?x=1, Host shop.example.com
                time-outs: connect 5 s, read 60 s, send 60 s; bodies of up to 1 MiB
 ok  Upstream   default/web:80 (http)
 ok  Endpoints  127.0.0.1:1

 ok  Accepted       Ingress default/shop, spec.rules[0].http.paths[0]
 ok  ResolvedRefs   Service default/web:80 -> targetPort 80
 ok  EndpointsReady 1 of 1 endpoints are ready
This URL reaches default/web:80 by Ingress default/shop."
    );
    assert!(explained.works && explained.findings.is_empty());
}

#[test]
fn a_route_that_does_not_work_is_told_with_its_own_findings_and_no_others() {
    let closed = explained(&["http://shop.example.com/gone"]);
    assert!(
        closed
            .text
            .contains("FAIL Answer     503 from the proxy: its backend does not exist")
    );
    assert_eq!((closed.works, closed.findings), (false, vec!["RH201"]));
    let empty = explained(&["http://shop.example.com/api/x"]);
    assert!(
        empty
            .text
            .contains("FAIL Endpoints  none is ready: 503 from the proxy")
    );
    assert_eq!((empty.works, empty.findings), (false, vec!["RH418"]));
}

#[test]
fn where_nothing_matches_the_nearest_and_what_was_meant_are_told() {
    let slip = explained(&["http://shpo.example.com/"]);
    assert!(
        slip.text
            .contains("FAIL Route      NoRouteMatches: no host takes it"),
        "{}",
        slip.text
    );
    assert!(
        slip.text.contains("rules have shop.example.com"),
        "{}",
        slip.text
    );
    assert_eq!(slip.findings, ["RH313"]);
    assert!(
        slip.text
            .ends_with("Nothing takes this URL: clients get 404 from the proxy.")
    );
    let foreign = explained(&["http://other.example.com/"]);
    assert_eq!((foreign.works, foreign.findings), (false, vec!["RH210"]));
}

#[test]
fn an_exact_path_above_the_one_asked_for_is_told() {
    let below = explained(&["http://exact.example.com/shop/items"]);
    assert_eq!(below.findings, ["RH309", "RH313"], "{}", below.text);
    let itself = explained(&["http://exact.example.com/shop"]);
    assert_eq!(itself.findings, [""; 0], "{}", itself.text);
}

#[test]
fn endpoints_that_workloads_will_bring_are_not_missed() {
    let made = explained(&["https://shop.example.com/made"]);
    assert_eq!(made.findings, ["RH212"], "no certificate is its own");
    assert!(made.works, "it will");
    for part in [
        "     Endpoints  none in these manifests; Deployment default/maker makes the pods",
        "This URL will reach default/made:80 by Ingress default/shop.",
        " ok  ResolvedRefs   Service default/made:80 -> targetPort 8080",
        "     EndpointsReady not known from manifests; Deployment default/maker makes the pods",
    ] {
        assert!(
            made.text.contains(part),
            "{part} is missing:\n{}",
            made.text
        );
    }
}

#[test]
fn answers_are_held_against_what_was_foreseen() {
    let forwarded = Outcome::Forwarded(crate::explain::Forwarded {
        target: "/".into(),
        rewritten: false,
        host: String::new(),
        prefix: None,
        rules: Vec::new(),
        ways: Vec::new(),
    });
    // Without a way to go, the proxy answers 503.
    let to_https = Outcome::ToHttps {
        code: crate::model::names::StatusCode::PERMANENT_REDIRECT,
        location: "https://a.test/x".into(),
    };
    for (outcome, answer, agreement) in [
        (
            &Outcome::NoRoute,
            "404 Not Found\r\n\r\nvigie: no route",
            Agreement::Agrees,
        ),
        (&Outcome::NoRoute, "200 OK\r\n\r\n", Agreement::Differs),
        (
            &forwarded,
            "503 No\r\n\r\nvigie: no endpoint",
            Agreement::Agrees,
        ),
        (
            &to_https,
            "308 P\r\nlocation: https://a.test:8443/x\r\n\r\n",
            Agreement::Agrees,
        ),
        (
            &to_https,
            "308 P\r\nLocation: https://b.test/x\r\n\r\n",
            Agreement::Differs,
        ),
    ] {
        let answer = Answer::read(format!("HTTP/1.1 {answer}").as_bytes()).expect("an answer");
        assert_eq!(held_against(&answer, outcome).0, agreement, "{answer:?}");
    }
    assert_eq!(Answer::read(b"SSH-2.0-x"), None);
}

#[test]
fn an_address_to_ask_is_read_in_its_usual_forms() {
    for (text, address) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        (":8080", "127.0.0.1:8080"),
        ("localhost:81", "127.0.0.1:81"),
        ("[::1]:1", "[::1]:1"),
    ] {
        assert_eq!(ask_address(text), Ok(address.parse().unwrap()), "{text}");
    }
    for text in ["8080", "", "a.test:80", "127.0.0.1"] {
        assert!(ask_address(text).is_err(), "{text}");
    }
}
