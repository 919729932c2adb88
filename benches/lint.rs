//! What `vigie lint` costs over ten thousand manifests, as a process: wall-clock and CPU time beside
//! those of only parsing the same YAML in the same run. Prints figures and ratios; asserts nothing.
//!
//! `cargo bench --bench lint`

mod usage;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use saphyr_parser::Parser;

use usage::cpu;

/// Each is an Ingress, its Service and its Deployment.
const APPLICATIONS: usize = 3_334;
const ROUNDS: usize = 7;
const FORMS: [&str; 3] = ["text", "json", "sarif"];

/// Wall-clock and CPU time.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    for (files, broken_every) in [(1, 10), (APPLICATIONS, 10), (APPLICATIONS, 1)] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let texts = write(folder.path(), files, broken_every);
        println!(
            "\n== {} manifests in {files} files, {:.1} MB; one Ingress in {broken_every} names no Service",
            3 * APPLICATIONS,
            texts.iter().map(String::len).sum::<usize>() as f64 / 1e6,
        );
        let mut parses = Vec::new();
        let mut lints = FORMS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            parses.push(cost(UsageWho::RUSAGE_SELF, || parse(&texts)));
            for (form, lints) in FORMS.iter().zip(&mut lints) {
                lints.push(cost(UsageWho::RUSAGE_CHILDREN, || {
                    lint(folder.path(), form);
                }));
            }
        }
        let parse = median(parses);
        tell("parsing alone", parse, parse);
        for (form, lints) in FORMS.iter().zip(lints) {
            tell(&format!("lint, {form}"), median(lints), parse);
        }
    }
}

fn tell(what: &str, cost: Cost, parse: Cost) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:14} {:7.0} ms, {:7.0} ms of CPU: {:4.2} x parsing",
        milliseconds(cost.wall),
        milliseconds(cost.cpu),
        cost.cpu.as_secs_f64() / parse.cpu.as_secs_f64(),
    );
}

fn cost(who: UsageWho, act: impl FnOnce()) -> Cost {
    let (start, before) = (Instant::now(), cpu(who));
    act();
    Cost {
        wall: start.elapsed(),
        cpu: cpu(who) - before,
    }
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu);
    costs[costs.len() / 2]
}

/// Every event of every document.
fn parse(texts: &[String]) {
    for text in texts {
        for event in Parser::new_from_str(text) {
            black_box(event.expect("it is YAML"));
        }
    }
}

fn lint(folder: &Path, form: &str) {
    let status = Command::new(env!("CARGO_BIN_EXE_vigie"))
        .args(["lint", "--date=2026-11-24", "--output", form])
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .expect("it starts");
    assert_eq!(status.code(), Some(1), "there is something to be found");
}

/// The texts of the files.
fn write(folder: &Path, files: usize, broken_every: usize) -> Vec<String> {
    let each: Vec<String> = (0..APPLICATIONS)
        .map(|number| application(number, number.is_multiple_of(broken_every)))
        .collect();
    let texts: Vec<String> = each
        .chunks(APPLICATIONS.div_ceil(files))
        .map(|chunk| chunk.concat())
        .collect();
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("{number:05}.yaml")), text).expect("a file");
    }
    texts
}

fn application(number: usize, is_broken: bool) -> String {
    let name = format!("shop-{number:05}");
    let service = match is_broken {
        true => format!("{name}-typo"),
        false => name.clone(),
    };
    let metadata = format!(
        "metadata:\n  name: {name}\n  namespace: team-{:03}\n  labels:\n    app.kubernetes.io/name: {name}\n    app.kubernetes.io/managed-by: Helm",
        number % 100
    );
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: Ingress
{metadata}
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: \"120\"
spec:
  ingressClassName: vigie
  rules:
  - host: {name}.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: {service}
            port:
              number: 80
---
apiVersion: v1
kind: Service
{metadata}
spec:
  selector:
    app.kubernetes.io/name: {name}
  ports:
  - name: http
    port: 80
    targetPort: http
---
apiVersion: apps/v1
kind: Deployment
{metadata}
spec:
  replicas: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {name}
    spec:
      containers:
      - name: app
        image: registry.example.com/shop/app:1.4.{number}
        ports:
        - name: http
          containerPort: 8080
        env:
        - name: LOG_LEVEL
          value: info
        - name: DATABASE_URL
          valueFrom:
            secretKeyRef:
              name: {name}
              key: url
        readinessProbe:
          httpGet:
            path: /health
            port: http
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
          limits:
            memory: 256Mi
"
    )
}
