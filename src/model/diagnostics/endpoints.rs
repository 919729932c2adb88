//! 4xx: whether anything stands behind a Service.

use super::{Code, Diagnostic, Origin};

pub fn endpoint_port_missing(
    origin: Origin,
    service: &str,
    port: &str,
    found: &[String],
) -> Diagnostic {
    let found = match found {
        [] => "its slices have no port".to_owned(),
        names => format!("its slices have {}", names.join(", ")),
    };
    let wanted = match port {
        "" => "a port without a name".to_owned(),
        name => format!("a port named \"{name}\""),
    };
    Diagnostic::new(
        Code::RH417,
        origin,
        format!("No endpoint of {service} has {wanted}; {found}. The route answers 503."),
        "Use the Service port's name in the EndpointSlice.",
    )
}

pub fn no_endpoint_slices(origin: Origin, service: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH418,
        origin,
        format!(
            "{service} has no selector and nobody wrote an EndpointSlice for it. The route answers 503."
        ),
        "Add a selector, or an EndpointSlice with label kubernetes.io/service-name.",
    )
}

/// Pods that are scaled away, or that wait for a node, have no endpoint either.
pub fn no_endpoints(origin: Origin, service: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH401,
        origin,
        format!(
            "Service {service} has no endpoint: no running pod matches its selector. The route answers 503."
        ),
        "Align the Service's selector and the pods' labels, and see whether the pods run: they may be scaled to 0 or wait for a node.",
    )
}

pub fn none_ready(origin: Origin, service: &str, endpoints: usize) -> Diagnostic {
    let message = match endpoints {
        1 => format!("The only endpoint of Service {service} is not ready. The route answers 503."),
        n => format!("None of {n} endpoints of Service {service} is ready. The route answers 503."),
    };
    Diagnostic::new(
        Code::RH406,
        origin,
        message,
        "See why the pods are not ready: their readinessProbe, restarts and log. Routing resumes by itself.",
    )
}

pub fn only_terminating(origin: Origin, service: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH409,
        origin,
        format!("Only terminating pods of Service {service} are left."),
        "Wait for the rollout; raise maxSurge.",
    )
}

/// A finding that would say more if pods could be looked at.
pub fn unseen(mut finding: Diagnostic) -> Diagnostic {
    finding
        .message
        .push_str(" Pods cannot be looked at, so no more is known.");
    finding.fix.push_str(
        " To be told why, let the controller list and watch pods, deployments, statefulsets and daemonsets.",
    );
    finding
}
