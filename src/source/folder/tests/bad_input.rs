use super::*;

/// An Ingress with these lines below `spec`, or with other metadata.
fn ingress(metadata: &str, spec: &str) -> String {
    format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {metadata}\nspec: {spec}\n")
}

fn backend(port: &str) -> String {
    format!("{{defaultBackend: {{service: {{name: a, port: {{number: {port}}}}}}}}}")
}

const NUMBER: &str = "spec.defaultBackend.service.port.number is not valid";

#[test]
fn a_port_that_is_no_number() {
    let check_port = |port: &str, found: &str| {
        let expect = format!("error Ingress default/i: {NUMBER}: {found}");
        check(ingress("{name: i}", &backend(port)), &[&expect]);
    };
    check_port(
        "abc",
        "it is the string \"abc\", and a whole number is wanted. | Write a whole number, as 80.",
    );
    check_port(
        "'80'",
        "it is the string \"80\", and a whole number is wanted. | Remove the quotes: 80.",
    );
    check_port(
        "99999999999",
        "it is the number 99999999999, and a whole number is wanted. | Write a whole number, as 80.",
    );
    check_port(
        "8.5",
        "it is the number 8.5, and a whole number is wanted. | Write a whole number, as 80.",
    );
    check_port(
        "[]",
        "it is a list, and a whole number is wanted. | Write a whole number, as 80.",
    );
}

#[test]
fn a_negative_port_is_a_number_all_the_same() {
    check(ingress("{name: i}", &backend("-1")), &[]);
}

#[test]
fn what_yaml_1_1_reads_as_something_else_is_to_be_quoted() {
    let check_value = |value: &str, found: &str| {
        let expect =
            format!("error Ingress default/i: metadata.annotations[canary] is not valid: {found}");
        let metadata = format!("{{name: i, annotations: {{canary: {value}}}}}");
        check(ingress(&metadata, "{}"), &[&expect]);
    };
    check_value(
        "true",
        "it is the boolean true, and a string is wanted. | Quote it: \"true\".",
    );
    check_value(
        "on",
        "it is the boolean true, and a string is wanted. | Quote it: \"on\". YAML reads on without quotes as true.",
    );
    check_value(
        "0644",
        "it is the number 420, and a string is wanted. | Quote it: \"0644\".",
    );
    check_value(
        "1.5",
        "it is the number 1.5, and a string is wanted. | Quote it: \"1.5\".",
    );
    check_value(
        "{a: b}",
        "it is a map, and a string is wanted. | Write a string.",
    );
}

#[test]
fn what_stays_a_string() {
    for value in [
        "10s",
        "1:30",
        "2026-11-24",
        "1.2.3",
        "0x",
        "08a",
        "no!",
        "!!str 1",
        "'on'",
    ] {
        let metadata = format!("{{name: i, annotations: {{a: {value}}}}}");
        check(ingress(&metadata, "{}"), &[]);
    }
}

#[test]
fn names_that_cannot_be_used() {
    let rule = "Use at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends.";
    let check_name = |metadata: &str, found: &str| {
        let folder = read(ingress(metadata, "{}"));
        assert_eq!(folder.diagnostics.len(), 1);
        let finding = &findings(&folder)[0];
        assert!(finding.contains(found), "{finding}");
        assert!(folder.snapshot.ingresses.is_empty());
    };
    check_name(
        "{}",
        "this Ingress has no metadata.name. | Give metadata.name",
    );
    check_name("{generateName: a}", "this Ingress has no metadata.name");
    check_name(
        "{name: 12}",
        "metadata.name of this Ingress is not a string",
    );
    check_name("{name: Shop}", &format!("it holds 'S'. | {rule}"));
    check_name(
        "{name: \"a\\u0007b\"}",
        "it holds the control character U+0007",
    );
    check_name("{name: a.-b}", "a part of it begins or ends with '-'");
    check_name("{name: a, namespace: x.y}", "metadata.namespace \"x.y\"");
    check_name(
        &format!("{{name: {}}}", "a".repeat(300)),
        "it has 300 characters",
    );
}

#[test]
fn a_key_that_stands_twice_names_both_lines() {
    let folder = check(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  name: b\nspec:\n  ports:\n  - port: 1\n    port: 2\n",
        &[
            "error Service default/a: metadata.name is not valid: this key stands on line 4 and again on line 5. | Keep one of the two.",
            "error Service default/a: spec.ports[0].port is not valid: this key stands on line 8 and again on line 9. | Keep one of the two.",
        ],
    );
    assert!(folder.snapshot.services.is_empty());
}

#[test]
fn a_key_that_stands_twice_costs_only_its_item_of_a_list() {
    let folder = check(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}, kind: Service}\n- {apiVersion: v1, kind: Service, metadata: {name: b}}\n",
        &[
            "error Service default/a: kind is not valid: this key stands on line 4 and again on line 4. | Keep one of the two.",
        ],
    );
    assert_eq!(
        folder.snapshot.service_names("default").collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn the_later_of_two_equal_objects_counts() {
    let service = |port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{port: {port}}}]}}\n"
        )
    };
    let folder = Folder::of(vec![file("a.yaml", service(1)), file("b.yaml", service(2))]);
    assert_eq!(
        findings(&folder),
        [
            "warning Service default/a: metadata.name is not valid: Service default/a is defined in a.yaml, line 2, and again in b.yaml, line 2, which is used. | Remove or rename one of the two."
        ]
    );
    let port = folder.snapshot.services.values().next().and_then(|s| {
        let port = s.spec.as_ref()?.ports.as_ref()?.first()?.port;
        Some(port)
    });
    assert_eq!(port, Some(2));
}

#[test]
fn older_and_mistaken_versions_are_named() {
    let text =
        |version: &str| format!("apiVersion: {version}\nkind: Ingress\nmetadata: {{name: i}}\n");
    for version in ["extensions/v1beta1", "networking.k8s.io/v1beta1", "v1"] {
        let expect = format!(
            "error Ingress default/i: apiVersion is not valid: it is \"{version}\", in which no supported Kubernetes serves an Ingress. | Use apiVersion: networking.k8s.io/v1; `kubectl convert` rewrites an object whose fields changed with the version."
        );
        check(text(version), &[&expect]);
    }
}

#[test]
fn fields_that_do_not_exist_are_told_and_skipped() {
    let folder = check(
        ingress("{name: i}", "{ingressClasName: a}"),
        &[
            "warning Ingress default/i: spec.ingressClasName is not valid: an Ingress has no such field; it is not read. | Correct its name or its place (indentation), or remove it; kubectl refuses it.",
        ],
    );
    assert_eq!(folder.snapshot.ingresses.len(), 1);
}

#[track_caller]
fn check_one(text: impl AsRef<[u8]>, expect: &str) {
    let folder = read(text);
    let found = findings(&folder);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(expect), "{}", found[0]);
}

#[test]
fn texts_that_are_no_yaml() {
    check_one(
        "a: b\n\tc: d\n",
        "line 2, column 1 is not valid: this line is indented by a tab. | Indent by spaces",
    );
    check_one("a: \0", "it holds the control character U+0000");
    check_one(
        b"a: b\nc: \xff\n",
        "this file is not valid: line 2 is not UTF-8",
    );
    check_one("a: [b", "Manifest a.yaml: line ");
    check_one("a: *nowhere", "line 1, column 4");
    check_one("{{ .Values.x }}: 1", "a list or a map stands as a key");
    check_one("- a\n- b\n", "it has neither apiVersion nor kind");
    check_one("kind: Ingress\n", "it has no apiVersion that is a string");
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let before = format!("*a{}", level - 1);
        let items = vec![before; 10].join(", ");
        laughs += &format!("a{level}: &a{level} [{items}]\n");
    }
    check_one(&laughs, "its aliases unfold to more than 8 MiB");
    let long = "x".repeat(100_000);
    let copies = vec!["*a"; 1000].join(", ");
    check_one(
        format!("a: &a {long}\nb: [{copies}]\n"),
        "its aliases unfold",
    );
    check_one("[".repeat(200), "it is nested more than 128 levels deep");
    check_one("- ".repeat(5000), "it is nested more than 128 levels deep");
    check_one("a: &a [*a]", "stands inside of its own anchor");
    check_one(
        format!("a: '{}'", "x".repeat(4 << 20)),
        "the document that begins here has 4194309 octets; 3145728 are allowed. | Split it",
    );
}

#[test]
fn long_strings_are_cut_in_findings() {
    let long = "9".repeat(100_000);
    let folder = read(ingress("{name: i}", &backend(&format!("'{long}'"))));
    assert!(folder.diagnostics[0].message.len() < 300);
}
