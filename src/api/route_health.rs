//! RouteHealth, the custom resource that gives the routes of an Ingress a
//! health, a diagnosis and, where asked, active probing.
//!
//! The types here are the schema: `crds/routehealths.yaml` is printed from them,
//! bounds and rules included, and their doc comments are what `kubectl explain`
//! shows. Nothing is decided here; what a field brings about is the business of
//! the rooms that read it.
//!
//! Every list and string that a rule can reach is bounded, because the API
//! server refuses a definition whose rules might cost too much.

pub mod check;
mod probe;
mod status;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use probe::{
    CaKind, CaRef, Forwarded, GrpcProbe, HttpMethod, HttpProbe, Inherit, OnUnimplemented, Probe,
    ProbeHeader, ProbeTls, ProbeType, TlsMode,
};
pub use status::{
    Condition, ConditionStatus, Diagnosis, EndpointCounts, FailingEndpoint, RouteHealthStatus,
    RouteStatus, Severity, Summary,
};
pub use target::{PathType, RouteSelector, TargetRef, TargetSelector};

/// An absolute path without a query or a fragment.
const PATH_PATTERN: &str = r"^/[^\s?#]*$";

/// What to check on which routes, and what may follow from it.
#[derive(
    CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq,
)]
#[kube(
    group = "vigie.dev",
    version = "v1alpha1",
    kind = "RouteHealth",
    plural = "routehealths",
    namespaced,
    shortname = "rh",
    category = "ingress-health",
    status = "RouteHealthStatus",
    derive = "PartialEq",
    doc = "RouteHealth tells whether the routes of an Ingress work and, where one does not, which stage is broken and how to mend it.",
    selectable = ".spec.targetRef.name",
    printcolumn = r#"{"name": "Target", "type": "string", "jsonPath": ".status.target"}"#,
    printcolumn = r#"{"name": "Healthy", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Healthy\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Healthy\")].reason"}"#,
    printcolumn = r#"{"name": "Routes", "type": "string", "jsonPath": ".status.summary.routes"}"#,
    printcolumn = r#"{"name": "Endpoints", "type": "string", "jsonPath": ".status.summary.endpoints"}"#,
    printcolumn = r#"{"name": "Ejected", "type": "integer", "jsonPath": ".status.summary.ejected"}"#,
    printcolumn = r#"{"name": "Probe", "type": "string", "jsonPath": ".status.summary.probe", "priority": 1}"#,
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".spec.ejection.mode", "priority": 1}"#,
    printcolumn = r#"{"name": "Proxies", "type": "string", "jsonPath": ".status.summary.proxies", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Healthy\")].message", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("has(self.targetRef) != has(self.targetSelector)")
        .message("set exactly one of targetRef and targetSelector"),
    validation = Rule::new(
        "!has(self.ejection) || self.ejection.mode != 'Eject' || !has(self.probe) || !has(self.probe.type) || self.probe.type != 'None'"
    )
    .message("ejection.mode Eject needs a probe, but probe.type is None")
)]
#[serde(rename_all = "camelCase")]
pub struct RouteHealthSpec {
    /// The one Ingress that this object is about. Give either this or targetSelector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,

    /// The Ingresses of this namespace that this object is about, by their labels. Give either
    /// this or targetRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_selector: Option<TargetSelector>,

    /// Which routes of the target; absent or empty means all of them. A route is held when any
    /// of the entries selects it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<RouteSelector>,

    /// How the endpoints are probed. What is left out is inferred from the readinessProbe of
    /// each pod.
    #[serde(default)]
    pub probe: Probe,

    /// Whether the application really answers below the public path of a route.
    #[serde(default)]
    pub prefix_check: PrefixCheck,

    /// Whether the proxy really picks the route for the host and path of the route.
    #[serde(default)]
    pub data_path_check: DataPathCheck,

    /// From where the endpoints are probed.
    #[serde(default)]
    pub vantage: Vantage,

    /// What happens to ready endpoints that fail the probe.
    #[serde(default)]
    pub ejection: Ejection,

    /// How much detail the status carries.
    #[serde(default)]
    pub status_detail: StatusDetail,
}

/// Compares what the application answers with and without the public path of a route.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PrefixCheck {
    /// Auto checks every route with a path other than `/`. Disabled sends no such request.
    #[serde(default)]
    pub mode: CheckMode,

    /// A path below the public path that clients really use, such as `/items`. With it the
    /// verdict is definite; without it the probe paths and what the application tells about
    /// itself are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = PATH_PATTERN))]
    pub path: Option<String>,

    /// What the application is meant to be mounted at. Absent means that the check finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = PATH_PATTERN))]
    pub app_base_path: Option<String>,

    /// Seconds until the check is repeated while its verdict is not good. A good verdict stands
    /// until the route or the pods change.
    #[serde(default = "prefix_check_period")]
    #[schemars(range(min = 60, max = 86400))]
    pub period_seconds: i32,
}

impl Default for PrefixCheck {
    fn default() -> Self {
        Self {
            mode: CheckMode::default(),
            path: None,
            app_base_path: None,
            period_seconds: prefix_check_period(),
        }
    }
}

fn prefix_check_period() -> i32 {
    600
}

/// Asks the proxy itself which route it picks.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPathCheck {
    /// Auto sends one request through the proxy for each route and change of configuration; the
    /// proxy answers it and the application does not see it. Disabled sends none.
    #[serde(default)]
    pub mode: CheckMode,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckMode {
    #[default]
    Auto,
    Disabled,
}

/// Chooses the proxies that probe.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.mode == 'Sampled' || !has(self.proberCount)")
        .message("proberCount is only used when mode is Sampled")
)]
#[serde(rename_all = "camelCase")]
pub struct Vantage {
    /// Sampled lets a few proxies probe each endpoint. EveryProxy lets all of them do so, for
    /// proxies that sit on different networks.
    #[serde(default)]
    pub mode: VantageMode,

    /// How many proxies probe each endpoint when mode is Sampled. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub prober_count: Option<i32>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VantageMode {
    #[default]
    Sampled,
    EveryProxy,
}

/// Takes ready endpoints that fail the probe out of rotation. Endpoints that are not ready never
/// come into rotation, whatever the probe says.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.minEjectSeconds <= self.maxEjectSeconds")
        .message("minEjectSeconds must not exceed maxEjectSeconds")
)]
#[serde(rename_all = "camelCase")]
pub struct Ejection {
    /// Report shows failing endpoints and leaves routing as it is. Eject takes them out of
    /// rotation, once the same probe has passed on a pod of the same revision.
    #[serde(default)]
    pub mode: EjectionMode,

    /// Share of the ready endpoints, rounded up, that must stay in rotation before belowKeep
    /// applies.
    #[serde(default = "keep_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub keep_percent: i32,

    /// What happens when fewer endpoints than keepPercent asks for would stay. UseAllReady ejects
    /// none, StopEjecting ejects those that failed first and keeps the share, RejectRequests
    /// ejects every failing one, even if requests are then answered with 503.
    #[serde(default)]
    pub below_keep: BelowKeep,

    /// Seconds that an ejected endpoint stays out at least, even if it passes again sooner.
    #[serde(default = "min_eject_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub min_eject_seconds: i32,

    /// Seconds after which an ejection ends by itself unless the probe still fails.
    #[serde(default = "max_eject_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub max_eject_seconds: i32,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            mode: EjectionMode::default(),
            keep_percent: keep_percent(),
            below_keep: BelowKeep::default(),
            min_eject_seconds: min_eject_seconds(),
            max_eject_seconds: max_eject_seconds(),
        }
    }
}

fn keep_percent() -> i32 {
    50
}

fn min_eject_seconds() -> i32 {
    30
}

fn max_eject_seconds() -> i32 {
    300
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EjectionMode {
    #[default]
    Report,
    Eject,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BelowKeep {
    #[default]
    UseAllReady,
    StopEjecting,
    RejectRequests,
}

/// Bounds the detail of the status.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StatusDetail {
    /// How many failing endpoints a route lists by address.
    #[serde(default = "max_endpoints_per_route")]
    #[schemars(range(min = 0, max = 10))]
    pub max_endpoints_per_route: i32,
}

impl Default for StatusDetail {
    fn default() -> Self {
        Self {
            max_endpoints_per_route: max_endpoints_per_route(),
        }
    }
}

fn max_endpoints_per_route() -> i32 {
    3
}

/// The definition to install in a cluster: the derived one with two changes.
///
/// The derive calls every optional field nullable, and a null would then be stored beside the
/// fields that are absent; without the word the API server drops it, so that "not given" has one
/// spelling. And descriptions come with the line breaks of the source, which only get in the way
/// where `kubectl explain` wraps them again.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = RouteHealth::crd();
    for version in &mut crd.spec.versions {
        if let Some(validation) = &mut version.schema
            && let Some(schema) = &mut validation.open_api_v3_schema
        {
            polish(schema);
        }
    }
    crd
}

fn polish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        polish(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        polish(items);
    }
}

/// The definition as a YAML document, ready for `kubectl apply`.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&crd())
}
