use std::fs;
use std::path::Path;

use fancy_regex::Regex;
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

use super::*;
use crate::api::{GROUP, VERSION};

#[test]
fn the_committed_definition_is_the_one_the_types_print() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/routehealths.yaml");
    let printed = crd_yaml().unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == printed,
        "crds/routehealths.yaml is out of date; run the tests with BLESS=1 and commit it"
    );
}

#[test]
fn the_resource_goes_by_the_names_that_people_type() {
    let crd = crd();
    let names = &crd.spec.names;
    assert_eq!(crd.name_any(), "routehealths.vigie.dev");
    assert_eq!((&*crd.spec.group, &*crd.spec.scope), (GROUP, "Namespaced"));
    assert_eq!(RouteHealth::version(&()), VERSION);
    assert_eq!(
        (&*names.kind, &*names.plural),
        ("RouteHealth", "routehealths")
    );
    assert_eq!(names.short_names, Some(vec!["rh".to_owned()]));
    assert_eq!(names.categories, Some(vec!["ingress-health".to_owned()]));

    assert_eq!(schema()["required"], json!(["spec"]));

    let version = &crd.spec.versions[0];
    assert!(version.served && version.storage && version.deprecated.is_none());
    assert!(version.subresources.as_ref().unwrap().status.is_some());
    let selectable = version.selectable_fields.as_ref().unwrap();
    assert_eq!(selectable.len(), 1);
    assert_eq!(selectable[0].json_path, ".spec.targetRef.name");
}

#[test]
fn the_columns_show_the_verdict_and_keep_the_rest_for_wide() {
    let columns: Vec<String> = crd().spec.versions[0]
        .additional_printer_columns
        .iter()
        .flatten()
        .map(|column| {
            let wide = column.priority.map_or("", |_| " wide");
            format!(
                "{} {} {}{wide}",
                column.name, column.type_, column.json_path
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            "Target string .status.target",
            r#"Healthy string .status.conditions[?(@.type=="Healthy")].status"#,
            r#"Reason string .status.conditions[?(@.type=="Healthy")].reason"#,
            "Routes string .status.summary.routes",
            "Endpoints string .status.summary.endpoints",
            "Ejected integer .status.summary.ejected",
            "Probe string .status.summary.probe wide",
            "Mode string .spec.ejection.mode wide",
            "Proxies string .status.summary.proxies wide",
            r#"Message string .status.conditions[?(@.type=="Healthy")].message wide"#,
            "Age date .metadata.creationTimestamp",
        ]
    );
}

#[test]
fn every_rule_stands_where_it_belongs() {
    let mut rules = Vec::new();
    walk("", &schema(), &mut |path, node| {
        for rule in node["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let shown_at = rule["fieldPath"].as_str().unwrap_or_default();
            rules.push(format!("{path}{shown_at}: {}", text(&rule["message"])));
        }
    });
    rules.sort();
    same_lines(
        &rules,
        "
spec.ejection: minEjectSeconds must not exceed maxEjectSeconds
spec.probe.http.expectedStatuses: a status range must not run backwards
spec.probe.http.headers: hop-by-hop and framing headers cannot be set on a probe
spec.probe.http.headers: set the Host header with http.host
spec.probe.http: bodyContains needs method GET
spec.probe.tls: caRef is only used when mode is Verify
spec.probe.tls: serverName has no effect when mode is Disable
spec.probe: grpc may only be set when type is GRPC
spec.probe: http may only be set when type is HTTP
spec.probe: set at most one of port and portName
spec.probe: timeoutSeconds must not exceed periodSeconds
spec.probe: tls has no effect when type is None
spec.probe: with inherit None an HTTP probe needs http.path, a path the application really serves
spec.probe: with inherit None the probe type must be given
spec.routes[]: a route selector needs a host or a path
spec.routes[]: pathType is only meaningful with path
spec.targetRef.kind: targetRef must name a networking.k8s.io Ingress of this namespace
spec.targetSelector: an empty selector would match every Ingress of the namespace; give at least one label
spec.vantage: proberCount is only used when mode is Sampled
spec: ejection.mode Eject needs a probe, but probe.type is None
spec: set exactly one of targetRef and targetSelector
",
    );
}

#[test]
fn every_field_has_its_type_bounds_and_default() {
    let mut fields = Vec::new();
    walk("", &schema(), &mut |path, node| {
        if !path.is_empty() {
            fields.push(format!("{path}: {}", facts(node)));
        }
    });
    same_lines(&fields, include_str!("tests/fields.txt"));
}

#[test]
fn patterns_take_what_they_should_and_nothing_else() {
    check_pattern(
        "/properties/routes/items/properties/host",
        &["*", "*.example.com", "example.com", "a-b.c"],
        &[
            "",
            "Example.com",
            "a..b",
            "*.*.com",
            "-a.com",
            "a.com/",
            "a b",
        ],
    );
    check_pattern(
        "/properties/routes/items/properties/path",
        &["/", "/a/b", "/a(/|$)(.*)"],
        &["", "a", "/a?b", "/a#b", "/a b"],
    );
    let probe = |field: &str| format!("/properties/probe/properties/{field}");
    check_pattern(
        &probe("portName"),
        &["http", "8080-tcp", "a"],
        &["", "Http", "-a", "a-", "a_b"],
    );
    check_pattern(
        &probe("http/properties/path"),
        &["/", "/health?full=1"],
        &["health", "/a#b", "/a b", "/a\nX: y"],
    );
    check_pattern(
        &probe("http/properties/host"),
        &["example.com", "Example.com:8080", "10.0.0.1"],
        &["", "*.example.com", "a b", "a:", "a\r\nX: y"],
    );
    check_pattern(
        &probe("http/properties/headers/items/properties/name"),
        &["Accept", "X-Api_Version", "x.y'z"],
        &["", "a b", "a:", "é"],
    );
    check_pattern(
        &probe("http/properties/expectedStatuses/items"),
        &["200", "200-399"],
        &["", "600", "20", "2xx", "200-", "200-399-400", "200 - 399"],
    );
    check_pattern(
        &probe("grpc/properties/authority"),
        &["a.b:1"],
        &["", "*.b", "a b"],
    );
    check_pattern(
        &probe("tls/properties/serverName"),
        &["example.com", "a"],
        &["", "*.example.com", "Example.com", "a.", "a:1"],
    );
    check_pattern(
        "/properties/prefixCheck/properties/appBasePath",
        &["/shop"],
        &["shop", "/a?b"],
    );
}

#[test]
fn every_field_is_described_and_none_takes_null() {
    walk("", &schema(), &mut |path, node| {
        assert_eq!(node["nullable"], Value::Null, "{path} is nullable");
        let scalar_item = path.ends_with("[]") && node["type"] != "object";
        if !scalar_item {
            let description = text(&node["description"]);
            assert!(description.ends_with('.'), "{path} has no full sentence");
            assert!(!description.contains('\n'), "{path} keeps its line breaks");
        }
    });
}

#[test]
fn an_absent_field_means_the_same_in_a_cluster_and_in_a_file() {
    for spec in [
        json!({}),
        json!({"targetRef": {"name": "shop"}, "ejection": {"mode": "Eject"}}),
        json!({"probe": {"type": "HTTP", "http": {"path": "/health"}}}),
        json!({"probe": {"type": "GRPC", "grpc": {}, "tls": {
            "mode": "Verify", "caRef": {"kind": "Secret", "name": "ca"}
        }}}),
        json!({"prefixCheck": {}, "dataPathCheck": {}, "vantage": {}, "statusDetail": {}}),
    ] {
        let parsed: RouteHealthSpec = serde_json::from_value(spec.clone()).unwrap();
        let mut stored = spec;
        fill_in_defaults(&schema()["properties"]["spec"], &mut stored);
        assert_eq!(serde_json::to_value(parsed).unwrap(), stored);
    }
    let built = serde_json::to_value(RouteHealthSpec::default()).unwrap();
    let mut stored = json!({});
    fill_in_defaults(&schema()["properties"]["spec"], &mut stored);
    assert_eq!(built, stored);
}

#[test]
fn a_status_says_nothing_that_it_does_not_know() {
    let status = RouteHealthStatus {
        target: "ingress/shop".to_owned(),
        summary: Some(Summary {
            ejected: Some(0),
            ..Summary::default()
        }),
        routes: vec![RouteStatus {
            ingress: "shop".to_owned(),
            host: "*".to_owned(),
            path: "/".to_owned(),
            path_type: "Prefix".to_owned(),
            endpoints: Some(EndpointCounts {
                ready: 3,
                ..EndpointCounts::default()
            }),
            failing_endpoints: vec![FailingEndpoint {
                address: "10.0.0.1:8080".to_owned(),
                ..FailingEndpoint::default()
            }],
            ..RouteStatus::default()
        }],
        ..RouteHealthStatus::default()
    };
    let wire = json!({
        "target": "ingress/shop",
        "summary": {"ejected": 0},
        "routes": [{
            "ingress": "shop", "host": "*", "path": "/", "pathType": "Prefix",
            "endpoints": {"ready": 3},
            "failingEndpoints": [{"address": "10.0.0.1:8080"}],
        }],
    });
    assert_eq!(serde_json::to_value(&status).unwrap(), wire);
    assert_eq!(
        serde_json::from_value::<RouteHealthStatus>(wire).unwrap(),
        status
    );
}

#[test]
fn a_condition_keeps_its_empty_message_and_its_time() {
    let wire = json!({
        "type": "Healthy", "status": "True", "observedGeneration": 3,
        "lastTransitionTime": "2026-01-12T09:14:03Z", "reason": "Healthy", "message": "",
    });
    let condition: Condition = serde_json::from_value(wire.clone()).unwrap();
    assert_eq!(condition.status, ConditionStatus::True);
    assert_eq!(serde_json::to_value(condition).unwrap(), wire);
}

fn schema() -> Value {
    let validation = crd().spec.versions.remove(0).schema.unwrap();
    serde_json::to_value(validation.open_api_v3_schema.unwrap()).unwrap()
}

/// Visits the schema and all schemas in it with their paths, fields in the order of their names.
fn walk(path: &str, node: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, node);
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        let dot = if path.is_empty() { "" } else { "." };
        walk(&format!("{path}{dot}{name}"), property, visit);
    }
    if node["items"].is_object() {
        walk(&format!("{path}[]"), &node["items"], visit);
    }
}

/// What the schema demands of a value, in one line.
fn facts(node: &Value) -> String {
    let mut facts = vec![text(&node["type"]).to_owned()];
    if let Some(format) = node["format"].as_str() {
        facts.push(format.to_owned());
    }
    for (word, min, max) in [
        ("", "minimum", "maximum"),
        ("length ", "minLength", "maxLength"),
        ("items ", "minItems", "maxItems"),
        ("entries ", "minProperties", "maxProperties"),
    ] {
        let bound = |key: &str| {
            node[key]
                .as_f64()
                .map(|n| n.to_string())
                .unwrap_or_default()
        };
        let range = format!("{}..{}", bound(min), bound(max));
        if range != ".." {
            facts.push(format!("{word}{range}"));
        }
    }
    if node["additionalProperties"].is_object() {
        facts.push(format!(
            "of ({})",
            self::facts(&node["additionalProperties"])
        ));
    }
    if let Some(kind) = node["x-kubernetes-list-type"].as_str() {
        facts.push(format!(
            "{kind}{}",
            words(&node["x-kubernetes-list-map-keys"], " by ")
        ));
    }
    facts.push(words(&node["enum"], "one of "));
    facts.push(words(&node["required"], "needs "));
    if !node["default"].is_null() {
        facts.push(format!("default {}", node["default"]));
    }
    if node["pattern"].is_string() {
        facts.push("pattern".to_owned());
    }
    facts.retain(|fact| !fact.is_empty());
    facts.join(", ")
}

fn words(list: &Value, before: &str) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().map(text).collect();
    if words.is_empty() {
        return String::new();
    }
    format!("{before}{}", words.join(" "))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn same_lines(actual: &[String], expected: &str) {
    let expected: Vec<&str> = expected.trim().lines().collect();
    let missing: Vec<_> = expected
        .iter()
        .filter(|e| !actual.iter().any(|a| a == **e))
        .collect();
    let unexpected: Vec<_> = actual
        .iter()
        .filter(|a| !expected.contains(&a.as_str()))
        .collect();
    assert!(
        missing.is_empty() && unexpected.is_empty() && actual.len() == expected.len(),
        "missing: {missing:#?}\nunexpected: {unexpected:#?}"
    );
}

fn check_pattern(pointer: &str, good: &[&str], bad: &[&str]) {
    let schema = schema();
    let pattern = schema["properties"]["spec"].pointer(pointer).unwrap()["pattern"].clone();
    let regex = Regex::new(text(&pattern)).unwrap();
    for value in good {
        assert!(
            regex.is_match(value).unwrap(),
            "{pointer} refuses {value:?}"
        );
    }
    for value in bad {
        assert!(!regex.is_match(value).unwrap(), "{pointer} takes {value:?}");
    }
}

/// What the API server does to an object on its way into the store.
fn fill_in_defaults(schema: &Value, value: &mut Value) {
    let no_fields = Map::new();
    if let Some(object) = value.as_object_mut() {
        for (name, property) in schema["properties"].as_object().unwrap_or(&no_fields) {
            if !object.contains_key(name) && !property["default"].is_null() {
                object.insert(name.clone(), property["default"].clone());
            }
            if let Some(value) = object.get_mut(name) {
                fill_in_defaults(property, value);
            }
        }
    }
    for item in value.as_array_mut().into_iter().flatten() {
        fill_in_defaults(&schema["items"], item);
    }
}
