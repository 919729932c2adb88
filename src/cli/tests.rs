use clap::Parser;

use super::options::BuildOptions;
use super::report::{Report, summary};
use crate::source::folder::{File, Folder};
use crate::translate::PathSemantics;

fn folder(text: &str) -> Folder {
    Folder::of(vec![File {
        name: "shop.yaml".into(),
        content: Ok(text.as_bytes().to_vec()),
    }])
}

const BAD: &str = "\
# é
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  defaultBackend: {service: {name: api, port: {number: \"80\"}}}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {a: \"hush!\"}
---
kind: ConfigMap
apiVersion: v1
";

#[test]
fn findings_are_written_as_the_compiler_writes() {
    let folder = folder(BAD);
    let report = Report::new(&folder.diagnostics, &folder.locations);
    assert_eq!(
        report.text(false),
        r#"error[RH105]: spec.defaultBackend.service.port.number is not valid: it is the string "80", and a whole number is wanted.
 --> shop.yaml:6:56
  |
6 |   defaultBackend: {service: {name: api, port: {number: "80"}}}
  |                                                        ^^^^ Invalid
  |
  = note: Ingress default/shop, spec.defaultBackend.service.port.number
  = help: Remove the quotes: 80.

error[RH105]: data.a is not valid: it is not base64.
--> shop.yaml:11:11
 = note: Secret default/keys, data.a
 = help: Encode the value with base64, or move it to stringData as it is.

"#
    );
    assert_eq!(
        summary(&report, folder.objects, &folder.skipped),
        "2 errors in 2 objects; skipped 1 ConfigMap"
    );
    assert!(report.text(true).contains("\u{1b}["));
}

#[test]
fn findings_are_an_array_for_programs() {
    let folder = folder(BAD);
    let report = Report::new(&folder.diagnostics[..1], &folder.locations);
    assert_eq!(
        report.json().expect("it is JSON"),
        r#"[
  {
    "code": "RH105",
    "reason": "Invalid",
    "severity": "error",
    "object": {
      "kind": "Ingress",
      "namespace": "default",
      "name": "shop"
    },
    "field": "spec.defaultBackend.service.port.number",
    "file": "shop.yaml",
    "line": 6,
    "message": "spec.defaultBackend.service.port.number is not valid: it is the string \"80\", and a whole number is wanted.",
    "fix": "Remove the quotes: 80."
  }
]"#
    );
}

#[test]
fn arguments_are_sound() {
    use clap::CommandFactory;
    super::Cli::command().debug_assert();
}

#[derive(Debug, Parser)]
struct OnlyOptions {
    #[command(flatten)]
    build: BuildOptions,
}

#[test]
fn options_become_what_translate_reads() {
    let parse = |args: &[&str]| OnlyOptions::try_parse_from([&["vigie"], args].concat());
    let args = [
        "--take-over=k8s.io/ingress-nginx",
        "--default-backend=shop/web:http",
        "--trusted-proxy=10.1.2.3/8,::1",
    ];
    let options = parse(&args).expect("they are taken").build;
    let options = options.options(jiff::civil::date(2026, 11, 24), None);
    assert_eq!(options.classes.name, "vigie");
    let controllers = [
        (
            "vigie.dev/ingress-controller".to_owned(),
            PathSemantics::Strict,
        ),
        (
            "k8s.io/ingress-nginx".to_owned(),
            PathSemantics::IngressNginx,
        ),
    ];
    assert_eq!(options.classes.controllers, controllers);
    let trusted: Vec<String> = options
        .trusted_proxies
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    for bad in [
        "--backend=x",
        "--default-backend=x",
        "--default-certificate=x",
        "--trusted-proxy=x",
    ] {
        assert!(parse(&[bad]).is_err(), "{bad} was taken");
    }
}
