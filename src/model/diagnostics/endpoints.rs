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
