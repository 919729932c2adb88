use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::render::bundle::{FORMAT, Section};

fn upstream(number: u8) -> UpstreamName {
    UpstreamName::new("default", &format!("s{number}"), "80", "http")
}

fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        address: Ipv4Addr::new(10, 0, 0, number).into(),
        port: 8080,
    }
}

fn content() -> impl Strategy<Value = Content> {
    let order = prop::sample::select(vec![Order::Any, Order::First]);
    prop_oneof![
        "[a-c\n]{0,3}".prop_map(Content::Text),
        Just(Content::Pools),
        ("([ab]{1,2} [ab\u{e9}]{1,2}\n){0,5}", order)
            .prop_map(|(text, order)| Content::Table(Table { order, text })),
        "[a-b]{0,2}".prop_map(|text| Content::Private(PrivatePem::new(text))),
    ]
}

fn pool() -> impl Strategy<Value = Pool> {
    let section = prop::option::of("[ab]".prop_map(|before| Section {
        head: "head".into(),
        before,
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

fn origins() -> impl Strategy<Value = Vec<RenderedRange>> {
    let range = (1..4usize).prop_map(|first| RenderedRange {
        file: "nginx.conf".into(),
        first,
        last: first,
        origin: Origin::new(
            ObjectRef::new(Kind::Ingress, "default", "web"),
            FieldPath::default(),
        ),
    });
    prop::collection::vec(range, 0..2)
}

fn bundle() -> impl Strategy<Value = Bundle> {
    let structure = prop::collection::btree_map("[a-d]", content(), 0..4);
    let pools = prop::collection::btree_map((0..4u8).prop_map(upstream), pool(), 0..4);
    let proxy = prop::sample::select(ProxyKind::ALL.to_vec());
    let format = FORMAT..FORMAT + 2;
    (format, proxy, structure, pools, origins()).prop_map(
        |(format, proxy, structure, pools, origins)| Bundle {
            format,
            proxy,
            structure,
            pools,
            origins: origins.into(),
        },
    )
}

proptest! {
    #[test]
    fn applying_a_plan_to_the_old_bundle_gives_the_new_one(old in bundle(), new in bundle()) {
        prop_assert_eq!(apply(&old, &plan(&old, &new)), new);
    }

    #[test]
    fn equal_bundles_need_nothing(bundle in bundle()) {
        prop_assert_eq!(plan(&bundle, &bundle), Plan::default());
    }

    #[test]
    fn endpoints_of_a_refused_bundle_never_bring_its_structure(old in bundle(), new in bundle()) {
        let merged = endpoints_only(&old, &new);
        prop_assert_eq!(merged.revision(), old.revision());
        let between = plan(&old, &merged);
        prop_assert!(between.parts.is_empty() && between.certificates.is_empty());
        prop_assert!(between.tables.is_empty());
    }
}

fn small() -> Bundle {
    let text = |t: &str| Content::Text(t.into());
    Bundle {
        format: FORMAT,
        proxy: ProxyKind::Nginx,
        structure: BTreeMap::from([
            ("hosts/07.conf".into(), text("server {}")),
            (
                "certs/a.pem".into(),
                Content::Private(PrivatePem::new("one")),
            ),
        ]),
        pools: BTreeMap::from([(
            upstream(1),
            Pool {
                endpoints: vec![endpoint(1)],
                name: None,
                section: None,
            },
        )]),
        origins: Vec::new().into(),
    }
}

#[test]
fn endpoints_and_certificates_are_told_apart_from_structure() {
    let old = small();
    let mut new = old.clone();
    new.pools.get_mut(&upstream(1)).unwrap().endpoints = vec![endpoint(2)];
    let rotated = Content::Private(PrivatePem::new("two"));
    new.structure.insert("certs/a.pem".into(), rotated);
    let between = plan(&old, &new);
    assert!(between.parts.is_empty());
    assert_eq!(
        between.summary(|_| "default/api:80".into()),
        "2 endpoints of default/api:80, certs/a.pem"
    );
}

#[test]
fn a_reload_names_the_parts_that_forced_it() {
    let old = small();
    let mut new = old.clone();
    new.structure
        .insert("hosts/07.conf".into(), Content::Text(String::new()));
    new.structure.remove("certs/a.pem");
    new.structure
        .insert("x".into(), Content::Text(String::new()));
    new.pools.clear();
    assert_eq!(
        plan(&old, &new).summary(|name| name.to_string()),
        "structure of certs/a.pem is gone, structure of hosts/07.conf changed, structure of x is new and 1 more"
    );
}

#[test]
fn the_stamp_of_a_revision_is_never_a_reason() {
    let text = |t: &str| Content::Text(t.into());
    let stamped = |stamp: &str, key: &str| {
        let mut bundle = small();
        let stamp = text(stamp);
        bundle.structure.insert("conf/revision.conf".into(), stamp);
        let key = Content::Private(PrivatePem::new(key));
        bundle.structure.insert("certs/a.pem".into(), key);
        bundle
    };
    let between = plan(&stamped("1", "one"), &stamped("2", "two"));
    assert_eq!(between.reasons(|_| false).count(), 0);
    assert_eq!(between.summary(|name| name.to_string()), "certs/a.pem");
}

#[test]
fn a_table_is_compared_by_whole_lines() {
    let table = |text: &str| {
        let mut bundle = small();
        let table = Table {
            order: Order::Any,
            text: text.into(),
        };
        bundle
            .structure
            .insert("maps/a.map".into(), Content::Table(table));
        bundle
    };
    let cases = [
        ("a 1\nb 2\nc 3\n", "a 1\nb 22\nc 3\n", "b 2\n", "b 22\n"),
        ("a 1\nb 1\n", "a 1\nbb 1\nb 1\n", "", "bb 1\n"),
        ("a 1\na 11\n", "a 11\n", "a 1\n", ""),
        ("", "a 1\n", "", "a 1\n"),
    ];
    for (old, new, removed, added) in cases {
        let between = plan(&table(old), &table(new));
        let [change] = between.tables.as_slice() else {
            unreachable!("{between:?}");
        };
        assert_eq!(
            (change.removed.as_str(), change.added.as_str()),
            (removed, added)
        );
        assert_eq!(between.reasons(|_| false).count(), 0);
    }
}
