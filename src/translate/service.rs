//! A backend reference → an upstream with its endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::IngressBackend;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::PathSemantics;
use super::class::Claimed;
use super::endpoints::{FromSlices, OfPort};
use super::slices::Found;
use crate::model::diagnostics::{
    Diagnostic, FieldPath, Kind, ObjectRef, Origin, accepted, endpoints, references, settings,
};
use crate::model::names::near::near_names;
use crate::model::names::{DnsName, UpstreamName, shown};
use crate::model::{Endpoint, Endpoints, Protocol, Upstream};
use crate::snapshot::{ObjectName, Snapshot};

/// Of a Service that is missing here, so many namespaces that have one are named.
const MOST_NAMESPACES: usize = 3;

/// Builds upstreams, each once.
pub struct Upstreams<'a> {
    snapshot: &'a Snapshot,
    built: BTreeMap<UpstreamName, Upstream>,
    /// What slices hold, by Service and name of its port: many paths may refer to one.
    found: BTreeMap<(&'a ObjectName, &'a str), OfPort>,
    /// Namespaces by the names of their Services; only looked at where one is missing.
    namespaces: Option<BTreeMap<&'a str, Vec<&'a str>>>,
}

/// The port that a backend refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    Number(i32),
    Name(String),
    /// A Service with a single port needs no more.
    Only,
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(&shown(name)),
            Self::Only => f.write_str("by itself"),
        }
    }
}

/// How an Ingress wants a Service to be spoken to.
#[derive(Clone, Copy)]
pub struct Wish {
    pub protocol: Option<Protocol>,
    pub cluster_ip: bool,
    pub semantics: PathSemantics,
    /// What clients get where there is no such Service, as a sentence.
    pub without: &'static str,
}

impl Wish {
    pub fn of(claimed: &Claimed<'_>) -> Self {
        Self {
            protocol: claimed.settings.protocol,
            cluster_ip: claimed.settings.service_upstream,
            semantics: claimed.semantics,
            without: "The route answers 503.",
        }
    }
}

impl<'a> Upstreams<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            built: BTreeMap::new(),
            found: BTreeMap::new(),
            namespaces: None,
        }
    }

    /// The upstream of an Ingress backend; None, with a finding, where there is none.
    pub fn of_backend(
        &mut self,
        namespace: &str,
        backend: &IngressBackend,
        origin: &Origin,
        wish: Wish,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<UpstreamName> {
        let at = |field: &str| origin.at(origin.field.key(field));
        let Some(service) = &backend.service else {
            findings.push(match &backend.resource {
                Some(resource) => references::backend_kind_unsupported(
                    at("resource"),
                    &resource.kind,
                    &resource.name,
                    wish.without,
                ),
                None => accepted::invalid(at("service"), "it is missing", "Name a Service."),
            });
            return None;
        };
        let (number, name) = match &service.port {
            Some(port) => (port.number, port.name.clone()),
            None => (None, None),
        };
        let port = match (number, name) {
            (Some(number), _) => PortRef::Number(number),
            (None, Some(name)) => PortRef::Name(name),
            (None, None) => {
                findings.push(accepted::invalid(
                    at("service.port"),
                    "it is missing",
                    "Give the Service's port by number or by name.",
                ));
                return None;
            }
        };
        let name = ObjectName::new(namespace, service.name.clone());
        self.of_service(&name, &port, &at("service"), wish, findings)
    }

    /// The upstream of a Service's port; `origin` is the reference's own place, with the fields
    /// `name` and `port` below it.
    pub fn of_service(
        &mut self,
        name: &ObjectName,
        wanted: &PortRef,
        origin: &Origin,
        wish: Wish,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<UpstreamName> {
        let at = |field: &str| origin.at(origin.field.key(field));
        let Some((name, service)) = self.snapshot.services.get_key_value(name) else {
            let near = near_names(&name.name, self.snapshot.service_names(&name.namespace));
            findings.push(references::service_not_found(
                at("name"),
                &name.namespace,
                &shown(&name.name),
                &near,
                &self.elsewhere(name),
                wish.without,
            ));
            return None;
        };
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref());
        let ports: &'a [ServicePort] = ports.unwrap_or_default();
        let empty = ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&empty);
        let external = spec.type_.as_deref() == Some("ExternalName");
        let port = find_port(ports, wanted);
        let number = match (port, wanted) {
            (Some(port), _) => valid_port(port.port),
            // An ExternalName Service usually lists no port: the number is the remote one.
            (None, PortRef::Number(number)) if external => valid_port(*number),
            (None, PortRef::Only) if external => Some(80),
            _ => None,
        };
        let Some(number) = number else {
            if let Some(port) = port {
                findings.push(accepted::invalid(
                    Origin::new(service_ref(name), FieldPath::new("spec.ports")),
                    format!("{} is no port", port.port),
                    "Use a port between 1 and 65535.",
                ));
                return None;
            }
            let has: Vec<String> = ports.iter().map(show_port).collect();
            findings.push(references::service_port_not_found(
                at("port"),
                &name.name,
                &wanted.to_string(),
                &has,
                meant(ports, wanted).as_deref(),
                wish.without,
            ));
            return None;
        };
        let protocol = protocol(name, port, wish, findings);
        let how = if wish.cluster_ip {
            "cluster-ip"
        } else {
            protocol.as_str()
        };
        let id = UpstreamName::new(
            &name.namespace,
            &name.name,
            &number.to_string(),
            &format!("{} {how}", protocol.as_str()),
        );
        let place = Place {
            name,
            spec,
            port,
            number,
            origin,
        };
        let reached = if external {
            place.external_name(findings)?
        } else if let Some(cluster_ip) = place.cluster_ip(wish, findings) {
            cluster_ip
        } else {
            place.addresses(self.of_port(name, port, &id), findings)
        };
        if !self.built.contains_key(&id) {
            ignored_settings(spec, name, findings);
            let origin = Origin::new(service_ref(name), FieldPath::new("spec.ports"));
            let label = format!("{name}:{number}");
            self.built.insert(
                id.clone(),
                Upstream {
                    label,
                    protocol,
                    service_port: number,
                    port: place.target_port(),
                    endpoints: reached,
                    origin,
                },
            );
        }
        Some(id)
    }

    /// Other namespaces that have a Service of this name, a few of them.
    fn elsewhere(&mut self, name: &ObjectName) -> Vec<&'a str> {
        let snapshot = self.snapshot;
        let by_name = self.namespaces.get_or_insert_with(|| {
            let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for name in snapshot.services.keys() {
                let namespaces = by_name.entry(&name.name).or_default();
                namespaces.push(&name.namespace);
            }
            by_name
        });
        let found = by_name.get(name.name.as_str());
        let found = found.map_or(&[][..], Vec::as_slice).iter();
        found.take(MOST_NAMESPACES).copied().collect()
    }

    /// What the slices of a Service hold for this upstream.
    fn of_port(
        &mut self,
        service: &'a ObjectName,
        port: Option<&'a ServicePort>,
        upstream: &UpstreamName,
    ) -> &OfPort {
        let slices = self.snapshot.slices_of(service).map(AsRef::as_ref);
        let port = port_name(port);
        let found = self.found.entry((service, port));
        let found = found.or_insert_with(|| OfPort::of(&Found::of(slices, port)));
        found.upstreams.insert(upstream.clone());
        found
    }

    /// All upstreams, and where those have their endpoints from that have them from slices.
    pub fn finish(self) -> (BTreeMap<UpstreamName, Upstream>, FromSlices) {
        (self.built, FromSlices::of(self.found))
    }
}

/// The name by which slices know a port; one that is alone needs none.
pub fn port_name(port: Option<&ServicePort>) -> &str {
    port.and_then(|port| port.name.as_deref())
        .unwrap_or_default()
}

/// The annotation, otherwise the port's appProtocol where it is honoured, otherwise HTTP.
fn protocol(
    name: &ObjectName,
    port: Option<&ServicePort>,
    wish: Wish,
    findings: &mut Vec<Diagnostic>,
) -> Protocol {
    let said = port.and_then(|port| port.app_protocol.as_deref());
    let honoured = said.and_then(|said| match said {
        "https" | "HTTPS" | "kubernetes.io/wss" => Some(Protocol::Https),
        "kubernetes.io/h2c" => Some(Protocol::H2c),
        "grpc" | "GRPC" => Some(Protocol::Grpc),
        "grpcs" | "GRPCS" => Some(Protocol::Grpcs),
        _ => None,
    });
    match (wish.protocol, honoured, wish.semantics) {
        (Some(asked), _, _) => asked,
        (None, None, _) => Protocol::Http,
        (None, Some(protocol), PathSemantics::Strict) => protocol,
        (None, Some(_), PathSemantics::IngressNginx) => {
            findings.push(settings::app_protocol_ignored(
                Origin::new(service_ref(name), FieldPath::new("spec.ports")),
                &name.name,
                &shown(said.unwrap_or_default()),
            ));
            Protocol::Http
        }
    }
}

fn service_ref(name: &ObjectName) -> ObjectRef {
    ObjectRef::new(Kind::Service, &name.namespace, &name.name)
}

/// A port number that can be connected to.
pub fn valid_port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

pub fn find_port<'p>(ports: &'p [ServicePort], wanted: &PortRef) -> Option<&'p ServicePort> {
    // Ingress speaks over TCP; a UDP port of the same number is another one.
    let mut tcp = ports
        .iter()
        .filter(|p| p.protocol.as_deref().is_none_or(|p| p == "TCP"));
    match wanted {
        PortRef::Number(number) => tcp.find(|port| port.port == *number),
        PortRef::Name(name) => tcp.find(|port| port.name.as_deref() == Some(name)),
        PortRef::Only => tcp.next().filter(|_| tcp.next().is_none()),
    }
}

/// The port that leads to what was taken for a port of the Service.
fn meant(ports: &[ServicePort], wanted: &PortRef) -> Option<String> {
    let leads_there = |port: &&ServicePort| match (&port.target_port, wanted) {
        (Some(IntOrString::Int(target)), PortRef::Number(wanted)) => target == wanted,
        (Some(IntOrString::String(target)), PortRef::Name(wanted)) => target == wanted,
        _ => false,
    };
    ports.iter().find(leads_there).map(show_port)
}

fn show_port(port: &ServicePort) -> String {
    let number = match port.protocol.as_deref() {
        None | Some("TCP") => port.port.to_string(),
        Some(other) => format!("{}/{other}", port.port),
    };
    match &port.name {
        Some(name) => format!("{number} ({name})"),
        None => number,
    }
}

/// A port of a Service that a backend leads to.
struct Place<'p> {
    name: &'p ObjectName,
    spec: &'p ServiceSpec,
    port: Option<&'p ServicePort>,
    number: u16,
    /// The reference in the Ingress.
    origin: &'p Origin,
}

impl Place<'_> {
    fn external_name(&self, findings: &mut Vec<Diagnostic>) -> Option<Endpoints> {
        let raw = self.spec.external_name.as_deref().unwrap_or_default();
        match raw.parse::<DnsName>() {
            Ok(name) => {
                findings.push(references::external_name(
                    self.origin.clone(),
                    &self.name.name,
                    name.as_str(),
                ));
                Some(Endpoints::Name {
                    name,
                    port: self.number,
                })
            }
            Err(error) => {
                let field = FieldPath::new("spec.externalName");
                findings.push(accepted::invalid(
                    Origin::new(service_ref(self.name), field),
                    format!("{}: {error}", shown(raw)),
                    "Give a DNS name, such as api.example.com.",
                ));
                None
            }
        }
    }

    /// The port of the pods. None where it is a name, which each pod may give another number.
    fn target_port(&self) -> Option<u16> {
        match self.port.and_then(|port| port.target_port.as_ref()) {
            None => Some(self.number),
            Some(IntOrString::Int(number)) => valid_port(*number),
            Some(IntOrString::String(_)) => None,
        }
    }

    /// The cluster IP, where it is asked for and there is one.
    fn cluster_ip(&self, wish: Wish, findings: &mut Vec<Diagnostic>) -> Option<Endpoints> {
        if !wish.cluster_ip {
            return None;
        }
        let address = self.spec.cluster_ip.as_deref();
        let Some(address) = address.and_then(|ip| ip.parse::<IpAddr>().ok()) else {
            findings.push(settings::unsupported_value(
                self.origin.clone(),
                "service-upstream",
                "true",
                &format!("Service {} has no cluster IP", self.name.name),
                "its endpoints are used",
                "Remove the annotation.",
            ));
            return None;
        };
        let port = self.number;
        Some(Endpoints::Addresses(vec![Endpoint { address, port }]))
    }

    fn addresses(&self, found: &OfPort, findings: &mut Vec<Diagnostic>) -> Endpoints {
        let gaps = &found.gaps;
        for (slice, port) in &gaps.bad_ports {
            let object = ObjectRef::new(Kind::EndpointSlice, &self.name.namespace, slice);
            findings.push(accepted::invalid(
                Origin::new(object, FieldPath::new("ports")),
                format!("{port} is no port"),
                "Use a port between 1 and 65535.",
            ));
        }
        let selector = self.spec.selector.as_ref();
        if gaps.no_slices && selector.is_none_or(|selector| selector.is_empty()) {
            let origin = self.origin.clone();
            findings.push(endpoints::no_endpoint_slices(origin, &self.name.name));
        } else if !gaps.other_ports.is_empty() {
            let others: Vec<String> = gaps.other_ports.iter().map(|name| shown(name)).collect();
            findings.push(endpoints::endpoint_port_missing(
                self.origin.clone(),
                &self.name.name,
                port_name(self.port),
                &others,
            ));
        }
        Endpoints::Addresses(found.in_rotation.clone())
    }
}

fn ignored_settings(spec: &ServiceSpec, name: &ObjectName, findings: &mut Vec<Diagnostic>) {
    let mut ignored = |field: &str, setting: String| {
        let origin = Origin::new(service_ref(name), FieldPath::new(field));
        findings.push(settings::service_setting_ignored(
            origin, &name.name, &setting,
        ));
    };
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        ignored("spec.sessionAffinity", "sessionAffinity ClientIP".into());
    }
    if spec.internal_traffic_policy.as_deref() == Some("Local") {
        ignored(
            "spec.internalTrafficPolicy",
            "internalTrafficPolicy Local".into(),
        );
    }
}
