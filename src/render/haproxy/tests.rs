use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::model::names::{
    CertificateId, HeaderName, HostMatch, PathRegex, RouteId, StatusCode, TemplatePart,
    UpstreamName,
};
use crate::model::*;
use crate::render::bundle::FileText;
use builders::*;
use fancy_regex::Regex;

mod builders;
mod hostile;
mod laws;

fn file(bundle: &Bundle, name: &str) -> String {
    match bundle.files().remove(name) {
        Some(FileText::Public(text)) => text,
        other => panic!("{name}: {other:?}"),
    }
}

/// Every line of every map, as `file: line`.
fn lines(model: &Model) -> Vec<String> {
    let bundle = rendered(model);
    let mut lines = Vec::new();
    for (name, text) in bundle.files() {
        if let (true, FileText::Public(text)) = (name.ends_with(".map"), text) {
            let short = name.trim_start_matches("maps/").trim_end_matches(".map");
            lines.extend(text.lines().map(|line| format!("{short}: {line}")));
        }
    }
    lines.retain(|line| !line.starts_with("revision"));
    lines
}

#[test]
fn routes_change_no_fixed_text() {
    let empty = rendered(&Model::default());
    let full = rendered(&one_of_each());
    assert_eq!(
        file(&empty, CONFIGURATION[0]),
        file(&full, CONFIGURATION[0])
    );
    let names = |bundle: &Bundle| -> Vec<String> {
        let public = bundle.structure.keys();
        public
            .filter(|name| !name.starts_with("certs/"))
            .cloned()
            .collect()
    };
    assert_eq!(names(&empty), names(&full));
}

/// A conversion that fails for want of room leaves a variable as it was; a raw path would then be
/// looked up and walk past a guard.
#[test]
fn a_path_that_cannot_be_encoded_is_refused() {
    let text = file(&rendered(&Model::default()), CONFIGURATION[0]);
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle}"));
    let unset = at("unset-var(txn.path)");
    let encoded = at("set-var(txn.path) path,url_dec,url_enc");
    let refused = at("return status 414");
    assert!(unset < encoded && encoded < refused && refused < at("set-pathq %[var(txn.raw)]"));
}

#[test]
fn matches_are_keys_of_one_tree() {
    let mut model = Model::default();
    for (host, path) in [
        ("a.example", exact("/x y")),
        ("a.example", prefix("/")),
        ("a.example", prefix("/x")),
        ("*.example", plain_prefix("/x")),
        ("", prefix("/any")),
    ] {
        add(&mut model, host, path, forward("up"));
    }
    let keys: Vec<String> = lines(&model)
        .iter()
        .filter_map(|line| {
            line.strip_prefix("routes: ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        keys,
        [
            "a.example/x%20y/#",
            "a.example/",
            "a.example/x/",
            "*.example/x",
            "*/any/"
        ]
    );
}

#[test]
fn ordered_hosts_keep_their_order_and_their_groups() {
    let mut model = Model::default();
    let rewritten = rewrite("up", "/new/$2");
    add(&mut model, "a.example", regex("/api (/|$)(.*)"), rewritten);
    add(&mut model, "a.example", regex("/[a b]"), forward("up"));
    let lines = lines(&model);
    let bucket = patterns::bucket_name(patterns::bucket_of("a.example"));
    let of = |name: &str| -> Vec<&str> {
        let prefix = format!("{name}: ");
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect()
    };
    assert_eq!(of("hosts"), [format!("a.example ~{bucket}:a.example")]);
    let found = of(&format!("regex-{bucket}"));
    let id = |path: &str| RouteId::new("a.example", "regex", path);
    assert_eq!(
        found,
        [
            format!(
                "^a\\x2Eexample\\|(?i:/api\\x20(/|$)(.*)) ~{}|/new/\\2",
                id("/api (/|$)(.*)")
            ),
            format!("^a\\x2Eexample\\|(?i:/[a\\x20b]) ~{}", id("/[a b]")),
        ]
    );
    assert!(of("routes").iter().all(|line| line.starts_with('~')));
}

#[test]
fn features_are_lines() {
    let mut model = Model::default();
    let mut forwarded = to("up");
    forwarded.upstream_host = Some("inner.example".parse().expect("a value"));
    forwarded.rewrite = Some("/new?x=1".parse().expect("a template"));
    let route = add(
        &mut model,
        "a.example",
        prefix("/x"),
        Action::Forward(forwarded),
    );
    route.policy.body_limit.octets = Some(5);
    route.policy.timeouts.read = std::time::Duration::from_secs(300);
    route.policy.https_redirect = Some(HttpsRedirect {
        code: StatusCode::PERMANENT_REDIRECT,
        strip_trailing_slash: true,
    });
    let id = route.id.clone();
    let up = upstream_name("up");
    assert_eq!(
        lines(&model),
        [
            format!("features: {id}/host inner.example"),
            format!("features: {id}/path /new"),
            format!("features: {id}/limit 5"),
            format!("features: {id}/read 300000"),
            "hosts: a.example a.example".into(),
            format!("routes: a.example/x/ fHWQBT|{up}|308~||{id}|shop/web|a.example/x"),
            format!("templates: ^{id}/query x=1"),
        ]
    );
}

#[test]
fn what_cannot_be_expressed_is_told() {
    let mut model = Model::default();
    add(&mut model, "a.example", regex("/(?x) a"), forward("up"));
    let origin = origin("limited");
    let route = add(&mut model, "b.example", prefix("/"), forward("up"));
    route.policy.body_limit = BodyLimit {
        octets: Some(1),
        origin: Some(origin.clone()),
    };
    route.policy.timeouts.send = std::time::Duration::from_secs(7);
    let mut split = Split::to(upstream_name("up"));
    split.rules = vec![
        rule(
            cookie("c"),
            ValueMatch::Exact("always".parse().expect("a value")),
        ),
        rule(
            header("x-canary"),
            ValueMatch::Regex("^v".parse().expect("a regex")),
        ),
    ];
    let mut forwarded = to("up");
    forwarded.split = split;
    add(
        &mut model,
        "c.example",
        prefix("/"),
        Action::Forward(forwarded),
    );
    let capabilities = Capabilities::assumed(ProxyKind::Haproxy);
    let findings = unsupported(&model, &capabilities);
    let told: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(findings.len(), 4, "{told:#?}");
    assert!(findings.iter().any(|f| f.origin == origin && !f.is_error()));
    assert!(!lines(&model).iter().any(|line| line.contains("(?x)")));
    assert!(
        !lines(&model)
            .iter()
            .any(|line| line.starts_with("split-values"))
    );
}

#[test]
fn split_rules_take_the_first_cookie_and_the_only_header() {
    let mut model = Model::default();
    let mut forwarded = to("up");
    let always = || ValueMatch::Exact("always".parse().expect("a value"));
    forwarded.split.rules = vec![
        rule(header("x-canary"), always()),
        rule(cookie("canary"), always()),
    ];
    let route = add(
        &mut model,
        "a.example",
        prefix("/"),
        Action::Forward(forwarded),
    );
    let id = route.id.clone();
    let patterns: Vec<Regex> = lines(&model)
        .iter()
        .filter_map(|line| {
            line.strip_prefix("split-rules: ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .map(|pattern| Regex::new(&pattern).expect("a pattern"))
        .collect();
    for (headers, found) in [
        ("x-canary: always\r\n", true),
        ("host: a\r\nx-canary: always\r\n", true),
        ("x-canary: always \r\n", false),
        ("x-canary: always\r\nx-canary: never\r\n", false),
        ("y-x-canary: always\r\n", false),
        ("cookie: canary=always\r\n", true),
        ("cookie: a=b; canary=always; c=d\r\nz: 1\r\n", true),
        ("cookie: xcanary=always\r\n", false),
        ("cookie: canary=alwaysnot\r\n", false),
        ("cookie: canary=never; canary=always\r\n", false),
        ("set: cookie: canary=always\r\n", false),
    ] {
        let subject = format!("{id}\r\n{headers}\r\n");
        let any = patterns
            .iter()
            .any(|p| p.is_match(&subject).expect("a verdict"));
        assert_eq!(any, found, "{headers:?}");
    }
}

#[test]
fn texts_are_filled_by_the_cheapest_means() {
    let path = regex("/(a)/(b)");
    let text = |raw: &str, path: &PathMatch| {
        let template: names::Template = raw.parse().expect("a template");
        texts::text(template.parts(), path)
    };
    use texts::Text;
    assert_eq!(text("/x", &path), Some(Text::Literal("/x".into())));
    assert_eq!(text("/$2/$9", &path), Some(Text::Groups("/\\2/".into())));
    assert_eq!(text("/$2", &prefix("/x")), Some(Text::Literal("/".into())));
    let Some(Text::Parts { pattern, value }) = text("$scheme://x.$host/$1$request_uri", &path)
    else {
        panic!("variables need a second look-up");
    };
    assert_eq!(value, "\\1://x.\\2/\\4\\3");
    let captures = Regex::new(&format!("^{pattern}")).expect("a pattern");
    let captures = captures
        .captures("\nhttps\na.example\n/a/b?q\n/a/b")
        .expect("a verdict")
        .expect("a match");
    let groups: Vec<&str> = (1..=4)
        .map(|n| captures.get(n).map_or("", |m| m.as_str()))
        .collect();
    assert_eq!(groups, ["https", "a.example", "/a/b?q", "a"]);
    assert_eq!(text("$host/$1", &regex("/(a)\\1")), None);
}

#[test]
fn the_query_suffix_is_empty_without_a_query() {
    let parts = [
        TemplatePart::Literal("/z".into()),
        TemplatePart::QuerySuffix,
    ];
    let Some(texts::Text::Parts { pattern, .. }) = texts::text(&parts, &prefix("/")) else {
        panic!("a second look-up");
    };
    let regex = Regex::new(&format!("^{pattern}")).expect("a pattern");
    for (uri, suffix) in [("/a", ""), ("/a?", ""), ("/a?b=c?d", "?b=c?d")] {
        let subject = format!("\nhttp\nh\n{uri}\n/a");
        let captures = regex
            .captures(&subject)
            .expect("a verdict")
            .expect("a match");
        assert_eq!(captures.get(1).map_or("", |m| m.as_str()), suffix, "{uri}");
    }
}

#[test]
fn the_revision_answered_follows_the_structure_only() {
    let mut model = one_of_each();
    let before = rendered(&model);
    for upstream in model.upstreams.values_mut() {
        if let Endpoints::Addresses(addresses) = &mut upstream.endpoints {
            addresses.clear();
        }
    }
    assert_eq!(revision_shown(&before), revision_shown(&rendered(&model)));
    add(&mut model, "new.example", prefix("/"), forward("up"));
    let after = rendered(&model);
    assert!(revision_shown(&after).is_some());
    assert_ne!(revision_shown(&before), revision_shown(&after));
}

#[test]
fn origins_lead_to_their_lines() {
    let model = one_of_each();
    let mut bundle = rendered(&model);
    bundle
        .pools
        .values_mut()
        .for_each(|pool| pool.endpoints.clear());
    let files = bundle.files();
    for range in bundle.origins.iter() {
        let Some(FileText::Public(text)) = files.get(range.file.as_str()) else {
            panic!("{range:?}");
        };
        assert!(range.first >= 1 && range.first <= range.last, "{range:?}");
        assert!(range.last <= text.lines().count(), "{range:?}");
    }
    for (name, text) in &files {
        let counted = [
            "maps/routes.map",
            "maps/features.map",
            "upstreams.cfg",
            "certs.list",
            "defaults.list",
        ];
        if let (true, FileText::Public(text)) = (counted.contains(name), text) {
            let covered: usize = bundle
                .origins
                .iter()
                .filter(|range| range.file == *name)
                .map(|range| range.last - range.first + 1)
                .sum();
            assert_eq!(covered, text.lines().count(), "{name}");
        }
    }
}

/// The binary that `scripts/proxies.sh` puts there; tests that need it pass without it.
fn binary() -> Option<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(home.join("vigie/proxies/haproxy-3.4/haproxy")).filter(|path| path.exists())
}

/// What the real proxy says of a bundle.
#[expect(clippy::disallowed_methods, reason = "a test may use the disk")]
fn checked(bundle: &Bundle) -> Option<Result<(), String>> {
    let binary = binary()?;
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in bundle.files() {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text.as_bytes()).expect("a file");
    }
    let mut command = Command::new(binary);
    command.arg("-c").current_dir(directory.path());
    CONFIGURATION.iter().for_each(|name| {
        command.args(["-f", name]);
    });
    let output = command.output().expect("a run");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(match output.status.success() {
        true => Ok(()),
        false => Err(words),
    })
}

#[test]
fn the_real_proxy_takes_one_of_each() {
    for model in [
        Model::default(),
        one_of_each(),
        trusting(false),
        trusting(true),
    ] {
        assert_eq!(checked(&rendered(&model)).unwrap_or(Ok(())), Ok(()));
    }
}

#[test]
fn the_escaper_fails_closed() {
    use askama::filters::Escaper;
    for bad in [
        "a b", "a\n", "a\"", "a'", "a#", "a\\", "${X}", "é", "a;b", "%[x]", "a|b",
    ] {
        let mut text = String::new();
        assert!(
            escape::Cfg.write_escaped_str(&mut text, bad).is_err(),
            "{bad:?}"
        );
        assert_eq!(text, "");
    }
}

/// The default certificate takes every name; a host's own stands under its name.
#[test]
fn certificates_follow_the_hosts_list() {
    let mut model = one_of_each();
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let own = certify(&mut model, "a.example", "own", &pem);
    let wild = certify(&mut model, "*.example", "wild", &pem);
    let bundle = rendered(&model);
    assert!(file(&bundle, CONFIGURATION[0]).contains(" strict-sni "));
    assert_eq!(
        file(&bundle, "certs.list"),
        format!("certs/{own}.pem a.example\ncerts/{wild}.pem *.example\n")
    );
    assert_eq!(checked(&bundle).unwrap_or(Ok(())), Ok(()));
    let default = certify(&mut model, "none.example", "default", &pem);
    model.default_certificate = Some(default.clone());
    let bundle = rendered(&model);
    assert!(!file(&bundle, CONFIGURATION[0]).contains("strict-sni"));
    assert_eq!(
        file(&bundle, "defaults.list"),
        format!("certs/{default}.pem *\n")
    );
    assert!(!format!("{bundle:?}").contains("PRIVATE KEY"));
    assert_eq!(checked(&bundle).unwrap_or(Ok(())), Ok(()));
}
