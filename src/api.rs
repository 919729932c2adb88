//! What Vigie says to the cluster in its own name: the API group, the names it
//! goes by, the prefixes and labels it puts on objects, and the RouteHealth
//! resource.
//!
//! These are wire types and words, nothing else. This room must never know the
//! model, a proxy, a client or a clock: the other rooms translate between these
//! types and their own.

pub mod report;
pub mod route_health;

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

/// Prefix of the ingress-nginx annotations, which Vigie reads too.
pub const NGINX_ANNOTATION_PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// The annotation that named the class of an Ingress before `spec.ingressClassName` did.
pub const LEGACY_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

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
