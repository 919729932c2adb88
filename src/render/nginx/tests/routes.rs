//! How routes become locations, and what nginx cannot do.

use super::builders::*;
use super::*;
use crate::model::diagnostics::Severity;

/// The `location` lines of a host with what each does first, as `= /foo proxy_pass …`.
fn locations(model: &Model, host: &str) -> Vec<String> {
    let all = syntax::read(&folder(&rendered(model), "hosts/")).expect("servers");
    let named = |directive: &&syntax::Directive| {
        let names = directive.block.iter().flatten();
        names.clone().any(|d| d.words == ["server_name", host])
    };
    let server = all.iter().find(named).expect("a server");
    let locations = server
        .block
        .iter()
        .flatten()
        .filter(|d| d.name() == "location");
    locations
        .map(|location| {
            let acts = ["return", "proxy_pass", "grpc_pass", "try_files"];
            let block = location.block.as_deref().unwrap_or_default();
            let act = block.iter().find(|d| acts.contains(&d.name()));
            let act = act.map_or(String::new(), |d| d.words[..2].join(" "));
            format!("{} {act}", location.words[1..].join(" "))
        })
        .filter(|location| !location.starts_with("@no_answer"))
        .collect()
}

fn check(routes: &[(PathMatch, &str)], expected: &[&str]) {
    let mut model = Model::default();
    for (path, service) in routes {
        add(&mut model, "a.example", path.clone(), forward(service));
    }
    let up = format!("proxy_pass http://{}", upstream_name("up"));
    let other = format!("proxy_pass http://{}", upstream_name("other"));
    let short: Vec<String> = locations(&model, "a.example")
        .iter()
        .map(|line| {
            line.replace(&up, "up")
                .replace(&other, "other")
                .replace("return ", "")
        })
        .collect();
    assert_eq!(short, expected, "{routes:?}");
}

#[test]
fn a_prefix_takes_whole_elements_and_leaves_the_exact_path_to_an_exact_route() {
    check(
        &[(prefix("/foo"), "up")],
        &["= /foo up", "/foo/ up", "/ 404"],
    );
    check(
        &[(exact("/foo"), "other"), (prefix("/foo"), "up")],
        &["= /foo other", "/foo/ up", "/ 404"],
    );
    check(
        &[(prefix("/"), "up"), (plain_prefix("/a"), "other")],
        &["/ up", "/a other"],
    );
}

#[test]
fn nginx_is_kept_from_redirecting_to_a_slash() {
    check(&[(exact("/x/"), "up")], &["= /x/ up", "= /x 404", "/ 404"]);
    check(
        &[(prefix("/"), "up"), (plain_prefix("/x/"), "other")],
        &["= /x up", "/ up", "/x/ other"],
    );
}

#[test]
fn expressions_are_tried_in_order() {
    check(
        &[
            (regex("/a(/|$)"), "up"),
            (prefix("/b.c"), "other"),
            (exact("/d"), "up"),
        ],
        &[
            "~* ^/a(/|$) up",
            "~ ^/b\\.c(?:/|$) other",
            "~ ^/d$ up",
            "/ 404",
        ],
    );
}

#[test]
fn what_no_route_takes_goes_to_the_fallback() {
    let mut model = Model::default();
    add(&mut model, "a.example", exact("/x/"), forward("up"));
    model.fallback = Some(route("", prefix("/"), forward("other")));
    let other = format!("proxy_pass http://{}", upstream_name("other"));
    assert_eq!(
        locations(&model, "a.example")[1..],
        [format!("= /x {other}"), format!("/ {other}")]
    );
    assert_eq!(locations(&model, ""), [format!("/ {other}")]);
}

#[test]
fn an_upstream_that_is_missing_closes_its_route() {
    let mut model = Model::default();
    add(&mut model, "a.example", prefix("/"), forward("missing"));
    assert_eq!(locations(&model, "a.example"), ["/ return 503"]);
}

#[test]
fn access_comes_before_an_answer() {
    let mut model = Model::default();
    let route = add(&mut model, "a.example", prefix("/"), redirect("/to", 302));
    route.policy.access = Some(AccessList {
        deny: vec!["10.0.0.0/8".parse().expect("a network")],
        allow: Vec::new(),
    });
    let found = locations(&model, "a.example");
    assert!(
        matches!(found.as_slice(), [guard, answer]
            if guard.starts_with("/ try_files") && answer.starts_with('@') && answer.ends_with("return 302")),
        "{found:?}"
    );
}

#[test]
fn equal_splits_are_one() {
    let mut model = Model::default();
    for path in ["/a", "/b", "/c"] {
        let mut to = Forward::to(upstream_name("up"));
        to.split.shares = vec![share("other", if path == "/c" { 1 } else { 5000 })];
        add(&mut model, "a.example", prefix(path), Action::Forward(to));
    }
    let splits = folder(&rendered(&model), "splits/");
    assert_eq!(splits.matches("split_clients").count(), 2, "{splits}");
    assert!(
        splits.contains("    50.00% ") && splits.contains("    0.01% "),
        "{splits}"
    );
}

#[test]
fn rules_lead_to_the_next_and_then_to_the_shares() {
    let mut model = Model::default();
    let mut to = Forward::to(upstream_name("up"));
    to.split.rules = vec![
        header_rule("X-A", exactly("always"), "other"),
        header_rule("X-A", exactly("never"), "up"),
        header_rule("X-B", exactly("1.0"), "other"),
    ];
    to.split.shares = vec![share("other", 10_000)];
    add(&mut model, "a.example", prefix("/"), Action::Forward(to));
    let splits = syntax::read(&folder(&rendered(&model), "splits/")).expect("maps");
    let heads: Vec<String> = splits.iter().map(|d| d.words[..2].join(" ")).collect();
    assert_eq!(
        heads,
        [
            "map $http_x_b",
            "map $http_x_a",
            "split_clients $request_id"
        ]
    );
    let lines = |n: usize| -> Vec<&str> {
        let block = splits[n].block.iter().flatten();
        block.map(syntax::Directive::name).collect()
    };
    assert_eq!(lines(0), ["default", "~^1\\.0$"]);
    assert_eq!(lines(1), ["default", "~^always$", "~^never$"]);
    assert_eq!(lines(2), ["100.00%", "*"]);
}

#[test]
fn what_nginx_cannot_do_is_told_and_left_out() {
    let mut model = Model::default();
    let mut to = Forward::to(upstream_name("up"));
    to.split.rules = vec![
        header_rule("x_under", exactly("1"), "other"),
        header_rule(
            "x-named",
            ValueMatch::Regex("(?<host>.)".parse().expect("a regex")),
            "other",
        ),
        header_rule("x-other-protocol", exactly("1"), "grpc"),
    ];
    add(&mut model, "a.example", prefix("/"), Action::Forward(to));
    let grpc = Upstream {
        protocol: Protocol::Grpc,
        ..upstream(&[])
    };
    model.upstreams.insert(upstream_name("grpc"), grpc);
    add(
        &mut model,
        "b.example",
        regex("/(?P<args>.*)"),
        forward("up"),
    );
    add(
        &mut model,
        "b.example",
        regex("/(?<=/)look(?<!x)"),
        forward("up"),
    );
    add(&mut model, "c.example", prefix("/"), redirect("/x", 300));
    let findings = unsupported(&model, &Capabilities::assumed(ProxyKind::Nginx));
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    assert_eq!((findings.len(), errors.count()), (5, 1), "{findings:#?}");
    assert_eq!(
        locations(&model, "b.example")[0],
        "~* ^/(?P<args>.*) return 503"
    );
    assert_eq!(locations(&model, "c.example"), ["/ return 302"]);
    assert_eq!(folder(&rendered(&model), "splits/"), "");
}
