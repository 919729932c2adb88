//! (snapshot, model, endpoints) → what stands behind each upstream, and why nothing answers there: the
//! pods that a Service selects, what makes them, and what they would do. One path for status, `lint` and
//! `explain`; in a folder, what makes pods stands in for them.
//!
//! What cannot be known is not said. A folder may be a part of what is applied, so nothing is concluded
//! from what it lacks but near misses; a pod that starts is no mistake of anybody's. It must never know
//! a proxy, a client or a clock.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod matching;
mod missing;
mod probes;
mod troubles;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};

use crate::model::diagnostics::{Diagnostic, FieldPath, ObjectRef, Origin};
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;
use crate::model::{Endpoints, Model, Upstream};
use crate::snapshot::containers::{Labels, Port};
use crate::snapshot::{Evidence, ObjectName, Snapshot};

use matching::{Behind, Matching, selector, workload_ref};

/// Findings by the upstream that they concern, in the order in which they matter.
pub type Findings = BTreeMap<UpstreamName, Vec<Diagnostic>>;

/// Looks behind every upstream that has its endpoints from a Service.
pub fn diagnose(
    snapshot: &Snapshot,
    model: &Model,
    tallies: &BTreeMap<UpstreamName, Tally>,
) -> Findings {
    if snapshot.evidence == Evidence::Hidden {
        return Findings::new();
    }
    let matching = Matching::new(snapshot);
    // Services with one selector have the same behind them.
    let mut known: BTreeMap<(&str, &Labels), Behind<'_>> = BTreeMap::new();
    let mut findings = Findings::new();
    for (name, upstream) in &model.upstreams {
        let object = &upstream.origin.object;
        let service_name = ObjectName::new(&*object.namespace, &*object.name);
        let Some((service_name, service)) = snapshot.services.get_key_value(&service_name) else {
            continue;
        };
        if matches!(upstream.endpoints, Endpoints::Name { .. }) {
            continue;
        }
        let (namespace, selector) = (&*service_name.namespace, selector(service));
        let behind = known.entry((namespace, selector));
        let place = Place {
            snapshot,
            matching: &matching,
            service,
            upstream,
            behind: behind.or_insert_with(|| matching.behind(namespace, selector)),
            tally: tallies.get(name).copied().unwrap_or_default(),
        };
        let found = place.findings();
        if !found.is_empty() {
            findings.insert(name.clone(), found);
        }
    }
    findings
}

/// Where manifests have no endpoint of a Service and do have what makes its pods: the upstreams whose
/// endpoints come when all is applied, with those workloads.
pub fn expected(snapshot: &Snapshot, model: &Model) -> BTreeMap<UpstreamName, Vec<ObjectRef>> {
    let mut expected = BTreeMap::new();
    if snapshot.evidence != Evidence::Manifests || snapshot.workloads.is_empty() {
        return expected;
    }
    let matching = Matching::new(snapshot);
    for (name, upstream) in &model.upstreams {
        let object = &upstream.origin.object;
        let service_name = ObjectName::new(&*object.namespace, &*object.name);
        let is_bare = snapshot.slices_of(&service_name).next().is_none();
        let Some(service) = snapshot.services.get(&service_name).filter(|_| is_bare) else {
            continue;
        };
        let made = matching.workloads(&service_name.namespace, selector(service));
        let wanted = made.filter(|made| made.replicas != Some(0));
        let makers: Vec<ObjectRef> = wanted.map(|made| workload_ref(&made.name)).collect();
        if !makers.is_empty() {
            expected.insert(name.clone(), makers);
        }
    }
    expected
}

/// One upstream, with all that is known of what stands behind it.
struct Place<'a, 's> {
    snapshot: &'s Snapshot,
    matching: &'a Matching<'s>,
    service: &'s Service,
    upstream: &'a Upstream,
    behind: &'a Behind<'s>,
    tally: Tally,
}

impl Place<'_, '_> {
    fn findings(&self) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        findings.extend(self.unresolved_name());
        findings.extend(self.standing());
        findings.extend(self.probes());
        findings.extend(self.not_ready_published());
        findings
    }

    /// Why no endpoint is ready; where some are, what keeps the others away.
    fn standing(&self) -> Option<Diagnostic> {
        match self.behind.pods.as_slice() {
            _ if self.behind.selector.is_empty() => None,
            // Somebody else writes its slices, or they are about to be written anew.
            [] if self.tally.ready > 0 => None,
            [] => self.missing(),
            _ => self.troubles(),
        }
    }

    fn has_ready(&self) -> bool {
        self.tally.ready > 0 || self.behind.survey.any_ready
    }

    /// What clients get, as a sentence to add.
    fn consequence(&self) -> &'static str {
        match self.has_ready() {
            true => "",
            false => " The route answers 503.",
        }
    }

    fn service_path(&self) -> String {
        self.upstream.origin.object.path()
    }

    fn at_service(&self, field: impl Into<String>) -> Origin {
        self.upstream.origin.at(FieldPath::new(field))
    }

    /// The Service's port, and its place in the list.
    fn port(&self) -> Option<(usize, &ServicePort)> {
        let ports = self.service.spec.as_ref()?.ports.as_deref()?;
        let wanted = i32::from(self.upstream.service_port);
        let mut ports = ports.iter().enumerate();
        ports.find(|(_, port)| {
            port.port == wanted && port.protocol.as_deref().is_none_or(|p| p == "TCP")
        })
    }

    /// The pods' port that the Service names, by number or by a name of theirs.
    fn target_port(&self) -> Port {
        let same = || Port::Number(i32::from(self.upstream.service_port));
        self.port().map_or_else(same, |(_, port)| target_of(port))
    }

    fn target_field(&self) -> String {
        match self.port() {
            Some((at, _)) => format!("spec.ports[{at}].targetPort"),
            None => "spec.ports".to_owned(),
        }
    }
}

/// Where a port of a Service leads, as the API server reads it: what is 0 or empty is not given.
fn target_of(port: &ServicePort) -> Port {
    let given = |port: &Port| match port {
        Port::Number(number) => *number != 0,
        Port::Name(name) => !name.is_empty(),
    };
    let target = port.target_port.as_ref().map(Port::from);
    target.filter(given).unwrap_or(Port::Number(port.port))
}

#[cfg(test)]
mod tests;
