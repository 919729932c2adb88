//! `spec.probe`: the request that tells whether an endpoint serves.
//!
//! The fields and their names follow the probes of a pod wherever there is a
//! counterpart, so that who knows one knows the other.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The request that is sent straight to the pod, not through the proxy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.http) || (has(self.type) && self.type == 'HTTP')")
        .message("http may only be set when type is HTTP"),
    validation = Rule::new("!has(self.grpc) || (has(self.type) && self.type == 'GRPC')")
        .message("grpc may only be set when type is GRPC"),
    validation = Rule::new(
        "!has(self.timeoutSeconds) || !has(self.periodSeconds) || self.timeoutSeconds <= self.periodSeconds"
    )
    .message("timeoutSeconds must not exceed periodSeconds"),
    validation = Rule::new("self.inherit != 'None' || has(self.type)")
        .message("with inherit None the probe type must be given"),
    validation = Rule::new(
        "self.inherit != 'None' || !has(self.type) || self.type != 'HTTP' || (has(self.http) && has(self.http.path))"
    )
    .message("with inherit None an HTTP probe needs http.path, a path the application really serves"),
    validation = Rule::new("!has(self.port) || !has(self.portName)")
        .message("set at most one of port and portName"),
    validation = Rule::new("!has(self.tls) || !has(self.type) || self.type != 'None'")
        .message("tls has no effect when type is None")
)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Readiness takes whatever is not given here from the readinessProbe of each pod. None takes
    /// nothing from it.
    #[serde(default)]
    pub inherit: Inherit,

    /// Protocol of the probe: HTTP, GRPC, TCP for a mere connect, or None for no probe at all.
    /// Absent means that of the readinessProbe, or TCP if there is none.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ProbeType>,

    /// Container port of the pod by number, never the Service port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,

    /// Container port of the pod by name, never the Service port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub port_name: Option<String>,

    /// Seconds between two probes of an endpoint. Default: that of the readinessProbe, at least 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: Option<i32>,

    /// Seconds within which the answer must be there. Default: those of the readinessProbe, at
    /// least 2 and at most the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: Option<i32>,

    /// Passes in a row that make a failing endpoint pass again.
    #[serde(default = "success_threshold")]
    #[schemars(range(min = 1, max = 10))]
    pub success_threshold: i32,

    /// Failures in a row that make an endpoint fail. Default: that of the readinessProbe, at
    /// least 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: Option<i32>,

    /// By how much the wait between two probes varies at random, so that probes spread out.
    #[serde(default = "jitter_percent")]
    #[schemars(range(min = 0, max = 50))]
    pub jitter_percent: i32,

    /// The HTTP request and the answer that passes. Only with type HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,

    /// The gRPC health check. Only with type GRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,

    /// Whether the probe speaks TLS, and whom it trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ProbeTls>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            inherit: Inherit::default(),
            type_: None,
            port: None,
            port_name: None,
            period_seconds: None,
            timeout_seconds: None,
            success_threshold: success_threshold(),
            failure_threshold: None,
            jitter_percent: jitter_percent(),
            http: None,
            grpc: None,
            tls: None,
        }
    }
}

fn success_threshold() -> i32 {
    2
}

fn jitter_percent() -> i32 {
    20
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inherit {
    #[default]
    Readiness,
    None,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeType {
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "GRPC")]
    Grpc,
    #[serde(rename = "TCP")]
    Tcp,
    None,
}

/// An HTTP request and the answer that passes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.bodyContains) || self.method == 'GET'")
        .message("bodyContains needs method GET")
)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// Sent verbatim to the pod. It never passes through the proxy, so neither the public prefix
    /// nor a rewrite is applied to it. Default: the path of the readinessProbe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/[^\s#]*$"))]
    pub path: Option<String>,

    /// Host header of the request. Default: that of the readinessProbe, or the host of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?$")
    )]
    pub host: Option<String>,

    /// Method of the request.
    #[serde(default)]
    pub method: HttpMethod,

    /// Further headers of the request. Default: those of the readinessProbe, without the ones
    /// that look like credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(h, h.name.lowerAscii() != 'host')")
            .message("set the Host header with http.host"),
        validation = Rule::new(
            "self.all(h, !(h.name.lowerAscii() in ['connection','content-length','transfer-encoding','upgrade','te','trailer']))"
        )
        .message("hop-by-hop and framing headers cannot be set on a probe")
    )]
    pub headers: Vec<ProbeHeader>,

    /// Single codes or inclusive ranges. Default 200-399, the codes that the kubelet accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(max = 7), regex(pattern = r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"))
    )]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(
            "self.all(s, !s.contains('-') || int(s.split('-')[0]) <= int(s.split('-')[1]))"
        )
        .message("a status range must not run backwards")
    )]
    pub expected_statuses: Vec<String>,

    /// LikeTraffic adds the X-Forwarded-* headers that a client's request would carry on this
    /// route. None adds nothing.
    #[serde(default)]
    pub forwarded: Forwarded,

    /// Text that the first 64 KiB of the answer must contain. Only with method GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub body_contains: Option<String>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    #[default]
    Get,
    Head,
    Options,
}

/// A header of the request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ProbeHeader {
    /// Name of the header; it may appear once.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$")
    )]
    pub name: String,

    /// Value of the header. It is stored in plain text, so give no credentials.
    #[schemars(length(max = 1024))]
    pub value: String,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    #[default]
    LikeTraffic,
    None,
}

/// A check with the standard gRPC health service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GrpcProbe {
    /// Service whose health is asked for. Default: that of the readinessProbe, or the whole
    /// server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service: Option<String>,

    /// Authority of the call. Default: the host of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^*\s]+$"))]
    pub authority: Option<String>,

    /// What it means that the server has no health service. Fail counts it as a failure,
    /// TreatAsServing as a pass, because the server did answer.
    #[serde(default)]
    pub on_unimplemented: OnUnimplemented,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnimplemented {
    #[default]
    Fail,
    TreatAsServing,
}

/// TLS towards the pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.caRef) || (has(self.mode) && self.mode == 'Verify')")
        .message("caRef is only used when mode is Verify"),
    validation = Rule::new("!has(self.serverName) || !has(self.mode) || self.mode != 'Disable'")
        .message("serverName has no effect when mode is Disable")
)]
#[serde(rename_all = "camelCase")]
pub struct ProbeTls {
    /// Disable speaks plain text. SkipVerify speaks TLS and takes any certificate, as the kubelet
    /// does. Verify checks the certificate too. Absent means what the readinessProbe does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,

    /// Server name that is sent and, with Verify, checked. Default: the host of the probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub server_name: Option<String>,

    /// Certificate authorities to trust with Verify, in an object of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    SkipVerify,
    Verify,
}

/// Where the certificates of the trusted authorities lie.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CaRef {
    /// Kind of the object.
    pub kind: CaKind,

    /// Name of the object in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key of the object that holds the certificates in PEM form.
    #[serde(default = "ca_key")]
    #[schemars(length(max = 253))]
    pub key: String,
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaKind {
    ConfigMap,
    Secret,
}
