//! What no RouteHealth may say, and with which words the API server refuses it: rules.yaml.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use vigie::api::route_health::{RouteHealth, check};

use crate::cluster;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    says: String,
    #[serde(default)]
    targetless: bool,
    spec: Value,
}

fn all() -> Vec<Refused> {
    serde_saphyr::from_str(include_str!("rules.yaml")).expect("they can be read")
}

impl Refused {
    fn manifest(&self) -> Value {
        let mut spec = self.spec.clone();
        let has_target = spec
            .get("targetRef")
            .or(spec.get("targetSelector"))
            .is_some();
        if !has_target && !self.targetless {
            spec["targetRef"] = json!({"name": "shop"});
        }
        json!({
            "apiVersion": "vigie.dev/v1alpha1",
            "kind": "RouteHealth",
            "metadata": {"name": "wrong"},
            "spec": spec,
        })
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_words_of_its_rule_alone() {
    cluster::test(async |cluster| {
        cluster.define().await;
        for refused in all() {
            let manifest = refused.manifest();
            let status = cluster.try_apply(&manifest).await;
            let status = status.expect_err(&format!("it is refused: {manifest}"));
            assert_eq!(status.code, 422, "{}", status.message);
            let causes = status
                .details
                .map(|details| details.causes)
                .unwrap_or_default();
            let words: Vec<&str> = causes.iter().map(|cause| cause.message.as_str()).collect();
            assert!(
                matches!(words[..], [only] if only.ends_with(&refused.says)),
                "{manifest}\nis refused with {words:#?}\nrather than {:?}",
                refused.says
            );
        }
    });
}

#[test]
fn the_code_refuses_what_the_definition_refuses_with_the_same_words() {
    for refused in all() {
        let manifest = refused.manifest();
        let health: RouteHealth = serde_json::from_value(manifest.clone()).expect("it can be read");
        let violations = check::violations(&health.spec);
        let words: Vec<&str> = violations.iter().map(|v| v.message.as_str()).collect();
        assert_eq!(words, [refused.says], "{manifest}");
    }
}

#[test]
fn every_rule_of_the_definition_has_something_that_it_refuses() {
    let crd = vigie::api::route_health::crd();
    let mut rules = BTreeSet::new();
    collect(&serde_json::to_value(crd).expect("it is JSON"), &mut rules);
    let tried: BTreeSet<String> = all().into_iter().map(|refused| refused.says).collect();
    assert_eq!(rules, tried);
}

/// The words of all rules within a schema.
fn collect(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let rules = fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array);
            let words = rules.into_iter().flatten().map(|rule| &rule["message"]);
            found.extend(words.filter_map(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
