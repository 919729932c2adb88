//! A backend reference → an upstream with its endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressBackend;

use super::PathSemantics;
use super::class::Claimed;
use crate::model::diagnostics::{
    Diagnostic, FieldPath, Kind, ObjectRef, Origin, accepted, endpoints, references, settings,
};
use crate::model::names::{DnsName, UpstreamName, shown};
use crate::model::{Endpoint, Endpoints, Protocol, Upstream};
use crate::snapshot::{ObjectName, Snapshot};

/// Builds upstreams, each once.
pub struct Upstreams<'a> {
    snapshot: &'a Snapshot,
    pub built: BTreeMap<UpstreamName, Upstream>,
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
}

impl Wish {
    pub fn of(claimed: &Claimed<'_>) -> Self {
        Self {
            protocol: claimed.settings.protocol,
            cluster_ip: claimed.settings.service_upstream,
            semantics: claimed.semantics,
        }
    }
}

impl<'a> Upstreams<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            built: BTreeMap::new(),
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
        let Some(service) = self.snapshot.services.get(name) else {
            let near = near_names(&name.name, self.snapshot.service_names(&name.namespace));
            findings.push(references::service_not_found(
                at("name"),
                &name.namespace,
                &shown(&name.name),
                &near,
            ));
            return None;
        };
        let empty = ServiceSpec::default();
        let spec = service.spec.as_ref().unwrap_or(&empty);
        let external = spec.type_.as_deref() == Some("ExternalName");
        let ports = spec.ports.as_deref().unwrap_or_default();
        let port = find_port(ports, wanted);
        let number = match (port, wanted) {
            (Some(port), _) => valid_port(port.port),
            // An ExternalName Service usually lists no port: the number is the remote one.
            (None, PortRef::Number(number)) if external => valid_port(*number),
            (None, PortRef::Only) if external => Some(80),
            _ => None,
        };
        let Some(number) = number else {
            let has: Vec<String> = ports.iter().map(show_port).collect();
            findings.push(references::service_port_not_found(
                at("port"),
                &name.name,
                &wanted.to_string(),
                &has,
            ));
            return None;
        };
        let protocol = self.protocol(service, name, port, wish, findings);
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
        let mut of_endpoints = Vec::new();
        let reached = if external {
            of_external_name(spec, name, number, origin, &mut of_endpoints)?
        } else {
            of_addresses(
                self.snapshot,
                spec,
                name,
                port,
                number,
                origin,
                wish,
                &mut of_endpoints,
            )
        };
        findings.extend(of_endpoints);
        if !self.built.contains_key(&id) {
            ignored_settings(spec, name, findings);
            let origin = Origin::new(service_ref(name), FieldPath::new("spec.ports"));
            let label = format!("{name}:{number}");
            self.built.insert(
                id.clone(),
                Upstream {
                    label,
                    protocol,
                    endpoints: reached,
                    origin,
                },
            );
        }
        Some(id)
    }

    /// The annotation, otherwise the port's appProtocol where it is honoured, otherwise HTTP.
    fn protocol(
        &self,
        _service: &Service,
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
                findings.push(settings::service_setting_ignored(
                    Origin::new(service_ref(name), FieldPath::new("spec.ports")),
                    &name.name,
                    &format!("appProtocol {}", shown(said.unwrap_or_default())),
                ));
                Protocol::Http
            }
        }
    }
}

fn service_ref(name: &ObjectName) -> ObjectRef {
    ObjectRef::new(Kind::Service, &name.namespace, &name.name)
}

fn valid_port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

fn find_port<'p>(ports: &'p [ServicePort], wanted: &PortRef) -> Option<&'p ServicePort> {
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

fn show_port(port: &ServicePort) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

/// At most three names near the wanted one, nearest first.
fn near_names<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let limit = 2.max(wanted.len() / 4);
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, name)| {
            *distance <= limit
                || (wanted.len() > 3 && name.contains(wanted))
                || (name.len() > 3 && wanted.contains(name))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

fn of_external_name(
    spec: &ServiceSpec,
    name: &ObjectName,
    port: u16,
    origin: &Origin,
    findings: &mut Vec<Diagnostic>,
) -> Option<Endpoints> {
    let raw = spec.external_name.as_deref().unwrap_or_default();
    match raw.parse::<DnsName>() {
        Ok(external) => {
            findings.push(references::external_name(
                origin.clone(),
                &name.name,
                external.as_str(),
            ));
            Some(Endpoints::Name {
                name: external,
                port,
            })
        }
        Err(error) => {
            let origin = Origin::new(service_ref(name), FieldPath::new("spec.externalName"));
            findings.push(accepted::invalid(
                origin,
                format!("{} {error}", shown(raw)),
                "Give a DNS name, such as api.example.com.",
            ));
            None
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn of_addresses(
    snapshot: &Snapshot,
    spec: &ServiceSpec,
    name: &ObjectName,
    port: Option<&ServicePort>,
    number: u16,
    origin: &Origin,
    wish: Wish,
    findings: &mut Vec<Diagnostic>,
) -> Endpoints {
    if wish.cluster_ip {
        let address = spec
            .cluster_ip
            .as_deref()
            .and_then(|ip| ip.parse::<IpAddr>().ok());
        if let Some(address) = address {
            return Endpoints::Addresses(vec![Endpoint {
                address,
                port: number,
            }]);
        }
        findings.push(settings::unsupported_value(
            origin.clone(),
            "service-upstream",
            "true",
            &format!("Service {} has no cluster IP", name.name),
            "its endpoints are used",
            "Remove the annotation.",
        ));
    }
    let port_name = port
        .and_then(|port| port.name.as_deref())
        .unwrap_or_default();
    let slices = snapshot.slices_of(name);
    let found = Found::of(slices.map(AsRef::as_ref), port_name);
    let has_selector = spec
        .selector
        .as_ref()
        .is_some_and(|selector| !selector.is_empty());
    if found.slices == 0 && !has_selector {
        findings.push(endpoints::no_endpoint_slices(origin.clone(), &name.name));
    } else if found.endpoints.is_empty() && !found.other_ports.is_empty() {
        let others: Vec<String> = found.other_ports.iter().map(|name| shown(name)).collect();
        findings.push(endpoints::endpoint_port_missing(
            origin.clone(),
            &name.name,
            port_name,
            &others,
        ));
    }
    Endpoints::Addresses(found.in_rotation())
}

/// What the slices of a Service hold for one port.
#[derive(Default)]
struct Found {
    slices: usize,
    /// By address and port; the same one in several slices is one endpoint.
    endpoints: BTreeMap<Endpoint, State>,
    /// Names of ports of slices that lack the wanted one.
    other_ports: BTreeSet<String>,
}

/// The strongest thing that any slice says.
#[derive(Clone, Copy, Default)]
struct State {
    ready: bool,
    /// Terminating, and still serving.
    draining: bool,
}

impl Found {
    /// Topology hints are ignored, and so are slices of type FQDN, which no address is in.
    fn of<'s>(slices: impl Iterator<Item = &'s EndpointSlice>, port_name: &str) -> Self {
        let mut found = Self::default();
        for slice in slices {
            found.slices += 1;
            let ports = slice.ports.as_deref().unwrap_or_default();
            let named = |name: Option<&String>| name.map_or("", String::as_str) == port_name;
            let port = ports.iter().find(|port| named(port.name.as_ref()));
            let Some(port) = port.and_then(|port| port.port).and_then(valid_port) else {
                found
                    .other_ports
                    .extend(ports.iter().map(|p| p.name.clone().unwrap_or_default()));
                continue;
            };
            for endpoint in &slice.endpoints {
                let conditions = endpoint.conditions.as_ref();
                let said = |value: Option<bool>, missing: bool| value.unwrap_or(missing);
                let ready = said(conditions.and_then(|c| c.ready), true);
                let serving = said(conditions.and_then(|c| c.serving), ready);
                let terminating = said(conditions.and_then(|c| c.terminating), false);
                for address in endpoint
                    .addresses
                    .iter()
                    .filter_map(|a| a.parse::<IpAddr>().ok())
                {
                    let state = found
                        .endpoints
                        .entry(Endpoint { address, port })
                        .or_default();
                    state.ready |= ready;
                    state.draining |= serving && terminating;
                }
            }
        }
        found
    }

    /// The ready endpoints; where there is none, those that still serve while they terminate. Of a
    /// dual-stack Service only one family, since both lead to the same pods: IPv4 if it has any.
    fn in_rotation(&self) -> Vec<Endpoint> {
        let pick = |wanted: fn(&State) -> bool| -> Vec<Endpoint> {
            self.endpoints
                .iter()
                .filter(|(_, s)| wanted(s))
                .map(|(e, _)| *e)
                .collect()
        };
        let mut chosen = pick(|state| state.ready);
        if chosen.is_empty() {
            chosen = pick(|state| state.draining);
        }
        if chosen.iter().any(|endpoint| endpoint.address.is_ipv4()) {
            chosen.retain(|endpoint| endpoint.address.is_ipv4());
        }
        chosen
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
