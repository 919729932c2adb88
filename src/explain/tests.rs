use std::sync::Arc;

use proptest::prelude::*;

use super::path::normalised;
use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef};
use crate::model::names::{HostName, PathRegex, RoutePath};
use crate::model::{AccessList, Action, BodyLimit, Host, PathMatch, Redirect, Refusal, Timeouts};

fn route(host: &str, path: PathMatch, number: usize) -> Route {
    let object = ObjectRef::new(Kind::Ingress, "default", "shop");
    let field = FieldPath::new("spec.rules[0].http.paths").index(number);
    Route {
        id: RouteId::new(host, path.kind(), &path.to_string()),
        path,
        action: Action::Refuse(Refusal::BackendNotFound),
        policy: Policy {
            https_redirect: None,
            hsts: None,
            timeouts: Timeouts::default(),
            body_limit: BodyLimit::default(),
            access: None,
        },
        origin: Origin::new(object, field),
    }
}

/// `=/x` is exact, `/x` a prefix, `/x*` one of characters, `~/x` an expression.
fn path(text: &str) -> PathMatch {
    let literal = |text: &str| text.parse::<RoutePath>().unwrap();
    match text.split_at(1) {
        ("=", path) => PathMatch::Exact(literal(path)),
        ("~", path) => PathMatch::Regex(PathRegex::heeding_case(path).unwrap()),
        _ => match text.strip_suffix('*') {
            Some(path) => PathMatch::PlainPrefix(literal(path)),
            None => PathMatch::Prefix(literal(text)),
        },
    }
}

fn model(hosts: &[(&str, &[&str])]) -> Model {
    let mut model = Model::default();
    for (host, paths) in hosts {
        let routes = paths.iter().enumerate();
        let host_of = Host {
            certificates: Vec::new(),
            routes: routes.map(|(at, p)| route(host, path(p), at)).collect(),
        };
        Arc::make_mut(&mut model.hosts).insert(host.parse().unwrap(), host_of);
    }
    model
}

fn asked(model: &Model, url: &str) -> Explanation {
    explain(model, &Request::get(url.parse().unwrap()))
}

fn taken(model: &Model, url: &str) -> String {
    match asked(model, url).route {
        Some(route) => format!("{} {}", route.kind, route.path),
        None => "nothing".to_owned(),
    }
}

#[test]
fn paths_are_looked_up_as_both_proxies_do() {
    for (sent, looked_up) in [
        ("/", "/"),
        ("/%61dmin", "/admin"),
        ("//admin", "/admin"),
        ("///admin//x", "/admin/x"),
        ("/./admin", "/admin"),
        ("/%2E/admin", "/admin"),
        ("/x/%2e%2E/admin", "/admin"),
        ("/x//../admin", "/admin"),
        ("/x%2F..%2Fadmin", "/admin"),
        ("/admin%2Fx", "/admin/x"),
        ("/admin/.", "/admin/"),
        ("/admin/x/..", "/admin/"),
        ("/admin/..", "/"),
        ("/%2561dmin", "/%61dmin"),
        ("/x/%252e%252e/admin", "/x/%2e%2e/admin"),
        ("/x/..;/admin", "/x/..;/admin"),
        ("/...", "/..."),
        ("/admin%3Fx", "/admin?x"),
        ("/admin/", "/admin/"),
    ] {
        let found = normalised(sent).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), looked_up, "{sent}");
    }
    for sent in [
        "/..",
        "/x/../..",
        "/%2e%2e/x",
        "/%",
        "/%6",
        "/%zz",
        "/a%00",
        "/x%2F..%2F..%2F",
    ] {
        assert!(normalised(sent).is_err(), "{sent}");
    }
}

#[test]
fn the_best_path_takes_and_the_others_say_why_not() {
    let model = model(&[("a.test", &["=/api", "/", "/api", "/api/v1", "/apis*"])]);
    for (url, route) in [
        ("http://a.test/api", "exact /api"),
        ("http://a.test/api/", "prefix /api"),
        ("http://a.test/api/v1", "prefix /api/v1"),
        ("http://a.test/api/v12", "prefix /api"),
        ("http://a.test/apis/x", "plain-prefix /apis"),
        ("http://a.test/apisx", "plain-prefix /apis"),
        ("http://a.test/ap", "prefix /"),
        ("http://A.test.:81//%61pi", "exact /api"),
    ] {
        assert_eq!(taken(&model, url), route, "{url}");
    }
    let explanation = asked(&model, "http://a.test/api/v12");
    let why: Vec<String> = explanation
        .candidates
        .iter()
        .map(|c| format!("{} {}: {}", c.kind, c.path, c.why))
        .collect();
    assert_eq!(
        why,
        [
            "exact /api: it takes that path only",
            "prefix /api/v1: it takes /api/v1 and what follows /api/v1/",
            "prefix /api: the longest prefix of the path",
            "plain-prefix /apis: the path does not begin with it",
            "prefix /: it matches too, but says less of the path",
        ]
    );
}

#[test]
fn the_first_expression_that_matches_takes_and_five_routes_are_told_at_most() {
    let model = model(&[(
        "a.test",
        &["~/item/[0-9]+", "~/item", "~/a", "~/b", "~/c", "~/d", "~/"],
    )]);
    assert_eq!(taken(&model, "http://a.test/item/1"), "regex /item/[0-9]+");
    assert_eq!(taken(&model, "http://a.test/item/x"), "regex /item");
    assert_eq!(taken(&model, "http://a.test/x"), "regex /");
    let explanation = asked(&model, "http://a.test/item/x");
    assert_eq!((explanation.candidates.len(), explanation.others), (5, 2));
    assert_eq!(explanation.candidates[0].place, Place::Apart);
    assert_eq!(explanation.candidates[1].place, Place::Taken);
}

#[test]
fn a_host_that_is_known_takes_the_request_even_without_a_path_for_it() {
    let model = model(&[("a.test", &["/api"]), ("*.test", &["/"]), ("", &["/"])]);
    assert_eq!(taken(&model, "http://a.test/x"), "nothing");
    assert_eq!(taken(&model, "http://b.test/x"), "prefix /");
    let host = asked(&model, "http://a.test/x").host;
    let states: Vec<_> = host.tried.iter().map(|tried| tried.state).collect();
    assert_eq!(
        states,
        [HostState::Taken, HostState::Behind, HostState::Behind]
    );
    let below = asked(&model, "http://a.b.test/").host;
    assert_eq!(below.taken, Some(HostMatch::Any));
    assert_eq!(
        asked(&model, "http://[::1]/").host.taken,
        Some(HostMatch::Any)
    );
}

#[test]
fn a_host_that_nothing_names_is_told_the_names_like_it() {
    let model = model(&[
        ("shop.example.com", &["/"]),
        ("*.api.test", &["/"]),
        ("other.org", &["/"]),
    ]);
    for (url, near) in [
        ("http://shpo.example.com/", "shop.example.com"),
        ("http://www.shop.example.com/", "shop.example.com"),
        ("http://a.b.api.test/", "*.api.test"),
        ("http://api.test/", "*.api.test"),
    ] {
        let nearest = asked(&model, url).host.nearest;
        assert_eq!(nearest, [near.parse::<HostMatch>().unwrap()], "{url}");
    }
    assert!(
        asked(&model, "http://quite.different/")
            .host
            .nearest
            .is_empty()
    );
}

#[test]
fn a_redirect_to_https_comes_before_all_else_and_is_followed() {
    let mut model = model(&[("a.test", &["/"])]);
    let host = HostMatch::Exact("a.test".parse::<HostName>().unwrap());
    let route = &mut Arc::make_mut(&mut model.hosts)
        .get_mut(&host)
        .unwrap()
        .routes[0];
    route.policy.https_redirect = Some(crate::model::HttpsRedirect {
        code: crate::model::names::StatusCode::PERMANENT_REDIRECT,
        strip_trailing_slash: true,
    });
    route.policy.access = Some(AccessList {
        deny: vec!["10.0.0.0/8".parse().unwrap()],
        allow: Vec::new(),
    });
    route.action = Action::Redirect(Redirect {
        location: "/moved$request_uri".parse().unwrap(),
        code: crate::model::names::StatusCode::FOUND,
    });
    let mut request = Request::get("http://a.test/x/?y=/".parse().unwrap());
    request.client = Some([10, 1, 2, 3].into());
    let explanation = explain(&model, &request);
    assert_eq!(explanation.outcome.status(), Some(308));
    assert_eq!(explanation.outcome.location(), Some("https://a.test/x/?y="));
    let then = explanation.then.unwrap();
    assert_eq!(then.outcome, Outcome::Forbidden);
    request.client = Some(std::net::Ipv6Addr::LOCALHOST.into());
    let explanation = explain(&model, &request);
    let then = explanation.then.as_ref().unwrap();
    assert_eq!(then.outcome.location(), Some("/moved/x/?y="));
    assert!(explanation.works());
    let challenge = asked(&model, "http://a.test/.well-known/acme-challenge/x");
    assert_eq!(challenge.outcome.status(), Some(302));
}

#[test]
fn urls_are_taken_apart_and_never_changed() {
    let url: Url = "HTTPS://Shop.test:8443//a%20b/é?x=/..#top".parse().unwrap();
    assert_eq!(
        url.to_string(),
        "https://Shop.test:8443//a%20b/%C3%A9?x=/.."
    );
    assert_eq!(Request::get(url).host(), "shop.test");
    assert_eq!("http://a.test?x".parse::<Url>().unwrap().target(), "/?x");
    for (raw, found) in [
        ("shop.test/x", "has no scheme; write http:// or https://"),
        (
            "ftp://shop.test/",
            "its scheme is \"ftp\"; http and https are allowed",
        ),
        ("http:///x", "it has no host"),
        ("http://a@b/", "it holds a user name"),
        ("http://a..b/", "an empty label"),
        ("http://a:0/", "its port is \"0\"; 1 to 65535 are allowed"),
        ("http://a:x/", "its port is \"x\""),
        ("http://é.test/", "xn-- form"),
        ("http://a/b c", "percent-encode it: %20"),
        ("http://a/\u{1b}[2J", "percent-encode it: %1B"),
    ] {
        let error = raw.parse::<Url>().unwrap_err().to_string();
        assert!(error.contains(found), "{raw}: {error}");
        assert!(!error.contains('\u{1b}'));
    }
    assert_eq!("X-A:  b: c ".parse::<Header>().unwrap().value, "b: c");
    for raw in ["X-A", "X A: b", ": b", "X-A: \r\nb"] {
        let error = raw.parse::<Header>();
        assert!(error.is_err() == (raw != "X-A: \r\nb"), "{raw:?}");
    }
}

/// A split with a rule by header, one by cookie, and a share.
fn split() -> crate::model::Split {
    use crate::model::names::{HeaderName, HeaderValue, UpstreamName};
    use crate::model::{Share, Split, SplitField, SplitRule, ValueMatch};
    let name = |service| UpstreamName::new("default", service, "80", "http");
    let origin = route("", path("/"), 0).origin;
    let rule = |field, service| SplitRule {
        field,
        value: ValueMatch::Exact(HeaderValue::always()),
        upstream: name(service),
        origin: origin.clone(),
    };
    Split {
        primary: name("main"),
        rules: vec![
            rule(
                SplitField::Header(HeaderName::header("X-Canary").unwrap()),
                "by-header",
            ),
            rule(
                SplitField::Cookie(HeaderName::cookie("try").unwrap()),
                "by-cookie",
            ),
        ],
        shares: vec![Share {
            upstream: name("by-share"),
            parts: 2_500,
            origin: origin.clone(),
        }],
    }
}

#[test]
fn headers_decide_before_cookies_and_cookies_before_shares() {
    let shares = "main 7500, by-share 2500";
    for (headers, ways) in [
        (
            &["X-Canary: always", "Cookie: try=always"] as &[&str],
            "by-header 10000",
        ),
        (
            &["x-canary: never", "cookie: a=b; try=always"],
            "by-cookie 10000",
        ),
        (&["x-canary: always", "x-canary: always"], shares),
        (&["cookie: try=never; try=always"], shares),
        (&["cookie: Try=always", "x-other: always"], shares),
        (&[], shares),
    ] {
        let mut request = Request::get("http://a.test/".parse().unwrap());
        request.headers = headers.iter().map(|h| h.parse().unwrap()).collect();
        let (_, found) = super::split::split(&Model::default(), &split(), &request);
        let found: Vec<String> = found
            .iter()
            .map(|way| {
                let name = way.name.as_str().split_once("-default-").unwrap().1;
                format!("{} {}", name.trim_end_matches("-80"), way.parts)
            })
            .collect();
        assert_eq!(found.join(", "), ways, "{headers:?}");
    }
}

#[test]
fn a_trusted_proxy_in_front_is_believed_about_client_and_scheme() {
    let mut listeners = crate::model::Listeners {
        proxy_protocol: false,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
    };
    let mut request = Request::get("http://a.test/".parse().unwrap());
    request.headers = [
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9",
        "X-Forwarded-Proto: HTTPS",
    ]
    .map(|header| header.parse().unwrap())
    .into();
    let mut seen = |listeners: &crate::model::Listeners, from: [u8; 4]| {
        request.client = Some(from.into());
        let client = super::client::client(listeners, &request);
        (
            client.address.unwrap().to_string(),
            client.scheme,
            client.believed,
        )
    };
    let told = ("2.2.2.2".to_owned(), Scheme::Https, true);
    assert_eq!(seen(&listeners, [10, 0, 0, 1]), told);
    let own = ("9.0.0.1".to_owned(), Scheme::Http, false);
    assert_eq!(seen(&listeners, [9, 0, 0, 1]), own);
    listeners.proxy_protocol = true;
    let named = ("10.0.0.1".to_owned(), Scheme::Http, false);
    assert_eq!(seen(&listeners, [10, 0, 0, 1]), named);
}

proptest! {
    #[test]
    fn whatever_is_asked_for_is_explained(
        host in "[a-z.*-]{0,12}|\\PC{0,8}",
        target in "(/|%2[eEfF]|%[0-9a-f]{2}|[.]{1,3}|[a-c?#%;\\\\]|\\PC){0,16}",
    ) {
        let model = model(&[("a.b", &["/", "=/a", "/a/b*"]), ("*.b", &["~/(a|.)+$", "~/"]), ("", &["/a"])]);
        let Ok(url) = format!("http://{host}/{target}").parse::<Url>() else {
            return Ok(());
        };
        prop_assert_eq!(&url.to_string().parse::<Url>().unwrap(), &url);
        let explanation = explain(&model, &Request::get(url));
        prop_assert!(!explanation.works());
        let octets = &explanation.path.octets;
        prop_assert!(explanation.path.problem.is_some() || octets.first() == Some(&b'/'));
        // What is looked up is looked up as it is.
        let encoded: String = octets.iter().map(|octet| format!("%{octet:02X}")).collect();
        if let Some(path) = encoded.strip_prefix("%2F") {
            prop_assert_eq!(&normalised(&format!("/{path}")).unwrap(), octets);
        }
    }
}
