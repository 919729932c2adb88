//! `spec.targetRef`, `spec.targetSelector` and `spec.routes`: what a RouteHealth
//! is about.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PATH_PATTERN;

/// One object of the namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.group == 'networking.k8s.io' && self.kind == 'Ingress'")
        .message("targetRef must name a networking.k8s.io Ingress of this namespace")
        .field_path(".kind")
)]
pub struct TargetRef {
    /// API group of the target; only networking.k8s.io is supported.
    #[serde(default = "ingress_group")]
    #[schemars(length(max = 253))]
    pub group: String,

    /// Kind of the target; only Ingress is supported.
    #[serde(default = "ingress_kind")]
    #[schemars(length(max = 63))]
    pub kind: String,

    /// Name of the target in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn ingress_group() -> String {
    "networking.k8s.io".to_owned()
}

fn ingress_kind() -> String {
    "Ingress".to_owned()
}

/// Ingresses of the namespace by their labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.matchLabels) && size(self.matchLabels) > 0")
        .message("an empty selector would match every Ingress of the namespace; give at least one label")
)]
#[serde(rename_all = "camelCase")]
pub struct TargetSelector {
    /// Labels that an Ingress must carry, all of them, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "additionalProperties" = {"type": "string", "maxLength": 63}
    ))]
    pub match_labels: BTreeMap<String, String>,
}

/// Selects routes by what the Ingress says about them. Every given field must match.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.host) || has(self.path)")
        .message("a route selector needs a host or a path"),
    validation = Rule::new("!has(self.pathType) || has(self.path)")
        .message("pathType is only meaningful with path")
)]
#[serde(rename_all = "camelCase")]
pub struct RouteSelector {
    /// Host exactly as the Ingress rule writes it. A wildcard such as `*.example.com` means that
    /// very rule, and `*` means the rule without a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(
            pattern = r"^(\*|(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$"
        )
    )]
    pub host: Option<String>,

    /// Path exactly as the Ingress rule writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = PATH_PATTERN))]
    pub path: Option<String>,

    /// Path type of the Ingress rule, where one path appears with several types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_type: Option<PathType>,
}

#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}
