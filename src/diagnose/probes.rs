//! What the pods' own ports and probes say of a route, whether or not it works: the container that
//! serves, and what its readiness probe asks.

use std::collections::BTreeSet;

use super::matching::{Revision, Seat};
use super::{Place, target_of};
use crate::model::Protocol;
use crate::model::diagnostics::{Diagnostic, Severity, pods};
use crate::model::names::shown;
use crate::snapshot::containers::{Action, Container, Port, Probe, Role, Shape};

impl Place<'_, '_> {
    /// The Service names a port that no container has.
    pub(super) fn unresolved_name(&self) -> Option<Diagnostic> {
        let Port::Name(name) = self.target_port() else {
            return None;
        };
        let revisions = &self.behind.revisions;
        let mut shapes = revisions.iter().map(|revision| revision.shape);
        let unknown = shapes.all(|shape| shape.port_named(&name).is_none());
        if revisions.is_empty() || !unknown || self.tally.ready > 0 {
            return None;
        }
        let ports = revisions.iter().flat_map(|made| made.shape.serving());
        let ports = ports.flat_map(|container| &container.ports);
        let declared: BTreeSet<&str> = ports.filter_map(|port| port.name.as_deref()).collect();
        let declared: Vec<&str> = declared.into_iter().take(5).collect();
        let pods = match revisions.as_slice() {
            [made] => made.seat.object.to_string(),
            _ => format!("the pods of Service {}", self.service_path()),
        };
        Some(pods::target_port_name_unresolved(
            self.at_service(self.target_field()),
            &shown(&name),
            &pods,
            &declared,
            " The route answers 503.",
        ))
    }

    pub(super) fn not_ready_published(&self) -> Option<Diagnostic> {
        let spec = self.service.spec.as_ref()?;
        let published = spec.publish_not_ready_addresses == Some(true);
        published.then(|| {
            let origin = self.at_service("spec.publishNotReadyAddresses");
            pods::not_ready_published(origin, &self.service_path())
        })
    }

    pub(super) fn probes(&self) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let mut probes: Vec<(&Seat, String)> = Vec::new();
        for revision in &self.behind.revisions {
            let Revision { seat, shape, .. } = revision;
            let number = match self.target_port() {
                Port::Number(number) => Some(number),
                Port::Name(name) => shape.port_named(&name),
            };
            let Some(number) = number else { continue };
            match owner(shape, number) {
                Owner::Unknown => {
                    findings.push(pods::port_undeclared(seat.at("containers"), number));
                }
                Owner::None => {}
                Owner::Container(container) => {
                    findings.extend(self.of_container(revision, container, number));
                    let probe = container.readiness.as_ref();
                    let probe = probe.map_or("none".to_owned(), |p| p.action.to_string());
                    probes.push((seat, probe));
                }
            }
        }
        findings.extend(mixed(&probes));
        findings
    }

    fn of_container(
        &self,
        revision: &Revision<'_>,
        container: &Container,
        number: i32,
    ) -> Vec<Diagnostic> {
        let Revision { seat, shape, .. } = revision;
        let at = |field: &str| seat.at(&format!("{}.{field}", container.field));
        let mut findings = Vec::new();
        match &container.readiness {
            // A pod is ready when all its containers are.
            None if shape.serving().any(|other| other.readiness.is_some()) => {}
            None => findings.push(pods::no_readiness_probe(
                seat.container(container),
                &container.name,
            )),
            Some(probe) if probe.action == Action::Exec => {
                let origin = at("readinessProbe.exec");
                findings.push(pods::readiness_by_command(origin, &container.name));
            }
            // A probe that does not pass may be what is wrong.
            Some(_) if revision.is_unproven => {}
            Some(probe) => {
                findings.extend(self.spoken(container, probe, number));
                findings.extend(self.elsewhere(shape, container, number));
            }
        }
        if !container.has_pre_stop && container.role == Role::Main {
            findings.push(pods::no_drain(seat.container(container), &container.name));
        }
        findings
    }

    /// The kubelet and the route speak to the same port, and not the same protocol.
    fn spoken(&self, container: &Container, probe: &Probe, number: i32) -> Option<Diagnostic> {
        let port = probe.port().and_then(|port| container.number(port));
        if port != Some(number) {
            return None;
        }
        let route = self.upstream.protocol;
        let (found, fix, severity) = match (&probe.action, route) {
            (Action::Http { is_https: true, .. }, Protocol::Http) => {
                let fix = "Set annotation backend-protocol: HTTPS of the Ingress, or appProtocol: https of the Service's port where the class is strict.";
                ("HTTPS", fix, Severity::Error)
            }
            (
                Action::Http {
                    is_https: false, ..
                },
                Protocol::Https | Protocol::Grpcs,
            ) => {
                let fix =
                    "Remove annotation backend-protocol, or appProtocol of the Service's port.";
                ("plain HTTP", fix, Severity::Error)
            }
            // One port can well speak both.
            (Action::Grpc { .. }, Protocol::Http) => {
                let fix = "Set annotation backend-protocol: GRPC of the Ingress unless the port speaks HTTP/1.1 too.";
                ("gRPC", fix, Severity::Warning)
            }
            _ => return None,
        };
        let origin = self.at_service(self.target_field().replace(".targetPort", ""));
        let said = spoken_as(route);
        let finding = pods::protocol_mismatch(origin, found, number, said, fix);
        Some(finding.with_severity(severity))
    }

    /// Whether the Service leads to a port of the pods, by any port of its own.
    fn leads_to(&self, number: i32) -> bool {
        let spec = self.service.spec.as_ref();
        let ports = spec.and_then(|spec| spec.ports.as_deref());
        let mut ports = ports.unwrap_or_default().iter();
        ports.any(|port| target_of(port) == Port::Number(number))
    }

    /// Readiness is on a port that is declared, and the route's is declared nowhere.
    fn elsewhere(&self, shape: &Shape, container: &Container, number: i32) -> Option<Diagnostic> {
        let declared = shape.serving().any(|container| container.declares(number));
        let probe = container.readiness.as_ref()?;
        let probed = container.number(probe.port()?)?;
        let alone = shape.serving().count() == 1;
        let aside = container.ports.iter().filter(|port| port.number == probed);
        let aside = aside.filter_map(|port| port.name.as_deref()).any(is_aside);
        let is_told = alone && !declared && !aside && probed != number && !self.leads_to(probed);
        (is_told && container.declares(probed)).then(|| {
            let origin = self.at_service(self.target_field());
            let service_port = self.upstream.service_port;
            pods::target_port_not_listening(origin, service_port, number, probed)
        })
    }
}

/// Whether a port is there to be watched by, beside the one that serves.
fn is_aside(name: &str) -> bool {
    const ASIDE: [&str; 9] = [
        "admin", "alive", "health", "live", "manage", "metric", "monitor", "probe", "status",
    ];
    ASIDE.iter().any(|part| name.contains(part))
}

fn spoken_as(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "plain HTTP",
        Protocol::Https => "HTTPS",
        Protocol::H2c => "HTTP/2 without TLS",
        Protocol::Grpc => "gRPC without TLS",
        Protocol::Grpcs => "gRPC over TLS",
    }
}

/// Whose a port is.
enum Owner<'s> {
    Container(&'s Container),
    /// Several could have it.
    Unknown,
    None,
}

/// The container that declares the port; ports need not be declared, so otherwise the only one whose
/// readiness asks it, otherwise the only one whose readiness asks any port, or that there is.
fn owner(shape: &Shape, number: i32) -> Owner<'_> {
    let serving = || shape.serving();
    if let Some(container) = serving().find(|container| container.declares(number)) {
        return Owner::Container(container);
    }
    let probed = |container: &&Container| {
        let probe = container.readiness.as_ref();
        probe
            .and_then(Probe::port)
            .and_then(|port| container.number(port))
    };
    let only = |found: Vec<_>| match found.as_slice() {
        [container] => Some(*container),
        _ => None,
    };
    let here = serving().filter(|container| probed(container) == Some(number));
    let anywhere: Vec<&Container> = serving().filter(|c| probed(c).is_some()).collect();
    let several = anywhere.len() > 1;
    let found = only(here.collect())
        .or_else(|| only(anywhere))
        .or_else(|| only(serving().collect()));
    match found {
        Some(container) => Owner::Container(container),
        None if several => Owner::Unknown,
        None => Owner::None,
    }
}

/// Two revisions of one workload with different probes.
fn mixed(revisions: &[(&Seat, String)]) -> Option<Diagnostic> {
    let (seat, one) = revisions.first()?;
    let other = revisions
        .iter()
        .find(|(other, probe)| other.object == seat.object && probe != one);
    other.map(|(_, other)| {
        let origin = seat.at("containers");
        pods::mixed_revisions(origin, one, other)
    })
}
