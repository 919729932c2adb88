//! On a laptop no pod stands behind a Service: a stand-in says what listens in its place. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, ServiceBackendPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::diagnostics::accepted::invalid;
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin};
use crate::model::names::HostName;
use crate::snapshot::{ObjectName, SERVICE_NAME_LABEL, Snapshot};

const FORM: &str = "write NAMESPACE/SERVICE[:PORT]=HOST:PORT, as shop/api:80=127.0.0.1:8080";
/// What a Service has where no Ingress names a port of it.
const USUAL_PORT: i32 = 80;

/// `shop/api:http=127.0.0.1:8080`: this port of this Service is what listens there. Without a port,
/// all ports of the Service are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    pub service: ObjectName,
    /// A number or a name.
    pub port: Option<String>,
    /// A name or an address, which the caller resolves.
    pub host: String,
    pub host_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StandInError {
    #[error("it has no '='; {FORM}")]
    NoTarget,
    #[error("\"{0}\" is not NAMESPACE/SERVICE; {FORM}")]
    Service(String),
    #[error("port \"{0}\" of the Service is neither 1 to 65535 nor a port's name; {FORM}")]
    ServicePort(String),
    #[error("\"{0}\" has no port; {FORM}")]
    NoPort(String),
    #[error("port \"{0}\" is not 1 to 65535; {FORM}")]
    Port(String),
    #[error("\"{0}\" is neither a host name nor an address; {FORM}")]
    Host(String),
}

impl FromStr for StandIn {
    type Err = StandInError;

    fn from_str(text: &str) -> Result<Self, StandInError> {
        let (wanted, target) = text.split_once('=').ok_or(StandInError::NoTarget)?;
        let (service, port) = service_and_port(wanted)?;
        let (host, host_port) = target
            .rsplit_once(':')
            .ok_or_else(|| StandInError::NoPort(target.into()))?;
        let host_port = port_number(host_port).ok_or(StandInError::Port(host_port.into()))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .filter(|h| h.parse::<std::net::Ipv6Addr>().is_ok())
            .unwrap_or(host);
        // An IPv6 address without brackets would take its last group for the port.
        let is_host = bare != host
            || host.parse::<HostName>().is_ok()
            || host.parse::<std::net::Ipv4Addr>().is_ok();
        if !is_host {
            return Err(StandInError::Host(host.into()));
        }
        Ok(Self {
            service,
            port,
            host: bare.to_owned(),
            host_port,
        })
    }
}

/// Reads `NAMESPACE/SERVICE[:PORT]`.
pub fn service_and_port(text: &str) -> Result<(ObjectName, Option<String>), StandInError> {
    let (path, port) = match text.split_once(':') {
        Some((path, port)) => (path, Some(port)),
        None => (text, None),
    };
    if let Some(port) = port.filter(|port| !is_service_port(port)) {
        return Err(StandInError::ServicePort(port.into()));
    }
    let name = object_name(path).ok_or_else(|| StandInError::Service(path.into()))?;
    Ok((name, port.map(str::to_owned)))
}

/// Reads `NAMESPACE/NAME`.
pub fn object_name(text: &str) -> Option<ObjectName> {
    let (namespace, name) = text.split_once('/')?;
    let ok = |part: &str| {
        !part.is_empty()
            && part.len() <= 253
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    (ok(namespace) && ok(name)).then(|| ObjectName::new(namespace, name))
}

fn is_service_port(port: &str) -> bool {
    if port.bytes().all(|b| b.is_ascii_digit()) {
        return port_number(port).is_some();
    }
    port.len() <= 63
        && port
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// The snapshot with stand-ins at their Services' places, each with the address its host resolved to.
pub fn stand_in(
    snapshot: &Snapshot,
    stand_ins: &[(StandIn, IpAddr)],
) -> (Snapshot, Vec<Diagnostic>) {
    let mut snapshot = snapshot.clone();
    let mut diagnostics = Vec::new();
    let mut by_service: BTreeMap<&ObjectName, Vec<&(StandIn, IpAddr)>> = BTreeMap::new();
    for stand_in in stand_ins {
        by_service
            .entry(&stand_in.0.service)
            .or_default()
            .push(stand_in);
    }
    for (name, stand_ins) in by_service {
        let service = service(&snapshot, name, &stand_ins);
        let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
        let ports: Vec<ServicePort> = ports.cloned().collect();
        for (number, (stand_in, address)) in stand_ins.iter().enumerate() {
            let meant: Vec<&ServicePort> = ports
                .iter()
                .filter(|port| is_meant(stand_in, port))
                .collect();
            if meant.is_empty() {
                diagnostics.push(no_such_port(stand_in, &ports));
                continue;
            }
            vacate(&mut snapshot, name, &meant);
            snapshot.add_slice(slice(name, number, *address, stand_in.host_port, &meant));
        }
        snapshot.add_service(service);
    }
    (snapshot, diagnostics)
}

fn is_meant(stand_in: &StandIn, port: &ServicePort) -> bool {
    stand_in
        .port
        .as_ref()
        .is_none_or(|wanted| port.name.as_ref() == Some(wanted) || port.port.to_string() == *wanted)
}

fn no_such_port(stand_in: &StandIn, ports: &[ServicePort]) -> Diagnostic {
    let StandIn { service, port, .. } = stand_in;
    let wanted = port.as_deref().unwrap_or_default();
    let shown = |port: &ServicePort| match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    };
    let has: Vec<String> = ports.iter().map(shown).collect();
    let origin = Origin::new(
        ObjectRef::new(Kind::Option, "", "backend"),
        FieldPath::new(format!("--backend {service}:{wanted}")),
    );
    let found = format!(
        "Service {service} has no port {wanted}; it has {}",
        has.join(", ")
    );
    invalid(
        origin,
        found,
        "Name a port of the Service, or leave the port out to stand in for all.",
    )
}

/// Takes the ports that are stood in for out of the Service's slices.
fn vacate(snapshot: &mut Snapshot, name: &ObjectName, meant: &[&ServicePort]) {
    let Some(slices) = Arc::make_mut(&mut snapshot.slices).get_mut(name) else {
        return;
    };
    let stays = |port: &EndpointPort| {
        let name = port.name.as_deref().unwrap_or_default();
        !meant
            .iter()
            .any(|m| m.name.as_deref().unwrap_or_default() == name)
    };
    for slice in slices.values_mut() {
        let slice = Arc::make_mut(slice);
        if let Some(ports) = &mut slice.ports {
            ports.retain(stays);
        }
    }
    slices.retain(|_, slice| slice.ports.as_ref().is_some_and(|ports| !ports.is_empty()));
}

fn slice(
    service: &ObjectName,
    number: usize,
    address: IpAddr,
    port: u16,
    meant: &[&ServicePort],
) -> EndpointSlice {
    let label = (SERVICE_NAME_LABEL.to_owned(), service.name.clone());
    let ports = meant.iter().map(|meant| EndpointPort {
        name: Some(meant.name.clone().unwrap_or_default()),
        port: Some(port.into()),
        protocol: Some("TCP".into()),
        ..EndpointPort::default()
    });
    EndpointSlice {
        address_type: if address.is_ipv4() { "IPv4" } else { "IPv6" }.into(),
        endpoints: vec![Endpoint {
            addresses: vec![address.to_string()],
            ..Endpoint::default()
        }],
        metadata: ObjectMeta {
            name: Some(format!("stand-in-{}-{number}", service.name)),
            namespace: Some(service.namespace.clone()),
            labels: Some(BTreeMap::from([label])),
            ..ObjectMeta::default()
        },
        ports: Some(ports.collect()),
    }
}

/// The Service as it stands, or one with the ports by which Ingresses and stand-ins call it. Of a
/// Service that is only another name nothing but its ports can be used.
fn service(snapshot: &Snapshot, name: &ObjectName, stand_ins: &[&(StandIn, IpAddr)]) -> Service {
    let existing = snapshot.services.get(name);
    let mut service = existing.map_or_else(Service::default, |service| (**service).clone());
    service.metadata.name = Some(name.name.clone());
    service.metadata.namespace = Some(name.namespace.clone());
    let spec = service.spec.get_or_insert_with(ServiceSpec::default);
    if spec.type_.as_deref() == Some("ExternalName") {
        spec.type_ = None;
        spec.external_name = None;
    }
    if spec.ports.as_ref().is_none_or(Vec::is_empty) {
        let given = stand_ins
            .iter()
            .filter_map(|(stand_in, _)| stand_in.port.as_deref());
        spec.ports = Some(wanted_ports(snapshot, name, given));
    }
    service
}

fn wanted_ports<'a>(
    snapshot: &Snapshot,
    service: &ObjectName,
    given: impl Iterator<Item = &'a str>,
) -> Vec<ServicePort> {
    let mut numbers = std::collections::BTreeSet::new();
    let mut names = std::collections::BTreeSet::new();
    for port in given {
        match port.parse::<i32>() {
            Ok(number) => numbers.insert(number),
            Err(_) => names.insert(port.to_owned()),
        };
    }
    let in_namespace = snapshot
        .ingresses
        .range(ObjectName::new(service.namespace.clone(), "")..)
        .take_while(|(key, _)| key.namespace == service.namespace);
    for (_, ingress) in in_namespace {
        for port in ports_called(ingress, &service.name) {
            numbers.extend(port.number);
            names.extend(port.name.clone().filter(|name| !name.is_empty()));
        }
    }
    if numbers.is_empty() && names.is_empty() {
        numbers.insert(USUAL_PORT);
    }
    let alone = numbers.len() + names.len() == 1;
    // A Service with several ports must name them all.
    let mut ports: Vec<ServicePort> = numbers
        .iter()
        .map(|&port| service_port((!alone).then(|| format!("port-{port}")), port))
        .collect();
    let free = (USUAL_PORT..=65_535).filter(|port| !numbers.contains(port));
    ports.extend(
        names
            .into_iter()
            .zip(free)
            .map(|(name, port)| service_port(Some(name), port)),
    );
    ports
}

fn service_port(name: Option<String>, port: i32) -> ServicePort {
    ServicePort {
        name,
        port,
        ..ServicePort::default()
    }
}

fn ports_called<'a>(
    ingress: &'a Ingress,
    service: &'a str,
) -> impl Iterator<Item = &'a ServiceBackendPort> {
    let spec = ingress.spec.iter();
    let rules = spec.clone().flat_map(|spec| spec.rules.iter().flatten());
    let paths = rules.flat_map(|rule| rule.http.iter().flat_map(|http| http.paths.iter()));
    let backends = spec
        .filter_map(|spec| spec.default_backend.as_ref())
        .chain(paths.map(|path| &path.backend));
    backends.filter_map(move |backend: &IngressBackend| {
        let called = backend.service.as_ref().filter(|s| s.name == service)?;
        called.port.as_ref()
    })
}

#[cfg(test)]
mod tests;
