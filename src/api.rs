//! What Vigie says to the cluster in its own name: the API group, the names it
//! goes by, the prefixes and labels it puts on objects, and the RouteHealth
//! resource.
//!
//! These are wire types and words, nothing else. This room must never know the
//! model, a proxy, a client or a clock: the other rooms translate between these
//! types and their own.

pub mod report;
pub mod route_health;

use std::collections::BTreeMap;

/// API group of everything that Vigie defines.
pub const GROUP: &str = "vigie.dev";

/// Version of the group that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// `spec.controller` of the IngressClasses that are ours.
pub const CONTROLLER_NAME: &str = "vigie.dev/ingress-controller";

/// `spec.controller` of the IngressClasses of ingress-nginx, which Vigie can take over.
pub const INGRESS_NGINX_CONTROLLER: &str = "k8s.io/ingress-nginx";

/// Prefix of our annotations.
pub const ANNOTATION_PREFIX: &str = "vigie.dev/";

/// Names, below our prefix, of the annotations that stand for a RouteHealth.
pub const HEALTH_ANNOTATIONS: [&str; 14] = [
    "app-base-path",
    "below-keep",
    "ejection",
    "failure-threshold",
    "keep-percent",
    "prefix-check",
    "probe",
    "probe-host",
    "probe-path",
    "probe-period",
    "probe-port",
    "probe-status",
    "probe-timeout",
    "success-threshold",
];

/// Whether an annotation stands for a field of a RouteHealth.
pub fn is_health_annotation(key: &str) -> bool {
    let name = key.strip_prefix(ANNOTATION_PREFIX);
    name.is_some_and(|name| HEALTH_ANNOTATIONS.contains(&name))
}

/// Prefix of the ingress-nginx annotations, which Vigie reads too.
pub const NGINX_ANNOTATION_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// The annotation that named the class of an Ingress before `spec.ingressClassName` did.
pub const LEGACY_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// A digest over the annotations of an Ingress that mean something to Vigie. It is a part of what is
/// written: another version of Vigie must come to the same.
pub fn annotations_digest(annotations: Option<&BTreeMap<String, String>>) -> String {
    let is_read = |name: &str| {
        name.starts_with(ANNOTATION_PREFIX)
            || name.starts_with(NGINX_ANNOTATION_PREFIX)
            || name == LEGACY_CLASS_ANNOTATION
    };
    let mut hasher = blake3::Hasher::new();
    let all = annotations.into_iter().flatten();
    for text in all
        .filter(|(name, _)| is_read(name))
        .flat_map(|(name, value)| [name, value])
    {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

/// Marks the IngressClass of the Ingresses that name none.
pub const DEFAULT_CLASS_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// Label of the RouteHealth objects that Vigie wrote itself; its value is `true`.
pub const GENERATED_LABEL: &str = "vigie.dev/generated";

/// Label that tells which installation of Vigie wrote an object.
pub const INSTANCE_LABEL: &str = "vigie.dev/instance";

/// Label that tells for which proxy an object of a publication is: `nginx` or `haproxy`.
pub const PROXY_LABEL: &str = "vigie.dev/proxy";

/// Values of [`PART_LABEL`].
pub mod part {
    pub const INDEX: &str = "index";
    pub const SHARD: &str = "shard";
    pub const ENDPOINTS: &str = "endpoints";
    pub const REPORT: &str = "report";
}

/// Label that tells what an object of a publication is: `index`, `shard` or `endpoints`; a `report` is what
/// an agent says of its proxy.
pub const PART_LABEL: &str = "vigie.dev/part";

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(annotations: &[(&str, &str)]) -> String {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        annotations_digest(Some(&annotations.iter().map(owned).collect()))
    }

    #[test]
    fn only_annotations_that_are_read_count() {
        let none = annotations_digest(None);
        assert_eq!(none, "af1349b9f5f9a1a6");
        assert_eq!(digest(&[("example.com/note", "x")]), none);
        let names = [
            "vigie.dev/x",
            "nginx.ingress.kubernetes.io/x",
            "kubernetes.io/ingress.class",
        ];
        for name in names {
            assert_ne!(digest(&[(name, "a")]), none);
            assert_ne!(digest(&[(name, "a")]), digest(&[(name, "b")]));
        }
    }
}
