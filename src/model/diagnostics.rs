//! Findings: what is wrong with an object, where, and how to mend it. A finding is data beside the
//! result, never an error that stops others; status, Events, `lint` and `explain` are views of it.
//!
//! [`Code`] is the closed set. One constructor a code says what was found and what is allowed, so
//! that a text stands in one place: `accepted` (1xx), `targets` (1xx, of RouteHealths), `references`
//! (2xx), `programmed` (3xx), `proxies` (3xx, of what runs), `endpoints` and `pods`
//! (4xx, and 9xx of pods), `settings` (9xx) and `asked` (of one URL).
//! What a code means at large stands in `meaning`, with one of the `examples`.

pub mod accepted;
pub mod asked;
pub mod endpoints;
pub mod examples;
pub mod meaning;
pub mod pods;
pub mod programmed;
pub mod proxies;
pub mod references;
pub mod settings;
pub mod targets;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::printable;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A route does not work, or not as it was asked for.
    Error,
    /// It works, and will surprise somebody.
    Warning,
    /// Worth knowing.
    Info,
}

/// The kinds of object that a finding can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    Ingress,
    IngressClass,
    Service,
    EndpointSlice,
    Secret,
    RouteHealth,
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    ReplicationController,
    Job,
    CronJob,
    /// A file of manifests that cannot be read as far as an object.
    Manifest,
    /// A setting given on the command line.
    Option,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Names one object. The namespace is empty for what has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub kind: Kind,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectRef {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// `namespace/name`, or the name alone.
    pub fn path(&self) -> String {
        if self.namespace.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path())
    }
}

/// Where in an object: keys joined by '.', list indexes and keys that hold a dot in brackets, as in
/// `spec.rules[0].host` and `metadata.annotations[vigie.dev/probe-path]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(Arc<str>);

impl FieldPath {
    pub fn new(path: impl Into<String>) -> Self {
        Self(printable(path.into()).into())
    }

    pub fn annotation(key: &str) -> Self {
        Self(printable(format!("metadata.annotations[{key}]")).into())
    }

    /// The field below this one.
    pub fn key(&self, key: &str) -> Self {
        if self.0.is_empty() {
            Self(key.into())
        } else {
            Self(format!("{}.{key}", self.0).into())
        }
    }

    /// An item of this list.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The object and field that something of the model, or a finding, comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Origin {
    pub object: ObjectRef,
    pub field: FieldPath,
}

impl Origin {
    pub fn new(object: ObjectRef, field: FieldPath) -> Self {
        Self { object, field }
    }

    /// The same object, another field.
    pub fn at(&self, field: FieldPath) -> Self {
        Self {
            object: self.object.clone(),
            field,
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    pub origin: Origin,
    pub code: Code,
    pub severity: Severity,
    /// What was found and what is allowed: sentences that end with a full stop.
    pub message: String,
    /// What to do, in the imperative.
    pub fix: String,
}

impl Diagnostic {
    /// A finding with the severity that its code usually has.
    pub fn new(
        code: Code,
        origin: Origin,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let severity = code.severity();
        Self {
            origin,
            code,
            severity,
            message: printable(message.into()),
            fix: printable(fix.into()),
        }
    }

    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The condition that a code of severity error makes False.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Stage {
    Accepted,
    ResolvedRefs,
    Programmed,
    EndpointsReady,
    ProbePassing,
    /// Told beside the conditions.
    Advice,
}

macro_rules! codes {
    ($($code:ident $reason:ident $severity:ident $stage:ident,)*) => {
        /// A finding's stable name; the numbers' hundreds are the stages of RouteHealth.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($code,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// `RHnnn`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// The CamelCase reason of the condition.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$code => stringify!($reason),)* }
            }

            /// The severity it has unless its constructor says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)* }
            }

            pub fn stage(self) -> Stage {
                match self { $(Self::$code => Stage::$stage,)* }
            }
        }
    };
}

codes! {
    RH101 TargetNotFound Error Accepted,
    RH102 TargetNotOurs Warning Accepted,
    RH103 NoMatchingRoutes Error Accepted,
    RH104 Conflicted Error Accepted,
    RH105 Invalid Error Accepted,
    RH106 PartiallyAccepted Warning Accepted,
    RH107 UnsupportedValue Warning Advice,
    RH108 AnnotationsOverridden Info Advice,
    RH109 RegexPathNeedsImplementationSpecific Error Accepted,
    RH201 ServiceNotFound Error ResolvedRefs,
    RH202 ServicePortNotFound Error ResolvedRefs,
    RH203 TargetPortNameUnresolved Error ResolvedRefs,
    RH204 BackendKindUnsupported Error ResolvedRefs,
    RH205 ExternalNameNotProbed Info Advice,
    RH206 TLSSecretNotFound Error ResolvedRefs,
    RH207 TLSSecretInvalid Error ResolvedRefs,
    RH208 TLSHostMismatch Error ResolvedRefs,
    RH209 TLSExpired Error ResolvedRefs,
    RH210 IngressClassNotFound Error Accepted,
    RH212 NoTLSForHost Info Advice,
    RH213 TLSExpiresSoon Warning Advice,
    RH214 TLSEntryWithoutSecret Warning Advice,
    RH215 TLSHostUnused Warning Advice,
    RH216 AuthSecretNotFound Error ResolvedRefs,
    RH217 AuthSecretInvalid Error ResolvedRefs,
    RH218 AuthServiceNotFound Error ResolvedRefs,
    RH302 ConfigRejected Error Programmed,
    RH304 NoProxies Error Programmed,
    RH305 PartiallyProgrammed Error Programmed,
    RH306 RouteShadowed Error Programmed,
    RH309 PathTypeMismatch Warning Advice,
    RH311 CanaryWithoutPrimary Error Programmed,
    RH312 PathNeverMatches Warning Advice,
    RH313 NoRouteMatches Error Advice,
    RH314 RegexHostWide Warning Advice,
    RH315 RewriteCollapsesPaths Warning Advice,
    RH316 RewriteGroupMissing Error Advice,
    RH317 RedirectLoopRisk Warning Advice,
    RH401 SelectorMatchesNoPods Error EndpointsReady,
    RH402 ScaledToZero Warning EndpointsReady,
    RH403 PodsPending Error EndpointsReady,
    RH404 PodsCrashLooping Error EndpointsReady,
    RH405 ImagePullFailing Error EndpointsReady,
    RH406 ReadinessProbeFailing Error EndpointsReady,
    RH407 StartupProbeRunning Warning EndpointsReady,
    RH408 LivenessRestarting Error EndpointsReady,
    RH409 OnlyTerminating Error EndpointsReady,
    RH410 ReadinessGateWaiting Error EndpointsReady,
    RH411 NotReadyPublished Info Advice,
    RH417 EndpointPortMissing Error EndpointsReady,
    RH418 NoEndpointSlices Error EndpointsReady,
    RH419 ContainerConfigError Error EndpointsReady,
    RH515 BackendProtocolMismatch Error ProbePassing,
    RH516 TargetPortNotListening Warning ProbePassing,
    RH809 StatusTruncated Info Advice,
    RH901 NoReadinessProbe Info Advice,
    RH902 ReadinessExecOnly Info Advice,
    RH903 MixedRevisions Info Advice,
    RH904 ContainerPortUndeclared Info Advice,
    RH907 NoDrainOnTermination Info Advice,
    RH908 UnknownAnnotation Info Advice,
    RH909 NotSupportedByProxy Warning Advice,
    RH910 NotYetHonoured Warning Advice,
    RH911 ServiceSettingIgnored Info Advice,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
