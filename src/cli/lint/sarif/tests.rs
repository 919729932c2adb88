use serde_json::{Value, json};

use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::source::folder::{File, Folder};

const BAD: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  defaultBackend: {service: {name: api, port: {number: \"80\"}}}
";

fn folder(text: &str) -> Folder {
    Folder::of(vec![File {
        name: "./deploy/the shop.yaml".into(),
        content: Ok(text.as_bytes().to_vec()),
    }])
}

fn run(text: &str, further: &[Diagnostic]) -> Value {
    let folder = folder(text);
    let found = [&folder.diagnostics, further].concat();
    let report = Report::new(&found, &folder.locations);
    let log = sarif(&report).expect("it is JSON");
    let log: Value = serde_json::from_str(&log).expect("it is JSON");
    assert_eq!(log["version"], "2.1.0");
    log["runs"][0].clone()
}

#[test]
fn findings_are_results_with_their_rule_and_place() {
    let run = run(BAD, &[]);
    let rules = &run["tool"]["driver"]["rules"];
    assert_eq!(rules[0]["id"], "RH105");
    assert_eq!(rules[0]["name"], "Invalid");
    assert_eq!(rules[0]["defaultConfiguration"]["level"], "error");
    for text in ["shortDescription", "fullDescription", "help"] {
        assert!(rules[0][text]["text"].is_string(), "{text}");
    }
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "RH105");
    assert_eq!(result["ruleIndex"], 0);
    assert_eq!(result["level"], "error");
    assert_eq!(
        result["message"]["text"],
        "Ingress default/shop: spec.defaultBackend.service.port.number is not valid: it is the string \"80\", and a whole number is wanted. Remove the quotes: 80."
    );
    assert_eq!(
        result["locations"],
        json!([{"physicalLocation": {
            "artifactLocation": {"uri": "deploy/the%20shop.yaml"},
            "region": {"startLine": 5, "startColumn": 56},
        }}])
    );
}

#[test]
fn a_fingerprint_stays_when_lines_move_and_differs_between_findings() {
    let print = |text: &str, number: usize| {
        let run = run(text, &[]);
        let prints = &run["results"][number]["partialFingerprints"];
        prints["primaryLocationLineHash"]
            .as_str()
            .map(str::to_owned)
    };
    let first = print(BAD, 0);
    assert!(first.is_some());
    assert_eq!(print(&format!("# moved\n\n{BAD}"), 0), first);
    let twice = format!("{BAD}---\n{}", BAD.replace("name: shop", "name: pay"));
    assert_eq!(print(&twice, 0), first);
    assert_ne!(print(&twice, 1), first);
    let repeated =
        "kind: Ingress\napiVersion: networking.k8s.io/v1\nmetadata: {name: a}\nkind: Ingress\n";
    assert_eq!(
        print(&format!("# moved\n{repeated}"), 0),
        print(repeated, 0)
    );
}

#[test]
fn what_has_no_place_is_no_result_but_a_notification() {
    let option = ObjectRef::new(Kind::Option, "", "--default-certificate");
    let origin = Origin::new(option, FieldPath::new("shop/tls"));
    let finding = Diagnostic::new(Code::RH206, origin, "It is not there.", "Create it.");
    let run = run(BAD, &[finding]);
    assert_eq!(run["results"].as_array().map(Vec::len), Some(1));
    let notification = &run["invocations"][0]["toolConfigurationNotifications"][0];
    assert_eq!(
        notification["associatedRule"],
        json!({"id": "RH206", "index": 1})
    );
    assert_eq!(
        notification["message"]["text"],
        "Option --default-certificate: It is not there. Create it."
    );
}

#[test]
fn uris_are_relative_to_where_the_command_runs() {
    let root = Path::new("/work/shop");
    for (file, expect) in [
        ("a.yaml", "a.yaml"),
        ("./b/a.yaml", "b/a.yaml"),
        ("../a.yaml", "../a.yaml"),
        ("/work/shop/b/a.yaml", "b/a.yaml"),
        ("/etc/a b.yaml", "file:///etc/a%20b.yaml"),
        ("é#?.yaml", "%C3%A9%23%3F.yaml"),
    ] {
        assert_eq!(uri(file, root), expect);
    }
}
