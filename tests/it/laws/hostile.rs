//! Hostile values, and objects that hold one in each of their fields.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use vigie::api::{ANNOTATION_PREFIX, NGINX_ANNOTATION_PREFIX};
use vigie::model::diagnostics::Diagnostic;
use vigie::translate::{ANNOTATIONS, Annotation, Handling};

/// What means something to a shell, a terminal, a template or the parser of either proxy.
const VALUES: &[&str] = &[
    "",
    " ",
    "a b",
    "a\nb",
    "a\r\nX-Evil: b",
    "a\0b",
    "\u{1b}[31mred",
    "a\tb",
    "\"",
    "'",
    "\\",
    "a\\",
    "/a\"; return 200; #",
    "/a'; } server { listen 1;",
    "a; }",
    "{",
    "}",
    "${x}",
    "$request_uri",
    "$1$2$9",
    "{{ value }}",
    "{% include \"x\" %}",
    "%[src]",
    "%[env(HOME)]",
    "%0a",
    "%00",
    "%",
    "#",
    "/#x",
    "/x|y",
    "a|b|c",
    "/a}\nbackend evil\n  server x 127.0.0.1:1",
    "unix@/x",
    "*",
    "*.*",
    "~^.*$",
    "..",
    "/../x",
    "//",
    "/(a+)+$",
    "/(?<n>a)\\1",
    "/(?x) # a",
    "/[[:alpha:]]{2,3}",
    "^v[0-9]+$|\"x",
    "ünïcödé ✓",
    "\u{202e}txt",
    "\u{feff}",
    "true",
    "-1",
    "99999999999999999999",
    "0.0.0.0/0",
    "::1/129",
    "https://a.example.com/$request_uri#{x}",
    "https://a.example.com/\\\"",
    "/a<b>`c`^d",
];

const LONG: usize = 100_000;

/// Where a hostile value goes.
#[derive(Clone, Debug)]
enum Field {
    /// A place in one of the objects of [`blank`].
    At(usize, String),
    /// The value of an annotation of the Ingress.
    Annotation(String),
    /// The name of one, behind our prefix.
    Key,
}

/// A whole set of objects that work.
fn blank(number: usize) -> Vec<Value> {
    let name = format!("bad-{number}");
    let metadata = || json!({"name": name, "namespace": "zz-bad"});
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    let mut slice = metadata();
    slice["labels"] = json!({"kubernetes.io/service-name": name});
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata(),
            "spec": {
                "ingressClassName": "vigie",
                "tls": [{"hosts": [format!("{name}.bad.test")], "secretName": name}],
                "defaultBackend": backend,
                "rules": [{"host": format!("{name}.bad.test"), "http": {"paths": [
                    {"path": "/exact", "pathType": "Exact", "backend": backend},
                    {"path": "/prefix", "pathType": "Prefix", "backend": backend},
                    {"path": "/specific", "pathType": "ImplementationSpecific", "backend": backend},
                ]}}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(),
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": {"app": name},
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("{name}-outside"), "namespace": "zz-bad"},
            "spec": {"type": "ExternalName", "externalName": "outside.example.com"},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": slice,
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.1.0.1"]}],
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata(), "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": "none", "tls.key": "none"},
        }),
    ]
}

fn fields() -> Vec<Field> {
    let at = |object: usize, places: &[&str]| -> Vec<Field> {
        places
            .iter()
            .map(|place| Field::At(object, (*place).to_owned()))
            .collect()
    };
    let mut fields = at(
        0,
        &[
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/creationTimestamp",
            "/spec/ingressClassName",
            "/spec/tls/0/hosts/0",
            "/spec/tls/0/secretName",
            "/spec/defaultBackend/service/name",
            "/spec/rules/0/host",
            "/spec/rules/0/http/paths/0/path",
            "/spec/rules/0/http/paths/1/path",
            "/spec/rules/0/http/paths/2/path",
            "/spec/rules/0/http/paths/0/pathType",
            "/spec/rules/0/http/paths/0/backend/service/name",
            "/spec/rules/0/http/paths/0/backend/service/port",
        ],
    );
    fields.extend(at(
        1,
        &[
            "/metadata/name",
            "/spec/type",
            "/spec/clusterIP",
            "/spec/ports/0/name",
            "/spec/ports/0/protocol",
            "/spec/ports/0/appProtocol",
            "/spec/ports/0/port",
        ],
    ));
    fields.extend(at(2, &["/spec/externalName", "/metadata/namespace"]));
    fields.extend(at(
        3,
        &[
            "/metadata/name",
            "/metadata/labels/kubernetes.io~1service-name",
            "/addressType",
            "/ports/0/name",
            "/endpoints/0/addresses/0",
        ],
    ));
    fields.extend(at(
        4,
        &[
            "/metadata/name",
            "/type",
            "/stringData/tls.crt",
            "/stringData/tls.key",
        ],
    ));
    // What is not honoured goes nowhere; two of those stand for all.
    let honoured = ANNOTATIONS
        .iter()
        .filter(|annotation| is_honoured(annotation));
    let names = honoured.map(|annotation| annotation.name);
    for (at, name) in names.chain(["auth-url", "enable-cors"]).enumerate() {
        let prefix = [NGINX_ANNOTATION_PREFIX, ANNOTATION_PREFIX][at % 2];
        fields.push(Field::Annotation(format!("{prefix}{name}")));
    }
    fields.push(Field::Annotation("kubernetes.io/ingress.class".into()));
    fields.push(Field::Key);
    fields
}

fn is_honoured(annotation: &Annotation) -> bool {
    matches!(annotation.handling, Handling::Honoured { .. })
}

fn put(objects: &mut [Value], field: &Field, value: &str) {
    let text = Value::String(value.to_owned());
    match field {
        Field::At(object, place) => match objects[*object].pointer_mut(place) {
            Some(found) if place.ends_with("/service/port") => *found = json!({"name": value}),
            Some(found) => *found = text,
            None => objects[*object]["metadata"]["creationTimestamp"] = text,
        },
        Field::Annotation(key) => objects[0]["metadata"]["annotations"][key] = text,
        Field::Key => {
            objects[0]["metadata"]["annotations"][format!("{ANNOTATION_PREFIX}{value}")] =
                json!("x");
        }
    }
}

fn text(objects: &[Value]) -> String {
    objects
        .iter()
        .map(|object| format!("---\n{object}\n"))
        .collect()
}

/// For each value a set of objects for each field, with the value in it.
pub fn each_value_in_every_field() -> Vec<(String, String)> {
    let long = [
        "x".repeat(LONG),
        format!("/{}", "(x".repeat(LONG / 2)),
        "1.2.3.4,".repeat(LONG / 8),
    ];
    let values = VALUES.iter().map(|value| (*value).to_owned()).chain(long);
    let fields = fields();
    let documents = values.map(|value| {
        let of_field = fields.iter().enumerate().map(|(number, field)| {
            let mut objects = blank(number);
            put(&mut objects, field, &value);
            text(&objects)
        });
        let shown: String = value.chars().take(40).collect();
        (format!("{shown:?}"), of_field.collect())
    });
    documents.collect()
}

/// Values that look like what a field holds, up to the place where they do not.
fn value() -> impl Strategy<Value = String> {
    let good = [
        "/",
        "/a",
        "/$1",
        "https://a.example.com/",
        "10.0.0.0/8",
        "a.example.com",
        "true",
        "1",
        "/x(/|$)(.*)",
        "X-Canary",
    ];
    prop_oneof![
        select(VALUES).prop_map(str::to_owned),
        (select(good.to_vec()), select(VALUES)).prop_map(|(good, bad)| format!("{good}{bad}")),
        select(good.to_vec()).prop_map(str::to_owned),
        "[ -~]{0,40}",
        "/[a-c(){}\\[\\]|$^.*+?\\\\0-9:=!<>#\" ;-]{0,16}",
        "\\PC{0,20}",
        any::<String>(),
    ]
}

/// Documents of some sets of objects, each with hostile values in some fields.
pub fn objects() -> impl Strategy<Value = String> {
    let placed = (select(fields()), value());
    let set = prop::collection::vec(placed, 1..8);
    prop::collection::vec(set, 1..24).prop_map(|sets| {
        let sets = sets.iter().enumerate().map(|(number, placed)| {
            let mut objects = blank(number);
            placed
                .iter()
                .for_each(|(field, value)| put(&mut objects, field, value));
            text(&objects)
        });
        sets.collect()
    })
}

/// What a finding says can be shown on a terminal and held by a status.
pub fn findings_are_printable(findings: &[Diagnostic]) -> Result<(), String> {
    for finding in findings {
        for text in [
            finding.message.as_str(),
            &finding.fix,
            finding.origin.field.as_str(),
        ] {
            if text.chars().any(char::is_control) || text.chars().count() > 1001 {
                return Err(format!("this finding cannot be shown: {text:?}"));
            }
        }
    }
    Ok(())
}
