//! The command `vigie lint`: what it reads, what it leaves out, and what its exit code says.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const BROKEN: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}
      - {path: '/*', pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
";
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
";

/// A directory in which the command runs.
pub struct Here(tempfile::TempDir);

impl Here {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("it can be written");
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("it can be read")
    }

    pub fn vigie(&self, args: &[&str], input: &str) -> Output {
        vigie(self.0.path(), args, input)
    }

    fn lint(&self, args: &[&str]) -> Output {
        self.vigie(&[&["lint", "."], args].concat(), "")
    }
}

fn vigie(directory: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(args).current_dir(directory);
    fed(&mut command, input)
}

/// Runs a command with a text as its input.
pub fn fed(command: &mut Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    // It may end before it has read, which is for its output to tell.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// The codes that lint finds in a text, with the objects that they are about.
pub fn findings(text: &str) -> Vec<(String, String)> {
    let args = ["lint", "-", "--output=json", "--date=2026-11-24"];
    let output = vigie(Path::new("."), &args, text);
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found
        .iter()
        .map(|f| (word(&f["code"]), word(&f["object"]["name"])))
        .collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn last_line(output: &Output) -> String {
    said(output).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn findings_of_a_denied_code_are_errors_and_those_of_an_allowed_one_are_not_told() {
    let here = Here::new();
    here.write("shop.yaml", &format!("{BROKEN}---{SERVICE}"));
    let plain = here.lint(&[]);
    assert_eq!(last_line(&plain), "1 error, 1 warning in 2 objects");
    assert_eq!(plain.status.code(), Some(1));
    let allowed = here.lint(&["--allow", "rh201"]);
    assert_eq!(last_line(&allowed), "1 warning in 2 objects");
    assert_eq!(allowed.status.code(), Some(0));
    let denied = here.lint(&["--allow=RH201", "--deny=RH909,RH312"]);
    assert_eq!(last_line(&denied), "1 error in 2 objects");
    assert!(said(&denied).contains("error[RH312]"), "{}", said(&denied));
    assert_eq!(denied.status.code(), Some(1));
}

#[test]
fn codes_that_do_not_exist_or_contradict_each_other_are_misuse() {
    let here = Here::new();
    for (args, words) in [
        (
            &["--deny=RH999"][..],
            "no finding has the code \"RH999\"; near it are RH909",
        ),
        (
            &["--allow=RH201", "--deny=RH312,RH201"][..],
            "RH201 is given to --deny and to --allow",
        ),
        (
            &["--baseline=none.json"][..],
            "cannot read the baseline none.json",
        ),
        (
            &["--write-baseline=no/where.json"][..],
            "cannot write no/where.json",
        ),
    ] {
        let output = here.lint(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            complained(&output).contains(words),
            "{}",
            complained(&output)
        );
    }
    here.write("broken.txt", "findings: []");
    let output = here.lint(&["--baseline=broken.txt"]);
    assert_eq!(output.status.code(), Some(2));
    let words =
        "cannot read the baseline broken.txt: it is not what `vigie lint --write-baseline` writes";
    assert!(
        complained(&output).contains(words),
        "{}",
        complained(&output)
    );
}

#[test]
fn a_baseline_hides_what_was_known_and_tells_what_is_new_and_what_is_gone() {
    let here = Here::new();
    here.write("shop.yaml", &format!("{BROKEN}---{SERVICE}"));
    let written = here.lint(&["--write-baseline=known.json"]);
    assert_eq!(said(&written), "known.json: 2 findings\n");
    assert_eq!(written.status.code(), Some(0));
    assert_eq!(here.read("known.json").lines().count(), 4);

    // Lines move and words change; the baseline itself lies among the manifests.
    let moved = format!(
        "# moved\n{BROKEN}---{}",
        SERVICE.replace("name: api", "name: api2")
    );
    here.write("shop.yaml", &moved);
    let known = here.lint(&["--baseline=known.json", "--allow=RH201"]);
    assert_eq!(
        last_line(&known),
        "nothing found in 2 objects; 2 known findings are left out"
    );
    assert_eq!(known.status.code(), Some(0));

    here.write(
        "shop.yaml",
        &format!("{}---{SERVICE}", BROKEN.replace("'/*'", "/api")),
    );
    here.write(
        "pay.yaml",
        &BROKEN
            .replace("name: shop}", "name: pay}")
            .replace("shop.ex", "pay.ex"),
    );
    let new = here.lint(&["--baseline=known.json", "--output=json"]);
    assert_eq!(new.status.code(), Some(1));
    let found: Vec<Value> = serde_json::from_slice(&new.stdout).expect("JSON");
    assert!(
        found.iter().all(|f| f["object"]["name"] == "pay"),
        "{found:?}"
    );
    assert_eq!(
        complained(&new),
        "1 known finding is left out; 1 entry of the baseline matches nothing any more: --write-baseline drops it\n"
    );
}

#[test]
fn standard_input_may_hold_documents_and_lists_of_yaml_and_json() {
    let ingress = BROKEN.trim();
    let documents = format!("{ingress}\n---\n{}\n---\n# nothing\n---\n", SERVICE.trim());
    let indented = ingress.replace('\n', "\n  ");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {indented}\n- {}\n",
        SERVICE.trim().replace('\n', "\n  ")
    );
    let json = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"}, "spec": {
            "ingressClassName": "vigie", "rules": [{"host": "shop.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "gone", "port": {"number": 80}}}},
                {"path": "/*", "pathType": "Prefix", "backend": {"service": {"name": "api", "port": {"number": 80}}}},
            ]}}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "api"}}},
    ]});
    let two = [("RH201", "shop"), ("RH312", "shop")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    for text in [documents, list, json.to_string(), format!("{json:#}")] {
        assert_eq!(findings(&text), two, "{text}");
    }
}

/// What `kustomize build` prints: keys in order, a label and a prefix on everything, definitions and
/// workloads between what is read, and documents parted by `---` alone.
#[test]
fn output_of_kustomize_is_read_from_standard_input() {
    let text = "apiVersion: v1
kind: Namespace
metadata:
  name: shop
---
apiVersion: v1
data:
  config.yaml: |
    ---
    kind: Ingress
    broken: [
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/part-of: shop
  name: prod-config-5g2h7m
  namespace: shop
---
apiVersion: v1
kind: Service
metadata:
  labels:
    app.kubernetes.io/part-of: shop
  name: prod-api
  namespace: shop
spec:
  ports:
  - name: http
    port: 80
    targetPort: http
  selector:
    app: api
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: prod-api
  namespace: shop
spec:
  selector:
    matchLabels:
      app: api
  template:
    metadata:
      labels:
        app: api
    spec:
      containers:
      - image: registry.example.com/api:1.4
        name: api
        ports:
        - containerPort: 8080
          name: http
        readinessProbe:
          httpGet:
            path: /health
            port: http
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: prod-shop
  namespace: shop
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths:
      - backend:
          service:
            name: prod-api
            port:
              number: 8080
        path: /
        pathType: Prefix
";
    let found = findings(text);
    assert!(
        found.contains(&("RH202".into(), "prod-shop".into())),
        "{found:?}"
    );
    assert!(!found.iter().any(|(code, _)| code == "RH105"), "{found:?}");
}

#[test]
fn sarif_of_a_folder_names_its_files_from_where_the_command_runs() {
    let here = Here::new();
    here.write("deploy/shop.yaml", &format!("{BROKEN}---{SERVICE}"));
    let output = here.lint(&["--output=sarif", "--deny=RH312"]);
    assert_eq!(output.status.code(), Some(1));
    let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let results = log["runs"][0]["results"].as_array().expect("results");
    let told: Vec<_> = results
        .iter()
        .map(|r| {
            (
                r["ruleId"].as_str(),
                r["ruleIndex"].as_u64(),
                r["level"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("RH201"), Some(0), Some("error")),
            (Some("RH312"), Some(1), Some("error"))
        ]
    );
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "deploy/shop.yaml");
    assert_eq!(place["region"]["startLine"], 11);
}
