//! What is not as it was published is refused by name.

use super::*;

fn first_plain(publication: &Publication) -> String {
    let mut shards = publication.shards.iter();
    let plain = shards.find(|(_, shard)| matches!(shard, Shard::Plain(_)));
    plain.unwrap().0.clone()
}

fn refusal(publication: &Publication) -> String {
    decode(publication).unwrap_err().to_string()
}

/// A publication and the name of one of its shards, whose text is edited.
fn with_text(edit: impl Fn(&mut String)) -> (Publication, String) {
    let mut publication = published(&full());
    let name = first_plain(&publication);
    let Some(Shard::Plain(data)) = publication.shards.get_mut(&name) else {
        panic!("it is plain");
    };
    let text = data.values_mut().max_by_key(|text| text.len()).unwrap();
    edit(text);
    (publication, name)
}

#[test]
fn a_shard_with_another_octet_is_refused_by_name() {
    let (publication, name) = with_text(|text| {
        text.pop();
        text.push('x');
    });
    let words = refusal(&publication);
    let expected = format!("{name} is not what was published: it holds content of digest ");
    assert!(words.starts_with(&expected), "{words}");
}

#[test]
fn a_shard_that_is_cut_off_is_refused_by_name() {
    let (publication, name) = with_text(|text| {
        text.pop();
    });
    let words = refusal(&publication);
    assert!(words.starts_with(&name), "{words}");
    assert!(words.contains("octets; allowed is"), "{words}");
}

#[test]
fn swapped_shards_are_refused_by_name() {
    let mut publication = published(&full());
    let plain = publication
        .shards
        .iter()
        .filter(|(_, s)| matches!(s, Shard::Plain(_)));
    let names: Vec<String> = plain.take(2).map(|(name, _)| name.clone()).collect();
    let (a, b) = (
        publication.shards[&names[0]].clone(),
        publication.shards[&names[1]].clone(),
    );
    publication.shards.insert(names[0].clone(), b);
    publication.shards.insert(names[1].clone(), a);
    let words = refusal(&publication);
    assert!(names.iter().any(|name| words.starts_with(name)), "{words}");
}

#[test]
fn a_secret_in_the_place_of_a_config_map_is_refused_by_name() {
    let mut publication = published(&full());
    let name = first_plain(&publication);
    publication
        .shards
        .insert(name.clone(), Shard::Private(BTreeMap::new()));
    let words = refusal(&publication);
    let expected = "it holds the data of a Secret; allowed is \"ConfigMap\"";
    assert_eq!(
        words,
        format!("{name} is not what was published: {expected}")
    );
}

#[test]
fn a_missing_object_is_named_with_the_index() {
    let whole = published(&full());
    let mut without = whole.clone();
    let name = first_plain(&whole);
    without.shards.remove(&name);
    assert_eq!(
        refusal(&without),
        format!("{name} is missing; main-haproxy names it")
    );
    let mut without = whole.clone();
    let (name, _) = without.endpoints.pop_first().unwrap();
    assert_eq!(
        refusal(&without),
        format!("{name} is missing; main-haproxy names it")
    );
}

#[test]
fn shards_in_another_order_are_refused_by_their_revision() {
    let mut publication = published(&full());
    let shards = publication.index.get_mut("shards").unwrap();
    let mut lines: Vec<&str> = shards.lines().collect();
    lines.swap(1, 2);
    *shards = lines.join("\n");
    let words = refusal(&publication);
    let expected = "main-haproxy is not what was published: it holds shards of revision ";
    assert!(words.starts_with(expected), "{words}");
}

#[test]
fn endpoints_with_a_wrong_digest_are_refused_by_name() {
    let mut publication = published(&full());
    let (name, data) = publication.endpoints.iter_mut().next().unwrap();
    data.insert("sequence".into(), "9".into());
    let name = name.clone();
    let words = refusal(&publication);
    assert!(
        words.starts_with(&format!("{name} is not what was published")),
        "{words}"
    );
}

#[test]
fn an_upstream_without_endpoints_in_any_object_is_told() {
    let bundle = full();
    let mut publication = published(&bundle);
    let mut less = bundle.clone();
    less.pools.remove(&upstream(7));
    publication.endpoints = published(&less).endpoints;
    let expected = format!(
        "the endpoints of {} is missing; main-haproxy names it",
        upstream(7)
    );
    assert_eq!(refusal(&publication), expected);
}
