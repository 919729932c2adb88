mod formats;
mod hostile;
mod refused;
mod steady;

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::model::Endpoint;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::model::names::UpstreamName;
use crate::render::bundle::{
    Content, FORMAT, FileName, FileText, Order, Pool, ProxyKind, RenderedRange, Section, Table,
};

pub fn installation() -> Installation {
    "main".parse().unwrap()
}

pub fn published(bundle: &Bundle) -> Publication {
    encode(bundle, &installation(), &BTreeMap::new())
}

pub fn upstream(number: usize) -> UpstreamName {
    UpstreamName::new("default", &format!("s{number}"), "80", "http")
}

pub fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        address: Ipv4Addr::new(10, 0, 0, number).into(),
        port: 8080,
    }
}

/// Lines of a table of so many hosts.
pub fn lines(count: usize) -> String {
    let line = |n| format!("host-{n:05}.example.com/ p|upstream-{n}|-|-|{}\n", n * 7919);
    (0..count).map(line).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c\u{e9}\n]{0,6}",
        2 => (0..1500usize).prop_map(lines),
        1 => (0..90_000usize).prop_map(|count| format!("a\n{}b", "\u{20ac}".repeat(count))),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let order = prop::sample::select(vec![Order::Any, Order::First]);
    prop_oneof![
        text().prop_map(Content::Text),
        (text(), order).prop_map(|(text, order)| Content::Table(Table { order, text })),
        text().prop_map(|text| Content::Private(PrivatePem::new(text))),
    ]
}

fn pool() -> impl Strategy<Value = Pool> {
    let section = prop::option::of("[ab\n]{0,3}".prop_map(|head| Section {
        head,
        before: "  server ".into(),
        after: String::new(),
    }));
    let name = prop::option::of(Just(("db.example.com".parse().unwrap(), 80)));
    (prop::collection::btree_set(0..5u8, 0..4), name, section).prop_map(
        |(numbers, name, section)| Pool {
            endpoints: numbers.into_iter().map(endpoint).collect(),
            name,
            section,
        },
    )
}

fn range(file: &str, lines: usize, at: (usize, usize, usize)) -> RenderedRange {
    let (first, length, number) = at;
    let first = first % lines + 1;
    let object = ObjectRef::new(Kind::Ingress, "shop", &format!("web-{number}\"\u{e9}"));
    RenderedRange {
        file: file.to_owned(),
        first,
        last: (first + length % 30).min(lines),
        origin: Origin::new(object, FieldPath::new(format!("spec.rules[{number}]"))),
    }
}

/// Lines of each file while every pool is empty; none where it is empty.
fn line_counts(bundle: &Bundle) -> Vec<(FileName, usize)> {
    let mut empty = bundle.clone();
    let pools = empty.pools.values_mut();
    pools.for_each(|pool| pool.endpoints.clear());
    let files = empty.files();
    let count = |text: &FileText| String::from_utf8_lossy(text.as_bytes()).lines().count();
    let counts = files
        .iter()
        .map(|(name, text)| (name.to_string(), count(text)));
    counts.filter(|(_, lines)| *lines > 0).collect()
}

/// Every bundle that a renderer may make, and more.
pub fn bundle() -> impl Strategy<Value = Bundle> {
    let structure = prop::collection::btree_map("[a-c]/[a-c]{1,2}\\.map", content(), 0..5);
    let pools = prop::collection::btree_map((0..400usize).prop_map(upstream), pool(), 0..40);
    let proxy = prop::sample::select(ProxyKind::ALL.to_vec());
    let places = prop::collection::vec((0..9usize, (0..2000usize, 0..60usize, 0..9usize)), 0..60);
    (
        FORMAT..FORMAT + 2,
        proxy,
        structure,
        pools,
        any::<bool>(),
        places,
    )
        .prop_map(|(format, proxy, mut structure, pools, sections, places)| {
            if sections {
                structure.insert("upstreams.cfg".into(), Content::Pools);
            }
            let mut bundle = Bundle {
                format,
                proxy,
                structure,
                pools,
                origins: Vec::new().into(),
            };
            let counts = line_counts(&bundle);
            let range = |(file, at): (usize, _)| {
                let (file, lines) = counts.get(file % counts.len().max(1))?;
                Some(range(file, *lines, at))
            };
            let mut origins: Vec<_> = places.into_iter().filter_map(range).collect();
            origins.sort();
            bundle.origins = origins.into();
            bundle
        })
}

/// A bundle with all kinds of content, each file in several shards.
pub fn full() -> Bundle {
    let text = |t: &str| Content::Text(t.into());
    let table = |order| {
        Content::Table(Table {
            order,
            text: lines(1500),
        })
    };
    let pool = |number: usize| Pool {
        endpoints: vec![endpoint(number as u8)],
        name: (number == 3).then(|| ("db.example.com".parse().unwrap(), 80)),
        section: Some(Section {
            head: format!("backend {} from vigie-upstream", upstream(number)),
            before: "  server ".into(),
            after: String::new(),
        }),
    };
    let pem = "-----BEGIN PRIVATE KEY-----\n".repeat(10_000);
    Bundle {
        format: FORMAT,
        proxy: ProxyKind::Haproxy,
        structure: BTreeMap::from([
            ("certs/a.pem".into(), Content::Private(PrivatePem::new(pem))),
            ("haproxy.cfg".into(), text("global\n")),
            ("maps/regex.map".into(), table(Order::First)),
            ("maps/routes.map".into(), table(Order::Any)),
            ("upstreams.cfg".into(), Content::Pools),
        ]),
        pools: (0..500).map(|n| (upstream(n), pool(n))).collect(),
        origins: (0..1500)
            .map(|n| range("maps/routes.map", 1500, (n, 0, n)))
            .chain((0..500).map(|n| range("upstreams.cfg", 500, (n, 0, n))))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bundle_comes_back_as_it_was(bundle in bundle()) {
        let publication = published(&bundle);
        let back = decode(&publication);
        prop_assert!(back.as_ref() == Ok(&bundle), "{:?}", back.err());
        prop_assert_eq!(published(&bundle), publication);
    }

    #[test]
    fn objects_are_such_as_the_api_takes(bundle in bundle()) {
        let publication = published(&bundle);
        let plain = publication.shards.values().map(|shard| match shard {
            Shard::Plain(data) => data.keys().collect::<Vec<_>>(),
            Shard::Private(data) => data.keys().collect(),
        });
        for key in plain.flatten() {
            let taken = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            prop_assert!(key.len() <= 253 && key.chars().all(taken), "{key}");
        }
        for (name, shard) in &publication.shards {
            prop_assert!(name.len() <= 253 && name.starts_with("main-"), "{name}");
            prop_assert!(shard.bytes() <= Limit::Shard.bytes(), "{name}: {}", shard.bytes());
        }
    }
}

#[test]
fn a_large_bundle_comes_back_from_many_shards() {
    let bundle = full();
    let publication = published(&bundle);
    assert_eq!(decode(&publication), Ok(bundle));
    let (plain, private): (Vec<&Shard>, Vec<_>) = publication
        .shards
        .values()
        .partition(|shard| matches!(shard, Shard::Plain(_)));
    assert!(plain.len() > 10, "{}", plain.len());
    assert!(private.len() > 1, "{}", private.len());
}

#[test]
fn private_files_are_read_without_any_config_map() {
    let bundle = full();
    let files = bundle.structure.iter();
    let private = files.filter_map(|(name, content)| match content {
        Content::Private(pem) => Some((name.clone(), pem.clone())),
        _ => None,
    });
    let private: BTreeMap<FileName, PrivatePem> = private.collect();
    let mut publication = published(&bundle);
    publication
        .shards
        .retain(|_, shard| shard.kind() == "Secret");
    publication.endpoints.clear();
    assert!(publication.shards.len() > 1);
    assert!(private_files(&publication).unwrap() == private);
    publication.shards.pop_first();
    assert!(matches!(
        private_files(&publication),
        Err(WireError::Missing { .. })
    ));
}

#[test]
fn private_content_is_in_secrets_only_and_in_no_debug_output() {
    let publication = published(&full());
    assert!(!format!("{publication:?}").contains("PRIVATE KEY"));
    for shard in publication.shards.values() {
        let Shard::Private(data) = shard else {
            continue;
        };
        assert!(
            data.values()
                .any(|text| text.reveal().contains("PRIVATE KEY"))
        );
        return;
    }
    panic!("no Secret");
}

#[test]
fn names_of_installations_are_labels_with_room_for_more() {
    for good in ["a", "main", "team-1", &"x".repeat(53)] {
        assert!(good.parse::<Installation>().is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a b", "\u{e9}", &"x".repeat(54)] {
        assert!(bad.parse::<Installation>().is_err(), "{bad}");
    }
}

#[test]
fn sizes_name_the_fullest_object_of_each_limit() {
    let publication = published(&full());
    let sizes = sizes(&publication);
    let index = bytes(&publication.index);
    let fill = |limit| sizes.fills.iter().find(|fill| fill.limit == limit).unwrap();
    assert_eq!(
        (fill(Limit::Index).object.as_str(), fill(Limit::Index).bytes),
        ("main-haproxy", index)
    );
    let shard = fill(Limit::Shard);
    assert_eq!(publication.shards[&shard.object].bytes(), shard.bytes);
    assert!(
        publication
            .shards
            .values()
            .all(|other| other.bytes() <= shard.bytes)
    );
    assert!(!sizes.fills.iter().any(Fill::is_near), "{sizes:?}");
    let full = Fill {
        bytes: 900 << 10,
        ..fill(Limit::Index).clone()
    };
    assert_eq!((full.percent(), full.is_near()), (87, true));
}
