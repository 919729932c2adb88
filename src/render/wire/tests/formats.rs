//! One format older and one newer.

use std::fmt::Write as _;

use super::*;

/// Every object as `kubectl get -o yaml` shows its data.
fn shown(publication: &Publication) -> String {
    let mut text = String::new();
    let mut print = |kind: &str, name: &str, data: &Plain| {
        let _ = writeln!(text, "{kind} {name}");
        for (key, value) in data {
            let _ = match value.strip_suffix('\n') {
                None => writeln!(text, "  {key}: {value:?}"),
                Some(value) => writeln!(text, "  {key}: |\n    {}", value.replace('\n', "\n    ")),
            };
        }
    };
    print("ConfigMap", &publication.name, &publication.index);
    for (name, shard) in &publication.shards {
        let revealed = |(key, pem): (&String, &PrivatePem)| (key.clone(), pem.reveal().to_owned());
        match shard {
            Shard::Plain(data) => print("ConfigMap", name, data),
            Shard::Private(data) => print("Secret", name, &data.iter().map(revealed).collect()),
        }
    }
    for (name, data) in &publication.endpoints {
        print("ConfigMap", name, data);
    }
    text
}

#[test]
fn a_reader_with_kubectl_sees_this() {
    let mut bundle = full();
    bundle.structure.remove("maps/regex.map");
    let pem = Content::Private(PrivatePem::new("a chain and a key\n"));
    bundle.structure.insert("certs/a.pem".into(), pem);
    let (order, text) = (Order::Any, lines(2));
    let table = Content::Table(Table { order, text });
    bundle.structure.insert("maps/routes.map".into(), table);
    bundle.pools.retain(|name, _| *name == upstream(3));
    let shown = shown(&published(&Bundle {
        origins: bundle.origins[..1].into(),
        ..bundle
    }));
    assert_eq!(shown, KUBECTL, "\n{shown}");
}

const KUBECTL: &str = include_str!("kubectl.txt");

/// What a newer version might have written: more keys, fields, words and kinds of object.
fn newer(bundle: &Bundle) -> Publication {
    let mut publication = published(bundle);
    let mut renamed = BTreeMap::new();
    let mut lines = publication.index["shards"].clone();
    for (name, shard) in std::mem::take(&mut publication.shards) {
        let Shard::Plain(mut data) = shard else {
            renamed.insert(name, shard);
            continue;
        };
        let line = format!("ConfigMap {name} {}", bytes(&data));
        for key in ["files", "pools"] {
            if let Some(text) = data.get_mut(key) {
                *text = text.replace("{\"", "{\"new\":[1,{}],\"");
            }
        }
        data.insert("new".into(), "?".into());
        let shard = Shard::Plain(data);
        let name = installation().shard(bundle.proxy, &shard.digest());
        lines = lines.replace(&line, &format!("ConfigMap {name} {} new", shard.bytes()));
        renamed.insert(name, shard);
    }
    publication.shards = renamed;
    publication.index.insert("shards".into(), lines);
    publication.index.insert("new".into(), "?".into());
    publication
}

#[test]
fn what_a_newer_version_only_adds_is_passed_over() {
    let bundle = Bundle {
        format: FORMAT + 1,
        ..full()
    };
    assert_eq!(decode(&newer(&bundle)), Ok(bundle));
}

#[test]
fn an_origin_of_an_unknown_kind_is_passed_over() {
    let bundle = full();
    let range = parts::RangePart {
        line: 1,
        lines: 1,
        kind: "HTTPRoute".into(),
        namespace: "shop".into(),
        name: "web".into(),
        field: "spec".into(),
    };
    assert_eq!(range.range("haproxy.cfg", 0), None);
    let known = parts::RangePart {
        kind: "Ingress".into(),
        ..range
    };
    let known = known.range(&bundle.origins[0].file, 4).unwrap();
    assert_eq!((known.first, known.last), (5, 5));
}

#[test]
fn a_format_that_needs_a_newer_reader_is_refused_with_both_numbers() {
    let mut publication = published(&full());
    publication.index.insert("format".into(), "9".into());
    assert!(
        decode(&publication).is_ok(),
        "its writer says that this version can read it"
    );
    publication.index.insert("oldest-reader".into(), "8".into());
    let words = decode(&publication).unwrap_err().to_string();
    let expected = "main-haproxy is of format 9 and needs a reader of 8 or newer; this version reads \
                    formats 1 to 1, and newer ones that allow it";
    assert_eq!(words, expected);
}

#[test]
fn an_index_without_a_number_is_refused_with_its_key() {
    for wrong in ["", "one", "-1", "99999999999999999999"] {
        let mut publication = published(&full());
        publication.index.insert("format".into(), wrong.into());
        let words = decode(&publication).unwrap_err().to_string();
        let expected =
            "main-haproxy cannot be read: key \"format\" is no number; allowed is a whole number";
        assert_eq!(words, expected);
    }
    let mut publication = published(&full());
    publication.index.remove("shards");
    let words = decode(&publication).unwrap_err().to_string();
    assert!(words.contains("key \"shards\" is missing"), "{words}");
}
