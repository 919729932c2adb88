//! `status`: what is known about the routes, and what to do about it.
//!
//! `kubectl describe` prints fields by name and lists in their order, so names
//! and order here are what a user sees. Nothing in a status ticks: a steady
//! cluster writes nothing.
//!
//! Why not the condition type of Kubernetes: its schema has no bounds, and the
//! size of a status must be known before it is written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known about the routes that this object holds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouteHealthStatus {
    /// metadata.generation of this object that the status takes account of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What this object is about, such as ingress/shop.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 300))]
    pub target: String,

    /// metadata.generation of the Ingress that these conditions describe (targetRef only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_generation: Option<i64>,

    /// A digest over the annotations of that Ingress that these conditions take account of; they
    /// change without its generation (targetRef only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub target_annotations: Option<String>,

    /// The figures of the printed columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// The verdict over all routes, Healthy first, then the stages of a request in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The routes that this object holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec![
            "ingress".into(), "host".into(), "path".into(), "pathType".into(),
        ])
    )]
    pub routes: Vec<RouteStatus>,

    /// How many healthy routes are left out of the list to keep this object small.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub routes_omitted: i32,
}

/// The figures of the printed columns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Healthy routes of all routes, such as 1/2.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 24))]
    pub routes: String,

    /// Ready endpoints of all endpoints, such as 3/3.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 24))]
    pub endpoints: String,

    /// Ready endpoints that the probe took out of rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected: Option<i32>,

    /// The probe in short, such as HTTP :8000/health.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub probe: String,

    /// How many of the proxies run these routes as they are now, such as 2/3; left out while all
    /// of them do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 24))]
    pub proxies: String,
}

/// One aspect of the state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, such as Healthy or EndpointsReady.
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub type_: String,

    /// Whether it holds. Unknown means that there is no proof either way.
    pub status: ConditionStatus,

    /// metadata.generation of this object that the condition takes account of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,

    /// When status last changed.
    pub last_transition_time: Time,

    /// Why, in one word.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub reason: String,

    /// Why, in a sentence; empty where there is nothing to add.
    #[schemars(length(max = 512))]
    pub message: String,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// What is known about one route. The first four fields name it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Name of the Ingress.
    #[schemars(length(max = 253))]
    pub ingress: String,

    /// Host of the rule, `*` where it has none.
    #[schemars(length(max = 253))]
    pub host: String,

    /// Path of the rule.
    #[schemars(length(max = 1024))]
    pub path: String,

    /// Path type of the rule, or DefaultBackend.
    #[schemars(length(max = 32))]
    pub path_type: String,

    /// Service and port that the route leads to, such as shop:8080.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 300))]
    pub backend: String,

    /// Healthy, and each stage that is not True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// How many endpoints are in which state; a state without endpoints is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointCounts>,

    /// The exact request of the probe, and where its parts come from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub probe: String,

    /// Endpoints that fail the probe, at most spec.statusDetail.maxEndpointsPerRoute of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["address".into()]))]
    pub failing_endpoints: Vec<FailingEndpoint>,

    /// What is wrong or doubtful, and how to mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["code".into()]))]
    pub diagnoses: Vec<Diagnosis>,
}

/// How many endpoints are in which state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndpointCounts {
    /// Endpoints that are ready by their readinessProbe.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ready: i32,

    /// Endpoints that are not ready.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_ready: i32,

    /// Endpoints that are shutting down.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub terminating: i32,

    /// Ready endpoints that pass the probe.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passing: i32,

    /// Ready endpoints that fail the probe.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failing: i32,

    /// Failing endpoints that were taken out of rotation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ejected: i32,
}

/// An endpoint that fails the probe.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct FailingEndpoint {
    /// Address and port.
    #[schemars(length(max = 64))]
    pub address: String,

    /// Name of the pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pod: String,

    /// Why it fails, in one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub reason: String,

    /// What was seen, such as the status code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 160))]
    pub detail: String,

    /// When it began to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// Whether it was taken out of rotation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ejected: bool,
}

/// One finding and its remedy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Stable code of the finding, such as RH701.
    #[schemars(length(max = 8), regex(pattern = r"^RH[0-9]{3}$"))]
    pub code: String,

    /// Error means that requests fail, Warning that they may, Info that it is worth knowing.
    pub severity: Severity,

    /// The finding in one word.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// The finding in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 384))]
    pub message: String,

    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 384))]
    pub fix: String,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    Info,
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}
