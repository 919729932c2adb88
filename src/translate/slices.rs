//! EndpointSlices of a Service → the endpoints of one of its ports that take requests now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::service::valid_port;
use crate::model::Endpoint;
use crate::model::tally::Tally;

/// What the slices of a Service hold for one port.
#[derive(Default)]
pub struct Found {
    slices: usize,
    /// By address and port; the same one in several slices is one endpoint.
    endpoints: BTreeMap<Endpoint, State>,
    /// Names of ports of slices that lack the wanted one.
    other_ports: BTreeSet<String>,
    /// Slices whose number for the wanted port is none that can be connected to.
    bad_ports: Vec<(String, i32)>,
}

/// What findings tell of the slices of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gaps {
    pub no_slices: bool,
    /// Names of ports of slices, where all lack the wanted one; empty where there are endpoints.
    pub other_ports: BTreeSet<String>,
    /// Slices whose number for the wanted port is none that can be connected to.
    pub bad_ports: Vec<(String, i32)>,
}

/// The strongest thing that any slice says.
#[derive(Clone, Copy, Default)]
pub struct State {
    ready: bool,
    /// Terminating, and still serving.
    draining: bool,
    terminating: bool,
}

impl Found {
    /// Topology hints are ignored, and so are slices of type FQDN: their names are not resolved.
    pub fn of<'s>(slices: impl Iterator<Item = &'s EndpointSlice>, port_name: &str) -> Self {
        let mut found = Self::default();
        for slice in slices.filter(|slice| slice.address_type != "FQDN") {
            found.slices += 1;
            let ports = slice.ports.as_deref().unwrap_or_default();
            let named = |name: Option<&String>| name.map_or("", String::as_str) == port_name;
            let port = ports.iter().find(|port| named(port.name.as_ref()));
            let Some(number) = port.and_then(|port| port.port) else {
                found
                    .other_ports
                    .extend(ports.iter().map(|p| p.name.clone().unwrap_or_default()));
                continue;
            };
            let Some(port) = valid_port(number) else {
                let name = slice.metadata.name.clone().unwrap_or_default();
                found.bad_ports.push((name, number));
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
                    state.terminating |= terminating;
                }
            }
        }
        found
    }

    /// What is told of it on every reference to the Service.
    pub fn gaps(&self) -> Gaps {
        Gaps {
            no_slices: self.slices == 0,
            other_ports: match self.endpoints.is_empty() {
                true => self.other_ports.clone(),
                false => BTreeSet::new(),
            },
            bad_ports: self.bad_ports.clone(),
        }
    }

    /// The ready endpoints; where there is none, those that still serve while they terminate. Of a
    /// dual-stack Service only one family, since both lead to the same pods: IPv4 if it has any.
    pub fn in_rotation(&self) -> Vec<Endpoint> {
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

    /// All of them, of one family as well.
    pub fn tally(&self) -> Tally {
        let is_v4 = |endpoint: &Endpoint| endpoint.address.is_ipv4();
        let any_v4 = self.endpoints.keys().any(is_v4);
        let mut tally = Tally::default();
        for (_, state) in self.endpoints.iter().filter(|(e, _)| !any_v4 || is_v4(e)) {
            match state {
                State { ready: true, .. } => tally.ready += 1,
                State {
                    terminating: true, ..
                } => tally.terminating += 1,
                _ => tally.not_ready += 1,
            }
        }
        tally
    }
}
