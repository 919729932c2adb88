//! The command itself: exit codes, JSON, and what proxies that run say to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vigie::render::ProxyKind;

use crate::lint::fed;
use crate::serve::free;

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}
      - {path: '/a b;c', pathType: Exact, backend: {service: {name: api, port: {number: 80}}}}
  - host: item.example.com
    http:
      paths:
      - {path: '/item/[0-9]+', pathType: ImplementationSpecific, backend: {service: {name: api, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
";

/// Runs of other tests are out of sight in a directory of its own.
struct Here(tempfile::TempDir);

impl Here {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn vigie(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.args(args).env("TMPDIR", self.0.path());
        command
    }

    fn explain(&self, args: &[&str]) -> Output {
        let mut command = self.vigie(&[&["explain"], args, &["-"]].concat());
        fed(&mut command, &with_regex())
    }

    fn run(&self, proxy: ProxyKind) -> (Running, String) {
        let file = self.0.path().join("manifests.yaml");
        std::fs::write(&file, with_regex()).expect("it can be written");
        let http = free().to_string();
        let (proxy, file) = (proxy.as_str(), path(&file));
        let args = [
            "run", file, "--proxy", proxy, "--http", &http, "--https", "none",
        ];
        let mut command = self.vigie(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(
            lines.any(|line| line.starts_with("ready:")),
            "{proxy} is not ready"
        );
        (Running(child), http)
    }
}

fn with_regex() -> String {
    let of_item = "metadata: {name: shop, annotations: {vigie.dev/use-regex: 'true'}}";
    MANIFESTS.replace("metadata: {name: shop}", of_item)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn exit_codes_tell_what_works_what_does_not_and_misuse() {
    let here = Here::new();
    let stand_in = "--backend=default/api:80=127.0.0.1:1";
    let url = "http://shop.example.com/api/x";
    let works = here.explain(&[url, stand_in]);
    assert_eq!(works.status.code(), Some(0), "{}", said(&works));
    assert!(said(&works).contains("no `vigie run` is here to be asked"));
    for broken in [
        url,
        "http://shop.example.com/x",
        "http://shop.example.com/..",
    ] {
        assert_eq!(here.explain(&[broken]).status.code(), Some(1), "{broken}");
    }
    let misuse = here.explain(&["shop.example.com"]);
    assert_eq!(misuse.status.code(), Some(2));
    let words = String::from_utf8_lossy(&misuse.stderr).into_owned();
    assert!(
        words.contains("has no scheme; write http:// or https://"),
        "{words}"
    );
}

#[test]
fn json_holds_what_the_text_says() {
    let output = Here::new().explain(&["http://shop.example.com/api/x", "--output=json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["works"], false);
    assert_eq!(json["host"]["taken"], "shop.example.com");
    assert_eq!(json["route"]["path"], "/api");
    assert_eq!(json["route"]["origin"]["object"]["name"], "shop");
    assert_eq!(json["outcome"]["kind"], "forwarded");
    assert_eq!(
        json["outcome"]["ways"][0]["upstream"]["label"],
        "default/api:80"
    );
    assert_eq!(json["proxies"][0]["agreement"], "unasked");
}

#[test]
fn haproxy_that_runs_says_by_itself_which_rule_it_takes() {
    let here = Here::new();
    let (_running, http) = here.run(ProxyKind::Haproxy);
    for (url, words) in [
        (
            "http://shop.example.com//%61pi/x",
            "takes it by shop.example.com/api of Ingress default/shop",
        ),
        (
            "http://shop.example.com/a%20b%3Bc",
            "takes it by shop.example.com/a b;c of Ingress default/shop",
        ),
        (
            "http://item.example.com/item/1%20;%5C",
            "takes it by item.example.com/item/[0-9]+ of",
        ),
        ("http://item.example.com/item/x", "has no route for it"),
        ("http://nobody.example.com/", "has no route for it"),
    ] {
        let text = said(&here.explain(&[url]));
        let proxy = text
            .lines()
            .find(|line| line.contains(" Proxy "))
            .unwrap_or_default();
        assert!(proxy.starts_with(" ok ") && proxy.contains(words), "{text}");
    }
    // Without its annotation this build foresees something else than what runs.
    let text = said(&here.explain(&["http://item.example.com/item/1", "--class=other"]));
    assert!(text.contains("FAIL Proxy"), "{text}");
    let asked = said(&here.explain(&["http://nobody.example.com/", "--ask", &http]));
    assert!(asked.contains("answers 404 by itself"), "{asked}");
}

#[test]
fn nginx_that_runs_is_named_and_asked_where_that_is_wanted() {
    let here = Here::new();
    let (_running, http) = here.run(ProxyKind::Nginx);
    let url = "http://shop.example.com/api";
    let named = said(&here.explain(&[url]));
    assert!(
        named.contains(&format!("--ask {http} sends it this request")),
        "{named}"
    );
    let asked = said(&here.explain(&[url, "--ask", &http]));
    assert!(asked.contains("answers 503 by itself"), "{asked}");
    assert!(asked.contains(" ok  Proxy"), "{asked}");
    let differs = said(&here.explain(&[url, "--class=other", "--ask", &http]));
    assert!(differs.contains("; 404 was foreseen"), "{differs}");
    let nobody = free().to_string();
    let refused = here.explain(&[url, "--ask", &nobody]);
    assert!(
        said(&refused).contains("does not answer"),
        "{}",
        said(&refused)
    );
}
