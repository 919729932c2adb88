//! 2xx: what an Ingress refers to.

use super::{Code, Diagnostic, Origin};

/// `similar` are names of Services of the same namespace that resemble the wanted one, `elsewhere` are
/// namespaces that have one of this name; `consequence` is a sentence that says what clients get.
pub fn service_not_found(
    origin: Origin,
    namespace: &str,
    service: &str,
    similar: &[&str],
    elsewhere: &[&str],
    consequence: &str,
) -> Diagnostic {
    let mut near = match similar {
        [] => String::new(),
        names => format!(" Similar: {}.", names.join(", ")),
    };
    if !elsewhere.is_empty() {
        near.push_str(&format!(
            " Namespace {} has one of this name.",
            elsewhere.join(", ")
        ));
    }
    Diagnostic::new(
        Code::RH201,
        origin,
        format!("Service {namespace}/{service} does not exist.{near} {consequence}"),
        "Correct backend.service.name. Services of other namespaces cannot be used.",
    )
}

/// `ports` are the Service's own, as `80 (http)`; `meant` is one of them that leads to the wanted port of
/// the pods.
pub fn service_port_not_found(
    origin: Origin,
    service: &str,
    wanted: &str,
    ports: &[String],
    meant: Option<&str>,
    consequence: &str,
) -> Diagnostic {
    let has = match ports {
        [] => "no port at all".to_owned(),
        ports => ports.join(", "),
    };
    Diagnostic::new(
        Code::RH202,
        origin,
        format!("Service {service} has no port {wanted}; it has {has}. {consequence}"),
        match meant {
            Some(meant) => {
                format!("Use port {meant} of the Service, which leads to {wanted} of its pods.")
            }
            None => "Use a port of the Service, not the container port.".to_owned(),
        },
    )
}

pub fn backend_kind_unsupported(
    origin: Origin,
    kind: &str,
    name: &str,
    consequence: &str,
) -> Diagnostic {
    Diagnostic::new(
        Code::RH204,
        origin,
        format!("Backend {kind}/{name} is not supported. {consequence}"),
        "Use a Service backend.",
    )
}

pub fn external_name(origin: Origin, service: &str, name: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH205,
        origin,
        format!("Service {service} is ExternalName {name}; it is routed but not probed."),
        "Nothing needs to be done.",
    )
}

/// `served` is a sentence that says what is served instead.
pub fn tls_secret_not_found(origin: Origin, secret: &str, host: &str, served: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH206,
        origin,
        format!("Secret {secret} for host {host} does not exist. {served}"),
        "Create it in this namespace, or correct spec.tls.secretName.",
    )
}

/// The Secret that an option names for the default certificate.
pub fn default_certificate_not_found(origin: Origin, secret: &str, served: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH206,
        origin,
        format!("Secret {secret} for the default certificate does not exist. {served}"),
        "Create it, or correct the option.",
    )
}

/// `why` is a sentence about the Secret's content; `served` says what is served instead.
pub fn tls_secret_invalid(origin: Origin, secret: &str, why: &str, served: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH207,
        origin,
        format!(
            "Secret {secret} cannot be used: {}. {served}",
            why.trim_end_matches('.')
        ),
        "Recreate it with `kubectl create secret tls`: tls.crt holds the chain, tls.key the key of its first certificate.",
    )
}

pub fn tls_host_mismatch(
    origin: Origin,
    secret: &str,
    host: &str,
    names: &[String],
    served: &str,
) -> Diagnostic {
    let covers = match names {
        [] => "no name".to_owned(),
        names => names.join(", "),
    };
    Diagnostic::new(
        Code::RH208,
        origin,
        format!("The certificate of Secret {secret} is for {covers}, not for {host}. {served}"),
        format!("Issue a certificate for {host}."),
    )
}

/// `date` as `2026-11-24`.
pub fn tls_expired(origin: Origin, secret: &str, date: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH209,
        origin,
        format!("The certificate of Secret {secret} expired on {date}; it is still served."),
        "Renew it.",
    )
}

pub fn tls_expires_soon(origin: Origin, secret: &str, date: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH213,
        origin,
        format!("The certificate of Secret {secret} expires on {date}."),
        "Renew it.",
    )
}

pub fn tls_entry_without_secret(origin: Origin, hosts: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH214,
        origin,
        format!("This entry names {hosts} but no Secret; the default certificate is served."),
        "Add secretName, or join this entry with the one that has the Secret.",
    )
}

pub fn tls_host_unused(origin: Origin, host: &str, rule_hosts: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH215,
        origin,
        format!(
            "spec.tls names {host}, which no rule of this Ingress has; its rules have {rule_hosts}."
        ),
        "Use the same host in spec.tls and spec.rules.",
    )
}

/// The Secret of annotation auth-secret.
pub fn auth_secret_not_found(origin: Origin, secret: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH216,
        origin,
        format!(
            "Secret {secret} of annotation auth-secret does not exist; the route answers 503 until it does."
        ),
        "Create it, with the htpasswd lines under key auth.",
    )
}

/// `why` is a sentence about its content.
pub fn auth_secret_invalid(origin: Origin, secret: &str, why: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH217,
        origin,
        format!("Secret {secret} of annotation auth-secret lets nobody in. {why}"),
        "Put htpasswd lines, as user:hash, under key auth; with auth-secret-type auth-map each key is a user.",
    )
}

/// `near` are names of Services of that namespace.
pub fn auth_service_not_found(origin: Origin, service: &str, near: &[&str]) -> Diagnostic {
    let near = match near {
        [] => String::new(),
        names => format!(" Similar: {}.", names.join(", ")),
    };
    Diagnostic::new(
        Code::RH218,
        origin,
        format!("auth-url names Service {service}, which does not exist.{near}"),
        "Correct the host in auth-url.",
    )
}
