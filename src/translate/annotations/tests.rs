use std::collections::BTreeSet;

use super::*;
use crate::model::diagnostics::{Code, Kind};

fn read(annotations: &[(&str, &str)]) -> (Settings, Vec<Diagnostic>) {
    let object = ObjectRef::new(Kind::Ingress, "default", "shop");
    let raw = annotations
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    settings(&object, &raw)
}

fn code(annotations: &[(&str, &str)]) -> Vec<(Code, Severity)> {
    read(annotations)
        .1
        .iter()
        .map(|d| (d.code, d.severity))
        .collect()
}

#[test]
fn names_are_unique_and_examples_are_accepted() {
    let names: BTreeSet<_> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), TABLE.len());
    for entry in TABLE {
        if let Handling::Honoured { read, .. } = entry.handling {
            let mut settings = Settings::default();
            assert!(read(&mut settings, entry.example).is_ok(), "{}", entry.name);
            assert!(
                !entry.doc.is_empty() && !entry.allowed.is_empty(),
                "{}",
                entry.name
            );
        }
    }
}

#[test]
fn both_prefixes_are_read_and_ours_decides() {
    let key = "nginx.ingress.kubernetes.io/proxy-read-timeout";
    assert_eq!(read(&[(key, "7")]).0.timeouts.read.as_secs(), 7);
    let both = [(key, "7"), ("vigie.dev/proxy-read-timeout", "8")];
    let (settings, findings) = read(&both);
    assert_eq!(settings.timeouts.read.as_secs(), 8);
    assert_eq!(findings[0].code, Code::RH107);
}

#[test]
fn a_bad_value_keeps_the_default_and_is_told() {
    let (settings, findings) = read(&[("vigie.dev/proxy-connect-timeout", "-1")]);
    assert_eq!(settings.timeouts.connect.as_secs(), 5);
    let finding = &findings[0];
    assert_eq!(
        finding.origin.field.as_str(),
        "metadata.annotations[vigie.dev/proxy-connect-timeout]"
    );
    assert!(
        finding.message.contains("\"-1\"") && finding.message.contains("5 is used"),
        "{finding:?}"
    );
}

#[test]
fn a_bad_access_list_closes_the_route() {
    let (settings, findings) = read(&[("vigie.dev/allowlist-source-range", "10.0.0.0/8,office")]);
    assert!(settings.closed);
    assert_eq!(
        (findings[0].code, findings[0].severity),
        (Code::RH105, Severity::Error)
    );
    assert!(
        findings[0].message.contains("\"office\""),
        "{}",
        findings[0].message
    );
}

#[test]
fn guards_that_are_not_honoured_close_unless_they_ask_for_nothing() {
    let url = ("nginx.ingress.kubernetes.io/auth-url", "http://auth");
    assert!(read(&[url]).0.closed);
    assert_eq!(code(&[url]), [(Code::RH910, Severity::Error)]);
    assert_eq!(
        code(&[("nginx.ingress.kubernetes.io/proxy-ssl-verify", "off")]),
        []
    );
    assert_eq!(
        code(&[("nginx.ingress.kubernetes.io/enable-cors", "true")]),
        [(Code::RH910, Severity::Warning)]
    );
}

#[test]
fn misspelt_names_are_told_with_the_near_one() {
    let (_, findings) = read(&[(
        "nginx.ingress.kubernetes.io/whitelist-source-rnage",
        "10.0.0.0/8",
    )]);
    assert_eq!(
        (findings[0].code, findings[0].severity),
        (Code::RH908, Severity::Error)
    );
    assert!(
        findings[0].message.contains("whitelist-source-range"),
        "{}",
        findings[0].message
    );
    assert_eq!(
        code(&[("vigie.dev/colour", "blue")]),
        [(Code::RH908, Severity::Info)]
    );
    assert_eq!(
        code(&[("nginx.ingress.kubernetes.io/secure-backends", "true")]),
        [(Code::RH908, Severity::Warning)]
    );
    assert_eq!(code(&[("cert-manager.io/cluster-issuer", "x")]), []);
}

#[test]
fn body_sizes_are_powers_of_1024() {
    for (value, octets) in [
        ("20m", Some(20 << 20)),
        ("8K", Some(8 << 10)),
        ("0", None),
        ("512", Some(512)),
    ] {
        assert_eq!(
            read(&[("vigie.dev/proxy-body-size", value)])
                .0
                .body_limit
                .octets,
            octets
        );
    }
    for value in ["", "m", "1.5m", "-1", "99999999999g", "1mb"] {
        assert_eq!(
            code(&[("vigie.dev/proxy-body-size", value)]),
            [(Code::RH107, Severity::Warning)]
        );
    }
}
