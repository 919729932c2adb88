//! What holds for every bundle.

use std::net::IpAddr;

use super::builders::*;
use super::*;
use crate::render::bundle::RenderedRange;

fn one_upstream(pool: Upstream) -> Model {
    let mut model = Model::default();
    add(&mut model, "a.example", prefix("/"), forward("up"));
    model.upstreams.insert(upstream_name("up"), pool);
    model
}

fn zone_of(model: &Model) -> Vec<(String, Vec<String>)> {
    let zone = dns_zone(&rendered(model)).into_iter();
    zone.filter(|(name, _)| name.contains("-up-"))
        .map(|(name, answer)| {
            let port = name.split('.').nth(1).unwrap_or_default().to_owned();
            (port, answer.iter().map(IpAddr::to_string).collect())
        })
        .collect()
}

#[test]
fn equal_models_give_equal_bytes() {
    assert_eq!(rendered(&one_of_each()), rendered(&one_of_each()));
}

#[test]
fn endpoints_of_a_known_port_are_no_structure() {
    let with = |endpoints: &[&str]| rendered(&one_upstream(upstream(endpoints)));
    let one = with(&["10.0.0.1:8080"]);
    let more = with(&["10.0.0.1:8080", "10.0.0.2:8080"]);
    // The Service's word for the port holds while there is no endpoint.
    let none = with(&[]);
    assert_eq!(one.revision(), more.revision());
    assert_eq!(one.revision(), none.revision());
    assert_eq!(one.structure, none.structure);
    assert_ne!(one.endpoints_digest(), more.endpoints_digest());
    assert_ne!(one.revision(), with(&["10.0.0.1:9090"]).revision());
}

#[test]
fn names_are_answered_by_port_and_never_with_nothing() {
    let answers = |endpoints: &[&str]| zone_of(&one_upstream(upstream(endpoints)));
    let expected = |pairs: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        let own = |(port, addresses): &(&str, &[&str])| {
            let addresses = addresses.iter().map(|a| (*a).to_owned()).collect();
            ((*port).to_owned(), addresses)
        };
        pairs.iter().map(own).collect()
    };
    assert_eq!(
        answers(&["10.0.0.1:8080", "10.0.0.2:9090", "10.0.0.3:8080"]),
        expected(&[
            ("p8080", &["10.0.0.1", "10.0.0.3"]),
            ("p9090", &["10.0.0.2"])
        ])
    );
    assert_eq!(
        answers(&[]),
        expected(&[("p8080", &["224.0.0.1", "ff0e::1"])])
    );
    // IPv4 where both exist; IPv6 where nothing else does.
    assert_eq!(
        answers(&["10.0.0.1:8080", "[fd00::1]:8080"]),
        expected(&[("p8080", &["10.0.0.1"])])
    );
    assert_eq!(
        answers(&["[fd00::1]:8080"]),
        expected(&[("p8080", &["fd00::1"])])
    );
}

#[test]
fn a_name_that_lost_its_last_endpoint_of_a_port_fails_at_once() {
    let mut bundle = rendered(&one_upstream(upstream(&["10.0.0.1:8080", "10.0.0.2:9090"])));
    let pool = bundle.pools.get_mut(&upstream_name("up")).expect("a pool");
    pool.endpoints.pop();
    let zone = dns_zone(&bundle);
    let gone = zone.iter().find(|(name, _)| name.contains("-up-80.p9090"));
    assert_eq!(
        gone.map(|(_, answer)| answer.as_slice()),
        Some(&NO_ENDPOINT[..])
    );
}

#[test]
fn the_zone_holds_twice_the_endpoints_and_seldom_changes() {
    let zone = |count: u32| {
        let address = |n: u32| format!("10.{}.{}.{}:80", n >> 16, (n >> 8) & 255, n & 255);
        let all: Vec<String> = (0..count).map(address).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let text = folder(&rendered(&one_upstream(upstream(&all))), "nginx.conf");
        let (_, rest) = text.split_once("zone upstreams ").expect("a zone");
        let megabytes = rest.split_once("m;").expect("megabytes").0;
        megabytes.parse::<u32>().expect("a number")
    };
    assert_eq!([zone(0), zone(1), zone(8000)], [16, 16, 16]);
    assert_eq!([zone(9000), zone(16_000)], [32, 32]);
    // nginx takes 0.8 KB for each.
    assert!(zone(60_000) * 1024 >= 60_000 * 2 * 8 / 10);
}

#[test]
fn the_answer_is_the_digest_of_all_else() {
    let bundle = rendered(&one_of_each());
    let answer = revision_answer(&bundle).to_owned();
    assert_eq!(answer.len(), 12);
    let mut other = bundle.clone();
    let file = other.structure.get_mut("conf/log.conf").expect("a file");
    *file = Content::Text(String::new());
    assert_eq!(revision_answer(&other), answer);
    stamp(&mut other);
    assert_ne!(revision_answer(&other), answer);
    let mut again = bundle.clone();
    stamp(&mut again);
    assert_eq!(again, bundle);
}

#[test]
fn a_new_host_changes_its_own_file_and_the_list_of_files_only() {
    let mut model = one_of_each();
    let before = texts(&rendered(&model));
    add(&mut model, "zz.example", prefix("/"), forward("up"));
    let after = texts(&rendered(&model));
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, text)| before.get(*name) != Some(*text))
        .map(|(name, _)| name)
        .collect();
    assert!(
        matches!(changed.as_slice(), [revision, host, list]
            if *revision == "conf/revision.conf" && host.starts_with("hosts/") && *list == "nginx.conf"),
        "{changed:?}"
    );
}

#[test]
fn every_file_is_named_and_every_name_is_a_file() {
    let texts = texts(&rendered(&one_of_each()));
    let main = texts.get("nginx.conf").expect("the main file");
    let mut named: Vec<&str> = main
        .lines()
        .filter_map(|line| line.trim().strip_prefix("include ")?.strip_suffix(';'))
        .collect();
    named.sort();
    let files: Vec<&str> = texts
        .keys()
        .map(String::as_str)
        .filter(|n| *n != "nginx.conf")
        .collect();
    assert_eq!(named, files);
}

/// A loader takes whole ranges out, so each is a number of whole blocks.
#[test]
fn ranges_are_whole_blocks_and_cover_every_server_and_upstream() {
    let bundle = rendered(&one_of_each());
    let texts = texts(&bundle);
    for range in bundle.origins.iter() {
        let lines: Vec<&str> = texts[&range.file].lines().collect();
        let block = lines[range.first - 1..range.last].join("\n");
        assert!(
            syntax::read(&block).is_ok_and(|d| !d.is_empty()),
            "{range:?}\n{block}"
        );
    }
    for (file, text) in &texts {
        for (number, line) in text.lines().enumerate() {
            let covers = |range: &&RenderedRange| {
                range.file == *file && range.first <= number + 1 && number < range.last
            };
            if line.starts_with("upstream ") || line.contains("_pass ") {
                let known = line.contains("upstream vigie ") || line.contains("_pass_header");
                assert!(
                    known || bundle.origins.iter().any(|r| covers(&r)),
                    "{file}: {line}"
                );
            }
        }
    }
}
