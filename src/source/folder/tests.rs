use proptest::prelude::*;

use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};

mod bad_input;
mod edits;
mod watching;

fn file(name: &str, content: impl AsRef<[u8]>) -> File {
    File {
        name: name.into(),
        content: Ok(content.as_ref().to_vec()),
    }
}

fn read(text: impl AsRef<[u8]>) -> Folder {
    Folder::of(vec![file("a.yaml", text)])
}

/// One finding a line: severity, object, field, message | fix.
fn findings(folder: &Folder) -> Vec<String> {
    let line = |d: &Diagnostic| {
        let severity = format!("{:?}", d.severity).to_lowercase();
        format!("{severity} {}: {} | {}", d.origin.object, d.message, d.fix)
    };
    folder.diagnostics.iter().map(line).collect()
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, expect: &[&str]) -> Folder {
    let folder = read(text);
    assert_eq!(findings(&folder), expect);
    folder
}

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations:
    a.b/c: 'x'
spec:
  rules:
  - host: shop.example.com
    http:
      paths:
      - path: /é
        pathType: Prefix
        backend: {service: {name: api, port: {number: 80}}}
";

#[track_caller]
fn check_place(field: &str, expect: &str) {
    let folder = read(format!("# first\n---\n{INGRESS}"));
    let object = ObjectRef::new(Kind::Ingress, "default", "shop");
    let place = folder.locations.locate(&object, &FieldPath::new(field));
    let place = place.expect("the object is there");
    let (line, span) = place.shown.expect("an Ingress may be shown");
    let text = format!(
        "{}:{}:{} {}",
        place.file, place.line, place.column, &line[span]
    );
    assert_eq!(text, expect);
}

#[test]
fn every_field_has_its_place() {
    check_place("spec.rules[0].host", "a.yaml:11:11 shop.example.com");
    check_place("metadata.annotations[a.b/c]", "a.yaml:8:12 'x'");
    check_place("spec.rules[0].http.paths[0].path", "a.yaml:14:15 /é");
    check_place(
        "spec.rules[0].http.paths[0].backend.service.port.number",
        "a.yaml:16:55 80",
    );
}

#[test]
fn a_field_that_is_not_there_is_shown_at_the_nearest_one_above() {
    check_place("spec.tls[0].secretName", "a.yaml:9:1 spec");
    check_place("spec.rules[0].http.paths[7].path", "a.yaml:13:7 paths");
    check_place("status", "a.yaml:4:7 Ingress");
    check_place("", "a.yaml:4:7 Ingress");
}

#[test]
fn places_in_a_list_and_behind_an_alias() {
    let folder = read(
        "apiVersion: v1\nkind: List\nitems:\n- &one\n  apiVersion: v1\n  kind: Service\n  metadata: {name: one}\n  spec: {clusterIP: None}\n- {<<: *one, metadata: {name: two}}\n",
    );
    assert_eq!(findings(&folder), Vec::<String>::new());
    let line = |name| {
        let object = ObjectRef::new(Kind::Service, "default", name);
        let place = folder
            .locations
            .locate(&object, &FieldPath::new("metadata.name"));
        place.map(|place| place.line)
    };
    assert_eq!((line("one"), line("two")), (Some(7), Some(9)));
}

#[test]
fn a_secret_is_never_shown() {
    let folder = check(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: '!hush'}}",
        &[
            "error Secret default/s: data.a is not valid: it is not base64. | Encode the value with base64, or move it to stringData as it is.",
        ],
    );
    let origin = &folder.diagnostics[0].origin;
    let place = folder.locations.locate(&origin.object, &origin.field);
    assert_eq!(
        place.map(|place| (place.line, place.shown)),
        Some((1, None))
    );
    let folder = read("kind: Secret\ndata:\n  a: [hush\n---\nkind: Foo\n");
    let origin = &folder.diagnostics[0].origin;
    let place = folder.locations.locate(&origin.object, &origin.field);
    assert_eq!(place.map(|place| place.shown), Some(None));
}

#[test]
fn secrets_join_data_and_string_data() {
    let folder = check(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata:\n  a: eA==\n  b: |\n    aGVs\n    bG8=\nstringData: {a: 'y'}\n",
        &[],
    );
    let secret = folder.snapshot.secrets.values().next().expect("one Secret");
    let data = secret.data.as_ref().expect("data");
    assert_eq!(data["a"].0, b"y");
    assert_eq!(data["b"].0, b"hello");
}

#[test]
fn null_is_absent() {
    let folder = check(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n  namespace: null\n  creationTimestamp: null\n  annotations:\n    a:\nspec:\n  tls: ~\n  rules:\n  -\nstatus: {}\n",
        &[],
    );
    let ingress = folder.snapshot.ingresses.values().next().expect("one");
    let spec = ingress.spec.as_ref().expect("spec");
    assert_eq!(spec.tls, None);
    assert_eq!(spec.rules.as_ref().map(Vec::len), Some(1));
}

#[test]
fn json_and_typed_lists_are_read() {
    let folder = read(
        r#"{"apiVersion":"v1","kind":"ServiceList","items":[
	{"metadata":{"name":"one","annotations":{"a":"\ud83d\ude00 \/ \\ud83d \u0009"}}},
	{"metadata":{"name":"two"}}]}"#,
    );
    assert_eq!(findings(&folder), Vec::<String>::new());
    assert_eq!(folder.snapshot.services.len(), 2);
    let one = folder.snapshot.services.values().next().expect("two");
    let annotations = one.metadata.annotations.as_ref().expect("one");
    assert_eq!(annotations["a"], "\u{1f600} / \\ud83d \t");
}

#[test]
fn other_kinds_are_counted_and_other_groups_are_not_ours() {
    let folder = check(
        "{apiVersion: v1, kind: ConfigMap}\n---\n{apiVersion: v1, kind: ConfigMap}\n---\n{apiVersion: serving.knative.dev/v1, kind: Service}\n---\n# nothing\n---\n",
        &[],
    );
    let skipped: Vec<_> = folder.skipped.into_iter().collect();
    assert_eq!(
        skipped,
        [
            ("ConfigMap".to_owned(), 2),
            ("Service.serving.knative.dev".to_owned(), 1)
        ]
    );
    assert_eq!(folder.objects, 0);
}

/// Documents that a good one must not notice.
const HOSTILE: &[&str] = &[
    "a: [",
    "{{ template }}",
    "a: 1\na: 2",
    "a: \0",
    "\t",
    "'",
    "*x",
    "- - - -",
    "kind: Ingress",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: 3",
    "%YAML 9.9\n--- x",
    "...\n...\n}",
    "&a [*a]",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_stop_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = read(&bytes);
        locate_all(&folder);
    }

    #[test]
    fn no_yaml_stops_the_reader(text in "([-:?&*!|>%@`\"'#{}\\[\\], \n\ta-c0]|---\n|apiVersion: v1\n|kind: Secret\n|<<: ){0,60}") {
        let folder = read(&text);
        locate_all(&folder);
    }

    #[test]
    fn a_broken_manifest_is_still_read(at in 0..INGRESS.len(), cut in 0..40usize, put in "[-:&*!|>%\"'#{}\\[\\]\n\t ~]{0,4}") {
        let mut bytes = INGRESS.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.bytes());
        let folder = read(&bytes);
        locate_all(&folder);
    }

    /// One bad document changes nothing of what the others give.
    #[test]
    fn a_bad_document_costs_only_itself(bad in prop::sample::select(HOSTILE), garbage in "[-:?&*!|>%\"'#{}\\[\\], a-c\n]{0,30}", before in any::<bool>()) {
        let other = "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {ports: [{port: x}]}\n";
        let garbage = garbage.replace("---", "");
        let alone = read(format!("{INGRESS}---\n{other}"));
        for bad in [bad, garbage.as_str()] {
            let all = if before {
                format!("---\n{bad}\n---\n{INGRESS}---\n{other}")
            } else {
                format!("{INGRESS}---\n{bad}\n---\n{other}")
            };
            let with = read(all);
            prop_assert_eq!(&with.snapshot, &alone.snapshot);
            let of_service = |folder: &Folder| {
                let mut all = folder.diagnostics.clone();
                all.retain(|d| d.origin.object.kind == Kind::Service);
                all
            };
            prop_assert_eq!(of_service(&with), of_service(&alone));
        }
    }
}

fn locate_all(folder: &Folder) {
    for finding in &folder.diagnostics {
        let place = folder
            .locations
            .locate(&finding.origin.object, &finding.origin.field);
        assert!(place.is_some(), "{finding:?} has no place");
    }
}
