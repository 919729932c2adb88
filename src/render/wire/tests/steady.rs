//! What stays as it is while something else changes.

use super::*;

/// Names and octets of shards that one publication has and the other lacks.
fn new_shards(old: &Publication, new: &Publication) -> Vec<(String, usize)> {
    let shards = new.shards.iter();
    let fresh = shards.filter(|(name, _)| !old.shards.contains_key(*name));
    fresh
        .map(|(name, shard)| (name.clone(), shard.bytes()))
        .collect()
}

/// The full bundle with one more line before line `at` of its routes.
fn with_line(at: usize) -> Bundle {
    let mut bundle = full();
    let Some(Content::Table(table)) = bundle.structure.get_mut("maps/routes.map") else {
        panic!("it is a table");
    };
    let octets = lines(at).len();
    table.text.insert_str(octets, "new.example.com/ x\n");
    let behind = |r: &&mut RenderedRange| r.file == "maps/routes.map" && r.first > at;
    let mut origins = bundle.origins.to_vec();
    for range in origins.iter_mut().filter(behind) {
        (range.first, range.last) = (range.first + 1, range.last + 1);
    }
    bundle.origins = origins.into();
    bundle
}

#[test]
fn a_line_that_comes_or_goes_anywhere_rewrites_one_small_shard_or_two() {
    let old = published(&full());
    for at in (0..1500).step_by(50) {
        let new = published(&with_line(at));
        let fresh = new_shards(&old, &new);
        assert!((1..=3).contains(&fresh.len()), "line {at}: {fresh:?}");
        let bytes: usize = fresh.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes < 80 << 10, "line {at}: {fresh:?}");
        assert_eq!(new.endpoints, old.endpoints);
    }
}

#[test]
fn an_endpoint_that_comes_changes_one_object_and_counts_it() {
    let mut bundle = full();
    let old = published(&bundle);
    let pool = bundle.pools.get_mut(&upstream(7)).unwrap();
    pool.endpoints.push(endpoint(99));
    let new = encode(&bundle, &installation(), &old.endpoints);
    assert_eq!((&new.index, &new.shards), (&old.index, &old.shards));
    let changed: Vec<&String> = new
        .endpoints
        .keys()
        .filter(|name| new.endpoints[*name] != old.endpoints[*name])
        .collect();
    let [changed] = changed.as_slice() else {
        panic!("{changed:?}");
    };
    let read = |publication: &Publication| {
        read_endpoints(changed, &publication.endpoints[*changed]).unwrap()
    };
    assert_eq!((read(&old).sequence, read(&new).sequence), (1, 2));
    assert!(read(&new).pools[&upstream(7)].contains(&endpoint(99)));
    assert_eq!(encode(&bundle, &installation(), &new.endpoints), new);
}

#[test]
fn endpoints_that_were_edited_by_hand_are_written_again_with_the_next_number() {
    let bundle = full();
    let old = published(&bundle);
    let mut standing = old.endpoints.clone();
    let (name, data) = standing.iter_mut().next().unwrap();
    data.insert("endpoints".into(), "by hand".into());
    let name = name.clone();
    let new = encode(&bundle, &installation(), &standing);
    assert_eq!(
        new.endpoints[&name]["endpoints"],
        old.endpoints[&name]["endpoints"]
    );
    assert_eq!(new.endpoints[&name]["sequence"], "2");
}

#[test]
fn a_rotated_certificate_rewrites_one_secret() {
    let mut bundle = full();
    let pem = |n: usize| format!("-----BEGIN PRIVATE KEY-----\n{}", "k".repeat(2000 + n % 9));
    for n in 0..300 {
        let content = Content::Private(PrivatePem::new(pem(n)));
        bundle
            .structure
            .insert(format!("certs/b{n:03}.pem"), content);
    }
    let old = published(&bundle);
    let content = Content::Private(PrivatePem::new(pem(4)));
    bundle.structure.insert("certs/b123.pem".into(), content);
    let fresh = new_shards(&old, &published(&bundle));
    assert_eq!(fresh.len(), 1, "{fresh:?}");
}

#[test]
fn shards_are_about_as_large_as_they_aim_at() {
    let mut bundle = full();
    let table = Table {
        order: Order::Any,
        text: lines(40_000),
    };
    bundle
        .structure
        .insert("maps/hosts.map".into(), Content::Table(table));
    let publication = published(&bundle);
    let plain = publication
        .shards
        .values()
        .filter(|shard| matches!(shard, Shard::Plain(_)));
    let sizes: Vec<usize> = plain.map(Shard::bytes).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((12 << 10..24 << 10).contains(&mean), "{mean}: {sizes:?}");
    assert!(sizes.iter().all(|bytes| *bytes <= 66 << 10), "{sizes:?}");
}

#[test]
fn endpoints_written_ahead_serve_the_index_before_and_the_one_after() {
    let old = full();
    let mut new = old.clone();
    new.pools.remove(&upstream(7));
    let added = Pool {
        endpoints: vec![endpoint(1)],
        name: None,
        section: None,
    };
    new.pools.insert(upstream(1000), added);
    let mut origins = new.origins.to_vec();
    origins.retain(|range| range.file != "upstreams.cfg");
    new.origins = origins.into();
    let standing = published(&old);
    let wanted = encode(&new, &installation(), &standing.endpoints).endpoints;
    let mut between = standing.endpoints.clone();
    between.extend(ahead(&wanted, &standing.endpoints));
    let published = encode(&new, &installation(), &between);
    for (publication, bundle) in [(&standing, old), (&published, new)] {
        let publication = Publication {
            endpoints: between.clone(),
            ..publication.clone()
        };
        assert_eq!(decode(&publication), Ok(bundle));
    }
}

#[test]
fn while_no_upstream_goes_endpoints_are_written_once() {
    let mut bundle = full();
    let standing = published(&bundle).endpoints;
    bundle
        .pools
        .get_mut(&upstream(7))
        .unwrap()
        .endpoints
        .clear();
    let wanted = encode(&bundle, &installation(), &standing).endpoints;
    let mut between = standing.clone();
    between.extend(ahead(&wanted, &standing));
    assert_eq!(between, wanted);
    assert_eq!(ahead(&wanted, &between), BTreeMap::new());
}
