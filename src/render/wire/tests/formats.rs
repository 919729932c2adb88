//! One format older and one newer.

use super::*;

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
