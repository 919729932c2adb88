//! The rules of the definition once more, in code: a definition in a cluster may be older than we are, and
//! annotations never pass it. Each gives the words of the rule in the schema.

use super::{
    EjectionMode, HttpMethod, HttpProbe, Inherit, Probe, ProbeTls, ProbeType, RouteHealthSpec,
    RouteSelector, TlsMode, VantageMode,
};

pub const MOST_STATUSES: usize = 16;
const MOST_ROUTES: usize = 32;
const MOST_HEADERS: usize = 16;
const LONGEST_PATH: usize = 1024;
const LONGEST_NAME: usize = 253;
/// Headers that belong to the connection and to how a message is cut.
const FRAMING: [&str; 6] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
];

/// What a spec may not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// As `spec.probe.http.path`.
    pub field: &'static str,
    pub message: String,
}

struct Check(Vec<Violation>);

/// All rules that a spec breaks, in the order of its fields.
pub fn violations(spec: &RouteHealthSpec) -> Vec<Violation> {
    let mut check = Check(Vec::new());
    check.target(spec);
    check.routes(&spec.routes);
    check.probe(&spec.probe);
    let prefix = &spec.prefix_check;
    for (field, path) in [
        ("spec.prefixCheck.path", &prefix.path),
        ("spec.prefixCheck.appBasePath", &prefix.app_base_path),
    ] {
        let good = path.as_deref().is_none_or(is_public_path);
        check.rule(
            good,
            field,
            "an absolute path without query and fragment is wanted",
        );
    }
    let period = Some(prefix.period_seconds);
    check.range("spec.prefixCheck.periodSeconds", period, 60, 86400);
    check.vantage(spec);
    check.ejection(spec);
    let most = spec.status_detail.max_endpoints_per_route;
    check.range("spec.statusDetail.maxEndpointsPerRoute", Some(most), 0, 10);
    check.0
}

impl Check {
    fn rule(&mut self, holds: bool, field: &'static str, message: impl Into<String>) {
        if !holds {
            let message = message.into();
            self.0.push(Violation { field, message });
        }
    }

    fn range(&mut self, field: &'static str, value: Option<i32>, least: i32, most: i32) {
        let good = value.is_none_or(|value| (least..=most).contains(&value));
        self.rule(
            good,
            field,
            format!("a number from {least} to {most} is wanted"),
        );
    }

    fn target(&mut self, spec: &RouteHealthSpec) {
        let (target, selector) = (&spec.target_ref, &spec.target_selector);
        self.rule(
            target.is_some() != selector.is_some(),
            "spec",
            "set exactly one of targetRef and targetSelector",
        );
        if let Some(target) = target {
            self.rule(
                target.group == "networking.k8s.io" && target.kind == "Ingress",
                "spec.targetRef.kind",
                "targetRef must name a networking.k8s.io Ingress of this namespace",
            );
            let named = !target.name.is_empty() && target.name.len() <= LONGEST_NAME;
            self.rule(
                named,
                "spec.targetRef.name",
                "the name of an Ingress is wanted",
            );
        }
        if let Some(selector) = selector {
            self.rule(
                !selector.match_labels.is_empty(),
                "spec.targetSelector",
                "an empty selector would match every Ingress of the namespace; give at least one label",
            );
        }
    }

    fn routes(&mut self, routes: &[RouteSelector]) {
        let field = "spec.routes";
        let few = routes.len() <= MOST_ROUTES;
        self.rule(few, field, format!("at most {MOST_ROUTES} are allowed"));
        for route in routes {
            self.rule(
                route.host.is_some() || route.path.is_some(),
                field,
                "a route selector needs a host or a path",
            );
            self.rule(
                route.path_type.is_none() || route.path.is_some(),
                field,
                "pathType is only meaningful with path",
            );
        }
    }

    fn probe(&mut self, probe: &Probe) {
        let type_ = probe.type_;
        let is_http = type_ == Some(ProbeType::Http);
        self.rule(
            probe.http.is_none() || is_http,
            "spec.probe",
            "http may only be set when type is HTTP",
        );
        self.rule(
            probe.grpc.is_none() || type_ == Some(ProbeType::Grpc),
            "spec.probe",
            "grpc may only be set when type is GRPC",
        );
        let (period, timeout) = (probe.period_seconds, probe.timeout_seconds);
        self.rule(
            period
                .zip(timeout)
                .is_none_or(|(period, timeout)| timeout <= period),
            "spec.probe",
            "timeoutSeconds must not exceed periodSeconds",
        );
        let alone = probe.inherit == Inherit::None;
        self.rule(
            !alone || type_.is_some(),
            "spec.probe",
            "with inherit None the probe type must be given",
        );
        let path = probe.http.as_ref().and_then(|http| http.path.as_ref());
        self.rule(
            !alone || !is_http || path.is_some(),
            "spec.probe",
            "with inherit None an HTTP probe needs http.path, a path the application really serves",
        );
        self.rule(
            probe.port.is_none() || probe.port_name.is_none(),
            "spec.probe",
            "set at most one of port and portName",
        );
        self.rule(
            probe.tls.is_none() || type_ != Some(ProbeType::None),
            "spec.probe",
            "tls has no effect when type is None",
        );
        self.range("spec.probe.port", probe.port, 1, 65535);
        let named = probe.port_name.as_deref().is_none_or(is_port_name);
        self.rule(
            named,
            "spec.probe.portName",
            "the name of a container's port is wanted",
        );
        self.range("spec.probe.periodSeconds", period, 1, 300);
        self.range("spec.probe.timeoutSeconds", timeout, 1, 60);
        let passes = Some(probe.success_threshold);
        self.range("spec.probe.successThreshold", passes, 1, 10);
        self.range(
            "spec.probe.failureThreshold",
            probe.failure_threshold,
            1,
            10,
        );
        self.range(
            "spec.probe.jitterPercent",
            Some(probe.jitter_percent),
            0,
            50,
        );
        if let Some(http) = &probe.http {
            self.http(http);
        }
        if let Some(tls) = &probe.tls {
            self.tls(tls);
        }
    }

    fn http(&mut self, http: &HttpProbe) {
        let good = http.path.as_deref().is_none_or(is_path);
        self.rule(
            good,
            "spec.probe.http.path",
            "an absolute path without blanks and '#' is wanted",
        );
        let good = http.host.as_deref().is_none_or(is_host);
        self.rule(
            good,
            "spec.probe.http.host",
            "a host name without wildcard is wanted",
        );
        self.rule(
            http.body_contains.is_none() || http.method == HttpMethod::Get,
            "spec.probe.http",
            "bodyContains needs method GET",
        );
        let field = "spec.probe.http.headers";
        let names = || {
            http.headers
                .iter()
                .map(|header| header.name.to_ascii_lowercase())
        };
        self.rule(
            names().all(|name| name != "host"),
            field,
            "set the Host header with http.host",
        );
        self.rule(
            names().all(|name| !FRAMING.contains(&&*name)),
            field,
            "hop-by-hop and framing headers cannot be set on a probe",
        );
        let few = http.headers.len() <= MOST_HEADERS;
        self.rule(few, field, format!("at most {MOST_HEADERS} are allowed"));
        let field = "spec.probe.http.expectedStatuses";
        let statuses = &http.expected_statuses;
        let few = statuses.len() <= MOST_STATUSES;
        self.rule(few, field, format!("at most {MOST_STATUSES} are allowed"));
        let known = statuses.iter().all(|status| range(status).is_some());
        self.rule(
            known,
            field,
            "statuses, as 200, or ranges, as 200-399, are wanted",
        );
        let mut ranges = statuses.iter().filter_map(|status| range(status));
        self.rule(
            ranges.all(|(from, to)| from <= to),
            field,
            "a status range must not run backwards",
        );
    }

    fn tls(&mut self, tls: &ProbeTls) {
        self.rule(
            tls.ca_ref.is_none() || tls.mode == Some(TlsMode::Verify),
            "spec.probe.tls",
            "caRef is only used when mode is Verify",
        );
        self.rule(
            tls.server_name.is_none() || tls.mode != Some(TlsMode::Disable),
            "spec.probe.tls",
            "serverName has no effect when mode is Disable",
        );
    }

    fn vantage(&mut self, spec: &RouteHealthSpec) {
        let vantage = &spec.vantage;
        self.rule(
            vantage.mode == VantageMode::Sampled || vantage.prober_count.is_none(),
            "spec.vantage",
            "proberCount is only used when mode is Sampled",
        );
        self.range("spec.vantage.proberCount", vantage.prober_count, 1, 5);
    }

    fn ejection(&mut self, spec: &RouteHealthSpec) {
        let ejection = &spec.ejection;
        self.range(
            "spec.ejection.keepPercent",
            Some(ejection.keep_percent),
            0,
            100,
        );
        let (least, most) = (ejection.min_eject_seconds, ejection.max_eject_seconds);
        self.range("spec.ejection.minEjectSeconds", Some(least), 5, 3600);
        self.range("spec.ejection.maxEjectSeconds", Some(most), 5, 3600);
        self.rule(
            least <= most,
            "spec.ejection",
            "minEjectSeconds must not exceed maxEjectSeconds",
        );
        self.rule(
            ejection.mode != EjectionMode::Eject || spec.probe.type_ != Some(ProbeType::None),
            "spec",
            "ejection.mode Eject needs a probe, but probe.type is None",
        );
    }
}

/// The path of a probe, which may have a query.
pub fn is_path(text: &str) -> bool {
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && c != '#';
    text.starts_with('/') && text.len() <= LONGEST_PATH && text.chars().all(clean)
}

/// A path that clients use.
pub fn is_public_path(text: &str) -> bool {
    is_path(text) && !text.contains('?')
}

/// A host, with a port or without.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    text.len() <= LONGEST_NAME
        && ends(host.chars().next())
        && ends(host.chars().last())
        && host.chars().all(inner)
        && port.is_none_or(is_port)
}

/// The name of a container's port.
pub fn is_port_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=15).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// One status or an inclusive range that does not run backwards.
pub fn is_status(text: &str) -> bool {
    range(text).is_some_and(|(from, to)| from <= to)
}

fn range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.filter(|number| (100..600).contains(number))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some((status(from)?, status(to)?))
}
