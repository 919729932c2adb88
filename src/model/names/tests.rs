use super::*;

fn path(raw: &str) -> Result<RoutePath, NameError> {
    raw.parse()
}

#[test]
fn paths_have_one_spelling() {
    for (raw, decoded, encoded) in [
        ("/", "/", "/"),
        ("/a%20b", "/a b", "/a%20b"),
        ("/a b", "/a b", "/a%20b"),
        ("/%7Euser", "/~user", "/~user"),
        ("/@me;v=1", "/@me;v=1", "/%40me%3Bv%3D1"),
        ("/é", "/é", "/%C3%A9"),
    ] {
        let path = path(raw).expect("a path");
        assert_eq!(
            (path.as_str(), path.encoded().as_str()),
            (decoded, encoded),
            "{raw}"
        );
    }
}

#[test]
fn paths_that_normalisation_changes_are_refused() {
    for raw in [
        "",
        "a",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/..",
        "/%2e%2e/a",
        "/%",
        "/%zz",
        "/a\nb",
        "/%00",
        "/%ff",
    ] {
        assert!(path(raw).is_err(), "{raw:?}");
    }
}

#[test]
fn hosts_follow_rfc_1123() {
    for raw in ["a", "shop.example.com", "xn--bcher-kva.example", "1.2.3.4"] {
        assert!(raw.parse::<HostName>().is_ok(), "{raw}");
    }
    for raw in [
        "",
        "Shop.example.com",
        "a..b",
        ".a",
        "a.",
        "-a.b",
        "a-.b",
        "a b",
        "a/b",
        "a\"b",
        "*.a",
        "a:80",
    ] {
        assert!(raw.parse::<HostName>().is_err(), "{raw:?}");
    }
    assert_eq!(
        "*.a.b".parse::<HostMatch>().expect("wildcard").to_string(),
        "*.a.b"
    );
    assert_eq!("".parse::<HostMatch>().expect("any"), HostMatch::Any);
    assert!("*.*.b".parse::<HostMatch>().is_err());
}

#[test]
fn templates_know_their_variables_only() {
    let template: Template = "/a/$2?x=${1}".parse().expect("a template");
    assert_eq!(template.highest_group(), 2);
    assert_eq!(template.to_string(), "/a/$2?x=$1");
    assert!(
        "https://example.com$request_uri"
            .parse::<Template>()
            .expect("a template")
            .is_url()
    );
    for raw in [
        "",
        "/$x",
        "/$0",
        "/${1",
        "/a b",
        "/a\"",
        "/a\\",
        "/$",
        "/$http_cookie",
        "/\u{7f}",
        "/é",
    ] {
        assert!(raw.parse::<Template>().is_err(), "{raw:?}");
    }
}

#[test]
fn regexes_count_their_groups() {
    let regex = PathRegex::ignoring_case("/stdelval(/|$)(.*)").expect("a regex");
    assert_eq!(regex.groups(), 2);
    assert_eq!(regex.is_match("/STDELVAL/x"), Some(true));
    assert_eq!(regex.is_match("/other"), Some(false));
    for raw in ["", "foo", "/(", "/[a", "/a\n", "/*("] {
        assert!(PathRegex::ignoring_case(raw).is_err(), "{raw:?}");
    }
}

#[test]
fn every_alternative_of_a_regex_is_anchored() {
    let anchored = |raw| PathRegex::heeding_case(raw).map(|regex| regex.anchored());
    for (raw, expected) in [
        ("/a(/|$)(.*)", "^/a(/|$)(.*)"),
        ("/a[|]b", "^/a[|]b"),
        ("/a\\|b", "^/a\\|b"),
        ("/a|/b", "^(?:/a|/b)"),
        ("(/a)|/b", "^(?:(/a)|/b)"),
    ] {
        assert_eq!(anchored(raw).expect("a regex"), expected);
    }
    let regex = PathRegex::heeding_case("/a|/b").expect("a regex");
    assert_eq!(regex.is_match("/x/b"), Some(false));
    assert!(PathRegex::heeding_case("/a)|(/b").is_err());
}

#[test]
fn upstream_names_are_labels_and_differ() {
    let long = "x".repeat(63);
    let a = UpstreamName::new(&long, &long, "80", "http");
    let b = UpstreamName::new(&long, &long, "81", "http");
    assert!(a.as_str().len() <= 63 && a != b);
}

#[test]
fn shown_values_are_short_and_visible() {
    assert_eq!(shown("a\nb"), "\"a\\nb\"");
    assert!(shown(&"x".repeat(1000)).chars().count() < 100);
}
