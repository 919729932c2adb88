//! Which RouteHealth speaks for which route.

use serde_json::json;

use super::ConditionType::{Accepted, Healthy};
use super::*;

fn paths(status: &RouteHealthStatus) -> Vec<&str> {
    status.routes.iter().map(|row| row.path.as_str()).collect()
}

/// Two RouteHealths, the first the older one, and the paths that each holds of `/api` and `/two`.
fn held(first: Value, second: Value) -> (Vec<String>, Vec<String>) {
    let mut given = Given::new();
    given.service("two");
    given.ingress(ingress("shop", &["/api", "/two"]));
    for (name, spec, day) in [("first", first, 1), ("second", second, 2)] {
        let mut health = health(name, spec);
        health["metadata"]["creationTimestamp"] = json!(format!("2026-01-0{day}T00:00:00Z"));
        given.health(health);
    }
    let all = given.all();
    let of = |name: &str| {
        let mut paths: Vec<String> = paths(&all[name]).into_iter().map(str::to_owned).collect();
        paths.sort();
        paths
    };
    (of("first"), of("second"))
}

#[test]
fn the_more_specific_one_holds_a_route_and_of_equal_ones_the_older() {
    let whole = json!({"targetRef": {"name": "shop"}});
    let path = json!({"targetRef": {"name": "shop"}, "routes": [{"path": "/two"}]});
    let both = json!({"targetRef": {"name": "shop"},
        "routes": [{"host": "shop.example.com", "path": "/two"}]});
    let labels = json!({"targetSelector": {"matchLabels": {"app": "shop"}}});
    let all = ["/api".to_owned(), "/two".to_owned()];
    let (api, two) = (all[..1].to_vec(), all[1..].to_vec());
    let all = all.to_vec();
    let none = Vec::new();
    assert_eq!(held(whole.clone(), whole.clone()), (all, none.clone()));
    assert_eq!(held(whole, path.clone()), (api, two.clone()));
    assert_eq!(
        held(path.clone(), both.clone()),
        (none.clone(), two.clone())
    );
    assert_eq!(held(both, path), (two, none.clone()));
    // No label, nothing selected.
    assert_eq!(held(labels.clone(), labels), (none.clone(), none));
}

#[test]
fn who_loses_all_is_told_who_holds_it_and_who_loses_some_how_much() {
    let mut given = Given::shop(&["/api"]);
    given.health(health("a", json!({"targetRef": {"name": "shop"}})));
    let lost = told(&given.own().conditions, Accepted);
    assert_eq!(
        lost,
        "False Conflicted: shop.example.com/api is held by RouteHealth a."
    );
    assert!(told(&given.own().conditions, Healthy).starts_with("False Conflicted"));
    assert!(given.own().routes.is_empty());

    let mut given = Given::shop(&["/api", "/two"]);
    let part = json!({"targetRef": {"name": "shop"}, "routes": [{"path": "/two"}]});
    given.health(health("part", part));
    let some = told(&given.own().conditions, Accepted);
    assert_eq!(
        some,
        "True PartiallyAccepted: 1 of 2 routes; shop.example.com/two is held by RouteHealth part."
    );
}

#[test]
fn a_selector_speaks_for_every_ingress_with_its_labels() {
    let mut given = Given::new();
    for name in ["shop", "blog", "other"] {
        let mut one = ingress(name, &["/api"]);
        let tier = if name == "other" { "back" } else { "front" };
        one["metadata"]["labels"] = json!({"tier": tier, "app": name});
        given.ingress(one);
    }
    let front = json!({"targetSelector": {"matchLabels": {"tier": "front"}}});
    given.health(health("own", front));
    let status = given.own();
    let ingresses: Vec<&str> = status.routes.iter().map(|row| &*row.ingress).collect();
    assert_eq!(ingresses, ["blog", "shop"]);
    assert_eq!(status.target, "ingresses with tier=front");
    assert_eq!(status.target_generation, None);
    assert_eq!(
        told(&status.conditions, Accepted),
        "True Accepted: 2 routes of 2 Ingresses."
    );
}

#[test]
fn what_does_not_exist_is_told_with_what_does() {
    let mut given = Given::shop(&["/api"]);
    given.health(health("own", json!({"targetRef": {"name": "shpo"}})));
    let status = given.own();
    assert_eq!(
        told(&status.conditions, Accepted),
        "False TargetNotFound: No Ingress shpo in namespace default."
    );
    assert_eq!(status.conditions.len(), 7);
    let narrow = json!({"targetRef": {"name": "shop"}, "routes": [{"path": "/pai"}]});
    given.health(health("own", narrow));
    assert_eq!(
        told(&given.own().conditions, Accepted),
        "False NoMatchingRoutes: No rule has path /pai; rules: shop.example.com/api."
    );
}

#[test]
fn the_word_of_another_installation_is_left_to_stand() {
    let mut given = Given::shop(&["/api"]);
    given.stand();
    let class = json!({"metadata": {"name": "other"}, "spec": {"controller": "x.com/y"}});
    given
        .snapshot
        .add_class(serde_json::from_value(class).expect("a class"));
    let mut moved = ingress("shop", &["/api"]);
    moved["spec"]["ingressClassName"] = json!("other");
    moved["metadata"]["generation"] = json!(4);
    given.ingress(moved);
    assert!(told(&given.own().conditions, Accepted).starts_with("False TargetNotOurs"));
    // The other one has looked at this generation.
    given.change("own", |health| {
        let status = health.status.as_mut().expect("a status");
        status.target_generation = Some(4);
    });
    assert!(given.all().is_empty());
}

#[test]
fn what_a_selector_finds_of_another_controller_is_not_counted() {
    let mut given = Given::new();
    let class = json!({"metadata": {"name": "other"}, "spec": {"controller": "x.com/y"}});
    given
        .snapshot
        .add_class(serde_json::from_value(class).expect("a class"));
    for (name, class) in [("shop", "vigie"), ("blog", "other")] {
        let mut one = ingress(name, &["/api"]);
        one["metadata"]["labels"] = json!({"tier": "front"});
        one["spec"]["ingressClassName"] = json!(class);
        given.ingress(one);
    }
    let front = json!({"targetSelector": {"matchLabels": {"tier": "front"}}});
    given.health(health("own", front));
    let accepted = told(&given.own().conditions, Accepted);
    assert_eq!(accepted, "True Accepted: 1 route of Ingress shop.");
    Arc::make_mut(&mut given.snapshot.ingresses).remove(&ObjectName::new("default", "shop"));
    let accepted = told(&given.own().conditions, Accepted);
    assert!(accepted.starts_with("False NoMatchingRoutes"), "{accepted}");
    given.stand();
    assert!(
        given.all().is_empty(),
        "another installation may have the word"
    );
}

#[test]
fn two_installations_do_not_write_the_same_in_turns() {
    let mut given = Given::shop(&["/api"]);
    let mut nobodys = ingress("shop", &["/api"]);
    nobodys["spec"]["ingressClassName"] = json!(null);
    given.ingress(nobodys);
    assert!(told(&given.own().conditions, Accepted).starts_with("False TargetNotOurs"));
    given.stand();
    assert!(given.all().is_empty());
}

#[test]
fn a_generated_one_is_known_by_its_labels_and_its_spec() {
    use generated::{Author, author};
    let health = |labels: Value, spec: Value| -> RouteHealth {
        let mut health = health("shop.auto", spec);
        health["metadata"]["labels"] = labels;
        serde_json::from_value(health).expect("a RouteHealth")
    };
    let ours = json!({"vigie.dev/generated": "true", "vigie.dev/instance": "main"});
    let theirs = json!({"vigie.dev/generated": "true", "vigie.dev/instance": "test"});
    let plain = json!({"targetRef": {"name": "shop"}});
    let edited = json!({"targetRef": {"name": "shop"}, "ejection": {"mode": "Eject"}});
    let of = |labels: &Value, spec: &Value| author(&health(labels.clone(), spec.clone()), "main");
    assert_eq!(of(&ours, &plain), Author::Us);
    assert_eq!(of(&ours, &edited), Author::UserNow);
    assert_eq!(of(&theirs, &edited), Author::Others);
    assert_eq!(of(&json!({}), &plain), Author::User);
}

#[test]
fn names_of_generated_ones_are_names() {
    assert_eq!(generated::name("shop"), "shop.auto");
    let long = "a.".repeat(126);
    let name = generated::name(&long);
    assert!(name.len() <= 253 && name.ends_with(".auto"), "{name}");
    let other = format!("{}b", &long[..251]);
    assert_ne!(generated::name(&other), name);
}

#[test]
fn one_that_cannot_be_meant_holds_nothing_and_says_which_rule_it_breaks() {
    let mut given = Given::shop(&["/api"]);
    let spec = json!({"targetRef": {"name": "shop"},
        "probe": {"periodSeconds": 2, "timeoutSeconds": 5}, "routes": [{"path": "/api"}]});
    given.health(health("wrong", spec));
    let all = given.all();
    assert_eq!(
        told(&all["wrong"].conditions, Accepted),
        "False Invalid: spec.probe is not valid: timeoutSeconds must not exceed periodSeconds."
    );
    assert_eq!(paths(&given.own()), ["/api"], "the other one holds it");
}

#[test]
fn annotations_that_an_object_decides_over_are_told_on_its_rows() {
    let mut given = Given::new();
    let mut shop = ingress("shop", &["/api"]);
    shop["metadata"]["annotations"] = json!({"vigie.dev/probe-path": "/health",
        "vigie.dev/ssl-redirect": "true"});
    given.ingress(shop);
    given.health(health("own", json!({"targetRef": {"name": "shop"}})));
    let status = &given.all()["own"];
    let told: Vec<(&str, &str)> = status.routes[0]
        .diagnoses
        .iter()
        .filter(|told| told.code == "RH108")
        .map(|told| (&*told.message, &*told.fix))
        .collect();
    assert_eq!(
        told,
        [(
            "RouteHealth own decides; annotations vigie.dev/probe-path of the Ingress are ignored.",
            "Remove one of the two."
        )]
    );
}
