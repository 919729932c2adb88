//! Objects that hold anything at all: an error or a bundle, never a panic.

use super::index::{Entry, Index};
use super::*;

/// A value that may stand anywhere, half of the time one that means something here.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::collection::vec(any::<u8>(), 0..60)
            .prop_map(|octets| String::from_utf8_lossy(&octets).into_owned()),
        prop::sample::select(vec![
            "1",
            "18446744073709551615",
            "haproxy",
            "ConfigMap a 1\nSecret b 2",
            "{}",
            "[]",
            r#"{"file":"../../etc/passwd","content":"text","key":"x"}"#,
            r#"{"file":"/etc/passwd","content":"text","key":"x"}"#,
            r#"{"file":"a","content":"private","key":"x"}"#,
            r#"{"file":"a","content":"pools","key":"x","origins":[{"line":18446744073709551615,"lines":18446744073709551615,"kind":"Ingress","namespace":"","name":"","field":""}]}"#,
            r#"{"upstream":"a","section":{"head":"","before":"","after":""},"origins":[{"line":0,"lines":0,"kind":"Ingress","namespace":"","name":"","field":""}]}"#,
            r#"{"upstream":"a;b"}"#,
            r#"{"upstream":"a","external":{"name":"a b","port":1}}"#,
            "a 10.0.0.1:80 [::1]:1",
            "a 10.0.0.1",
        ])
        .prop_map(str::to_owned),
    ]
}

fn data() -> impl Strategy<Value = Plain> {
    let keys = [
        "format",
        "oldest-reader",
        "proxy",
        "revision",
        "shards",
        "endpoints",
        "files",
        "pools",
        "x",
        "digest",
        "sequence",
    ];
    let key = prop::sample::select(keys.to_vec()).prop_map(str::to_owned);
    prop::collection::btree_map(key, value(), 0..8)
}

/// An index that names these objects as if they were published.
fn signed(shards: Vec<Shard>, endpoints: Vec<Plain>) -> Publication {
    let named = |shard: Shard| {
        (
            installation().shard(ProxyKind::Haproxy, &shard.digest()),
            shard,
        )
    };
    let shards: BTreeMap<String, Shard> = shards.into_iter().map(named).collect();
    let named = |(number, mut data): (usize, Plain)| {
        data.remove("digest");
        let pairs = data.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let digest = digest(pairs);
        data.insert("digest".into(), digest);
        (format!("e{number}"), data)
    };
    let endpoints: BTreeMap<String, Plain> = endpoints.into_iter().enumerate().map(named).collect();
    let entry = |(name, shard): (&String, &Shard)| Entry {
        kind: shard.kind().to_owned(),
        name: name.clone(),
        bytes: shard.bytes(),
    };
    let index = Index {
        format: FORMAT,
        proxy: ProxyKind::Haproxy,
        revision: "000000000000".into(),
        shards: shards.iter().map(entry).collect(),
        endpoints: endpoints.keys().cloned().collect(),
    };
    let name = "main-haproxy".to_owned();
    Publication {
        name,
        index: index.write(),
        shards,
        endpoints,
    }
}

fn shard() -> impl Strategy<Value = Shard> {
    let hidden = |data: Plain| {
        data.into_iter()
            .map(|(k, v)| (k, PrivatePem::new(v)))
            .collect()
    };
    prop_oneof![
        3 => data().prop_map(Shard::Plain),
        1 => data().prop_map(move |data| Shard::Private(hidden(data))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_objects_never_panic(index in data(), shard in shard(), endpoints in data()) {
        let publication = Publication {
            name: "main-haproxy".into(),
            index,
            shards: BTreeMap::from([("a".into(), shard)]),
            endpoints: BTreeMap::from([("b".into(), endpoints)]),
        };
        let _ = decode(&publication);
        let _ = sizes(&publication);
    }

    #[test]
    fn arbitrary_content_under_a_right_digest_never_panics(
        shards in prop::collection::vec(shard(), 0..4),
        endpoints in prop::collection::vec(data(), 0..3),
    ) {
        if let Ok(bundle) = decode(&signed(shards, endpoints.clone())) {
            prop_assert!(bundle.structure.keys().all(|name| !name.contains("..")));
        }
        for data in endpoints {
            let _ = read_endpoints("e", &data);
        }
    }

    #[test]
    fn any_edit_of_a_value_gives_the_same_bundle_or_an_error(
        bundle in bundle(), object in 0..20usize, key in 0..6usize, value in value(),
    ) {
        let mut publication = published(&bundle);
        let mut all: Vec<&mut Plain> = vec![&mut publication.index];
        all.extend(publication.endpoints.values_mut());
        all.extend(publication.shards.values_mut().filter_map(|shard| match shard {
            Shard::Plain(data) => Some(data),
            Shard::Private(_) => None,
        }));
        let count = all.len();
        let data = &mut all[object % count];
        let keys: Vec<String> = data.keys().cloned().collect();
        data.insert(keys[key % keys.len()].clone(), value);
        if let Ok(back) = decode(&publication) {
            prop_assert_eq!(Bundle { format: bundle.format, ..back }, bundle);
        }
    }
}

#[test]
fn an_error_never_holds_what_a_secret_holds() {
    let text = "{\"file\": \"-----BEGIN PRIVATE KEY-----\", 1}";
    let data = BTreeMap::from([("files".to_owned(), PrivatePem::new(text))]);
    let error = decode(&signed(vec![Shard::Private(data)], Vec::new())).unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("PRIVATE KEY"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("has a line 1 that is no part of a bundle"),
        "{error}"
    );
}

#[test]
fn a_path_that_leaves_the_directory_is_refused() {
    for path in [
        "../a",
        "/a",
        "a/../b",
        "a//b",
        "a/.",
        "",
        "a\nb",
        "run/\u{0}",
    ] {
        let line = serde_json::json!({"file": path, "content": "text", "key": "x"});
        let data = Plain::from([
            ("files".to_owned(), line.to_string()),
            ("x".to_owned(), String::new()),
        ]);
        let words = decode(&signed(vec![Shard::Plain(data)], Vec::new()))
            .unwrap_err()
            .to_string();
        assert!(
            words.contains("a path below the bundle's directory"),
            "{path}: {words}"
        );
    }
}
