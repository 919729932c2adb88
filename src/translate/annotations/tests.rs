use std::collections::BTreeSet;

use super::*;
use crate::model::diagnostics::{Code, Kind};

fn read(annotations: &[(&str, &str)]) -> (Settings, Vec<Diagnostic>) {
    let object = ObjectRef::new(Kind::Ingress, "default", "shop");
    let raw = annotations
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    settings(&object, &raw, false)
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
        if let Handling::Honoured { read, .. } | Handling::Health { read } = entry.handling {
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
fn what_stands_for_a_route_health_is_known_by_one_list() {
    let of_health = TABLE
        .iter()
        .filter(|e| matches!(e.handling, Handling::Health { .. }));
    let mut names: Vec<&str> = of_health.map(|entry| entry.name).collect();
    names.sort_unstable();
    assert_eq!(names, crate::api::HEALTH_ANNOTATIONS);
}

#[test]
fn annotations_of_health_form_one_spec_that_a_route_health_may_have() {
    let all: Vec<(String, &str)> = TABLE
        .iter()
        .filter(|entry| matches!(entry.handling, Handling::Health { .. }))
        .map(|entry| (format!("vigie.dev/{}", entry.name), entry.example))
        .collect();
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (&**key, *value)).collect();
    let (settings, findings) = read(&all);
    assert_eq!(findings, []);
    let spec = *settings.health.expect("a spec");
    let http = spec.probe.http.clone().expect("it is of type http");
    assert_eq!(http.path.as_deref(), Some("/health"));
    assert_eq!(http.expected_statuses, ["200-299", "401"]);
    assert_eq!(spec.prefix_check.path.as_deref(), Some("/items"));
    let broken = crate::api::route_health::check::violations(&spec);
    assert_eq!(
        broken.len(),
        1,
        "it has no target, and nothing else is wrong: {broken:?}"
    );
}

#[test]
fn of_health_what_cannot_be_used_is_named_and_the_rest_holds() {
    for (name, value, found) in [
        ("probe-period", "10s", "not a whole number of seconds"),
        ("probe-period", "0", "not between 1 and 300"),
        ("probe-port", "99999", "not between 1 and 65535"),
        ("probe-port", "-x", "neither a port's number"),
        ("probe-path", "health", "not an absolute path"),
        ("probe-status", "200,4", "neither a status"),
        ("probe-status", "399-200", "neither a status"),
        ("probe-host", "*.example.com", "not a host name"),
        ("ejection", "yes", "none of report, eject"),
        ("prefix-check", "items", "neither auto, off"),
    ] {
        let key = format!("vigie.dev/{name}");
        let (settings, findings) = read(&[(&key, value), ("vigie.dev/failure-threshold", "4")]);
        assert!(findings[0].message.contains(found), "{name}: {findings:?}");
        assert_eq!(findings[0].code, Code::RH107);
        assert_eq!(findings[0].origin.field, FieldPath::annotation(&key));
        let spec = settings.health.expect("the rest");
        assert_eq!(spec.probe.failure_threshold, Some(4), "{name}");
    }
}

#[test]
fn of_health_what_cannot_hold_together_is_named() {
    let (settings, findings) = read(&[
        ("vigie.dev/probe", "tcp"),
        ("vigie.dev/probe-path", "/health"),
        ("vigie.dev/probe-period", "5"),
        ("vigie.dev/probe-timeout", "6"),
    ]);
    let fields: Vec<&str> = findings.iter().map(|f| f.origin.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "metadata.annotations[vigie.dev/probe-path]",
            "metadata.annotations[vigie.dev/probe-timeout]"
        ]
    );
    let probe = settings.health.expect("the rest").probe;
    assert_eq!((probe.http, probe.timeout_seconds), (None, None));
    let (settings, findings) = read(&[("vigie.dev/probe", "off"), ("vigie.dev/ejection", "eject")]);
    assert!(
        findings[0]
            .message
            .contains("nothing is ejected without a probe")
    );
    assert_eq!(
        settings.health.expect("the rest").ejection.mode,
        Default::default()
    );
}

#[test]
fn health_is_asked_for_by_our_own_prefix_alone() {
    let (settings, findings) = read(&[("nginx.ingress.kubernetes.io/probe-path", "/health")]);
    assert_eq!(settings.health, None);
    assert_eq!(findings[0].code, Code::RH908);
    assert_eq!(findings[0].fix, "Rename it to vigie.dev/probe-path.");
}

#[test]
fn health_probes_of_application_gateways_are_read_where_that_is_asked_for() {
    let object = ObjectRef::new(Kind::Ingress, "default", "shop");
    let prefix = "appgw.ingress.kubernetes.io";
    let given = [
        ("health-probe-path", "/health"),
        ("health-probe-interval", "7"),
        ("health-probe-timeout", "70"),
        ("health-probe-status-code", "200"),
        ("backend-path-prefix", "/"),
    ];
    let given: BTreeMap<String, String> = given
        .iter()
        .map(|(name, value)| (format!("{prefix}/{name}"), (*value).to_owned()))
        .collect();
    let (read, findings) = settings(&object, &given, true);
    let probe = read.health.expect("a spec").probe;
    assert_eq!(probe.http.expect("http").path.as_deref(), Some("/health"));
    assert_eq!(probe.period_seconds, Some(7));
    let told: Vec<(Code, &str)> = findings.iter().map(|f| (f.code, &*f.fix)).collect();
    assert_eq!(
        told,
        [
            (
                Code::RH908,
                "Rename it to appgw.ingress.kubernetes.io/health-probe-status-codes."
            ),
            (
                Code::RH107,
                "Use a whole number of seconds from 1 to 60, at most probe-period."
            ),
        ]
    );
    let (read, findings) = settings(&object, &given, false);
    assert_eq!(read.health, None);
    let told: Vec<&str> = findings.iter().map(|finding| &*finding.fix).collect();
    assert_eq!(
        told,
        [
            "Rename it to vigie.dev/probe-period.",
            "Rename it to vigie.dev/probe-path.",
            "Rename it to vigie.dev/probe-status.",
            "Rename it to vigie.dev/probe-timeout.",
        ]
    );
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
