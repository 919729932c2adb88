//! How the endpoints of each upstream stand: what status counts, and routing does not need.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServicePort;

use super::service::{PortRef, find_port, port_name};
use super::slices::Found;
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;
use crate::model::{Endpoints, Model, Upstream};
use crate::snapshot::{ObjectName, Snapshot};

/// The endpoints of each upstream of a model, as the slices of a snapshot tell of them; none of an
/// ExternalName Service.
pub fn tallies(snapshot: &Snapshot, model: &Model) -> BTreeMap<UpstreamName, Tally> {
    let of = |upstream: &Upstream| {
        let object = &upstream.origin.object;
        let service = ObjectName::new(&*object.namespace, &*object.name);
        let port = service_port(snapshot, &service, upstream);
        let slices = snapshot.slices_of(&service).map(AsRef::as_ref);
        Found::of(slices, port_name(port)).tally()
    };
    let counted = model
        .upstreams
        .iter()
        .filter(|(_, upstream)| matches!(upstream.endpoints, Endpoints::Addresses(_)));
    counted
        .map(|(name, upstream)| (name.clone(), of(upstream)))
        .collect()
}

/// The Service's port, by the number that the upstream's label ends with.
fn service_port<'s>(
    snapshot: &'s Snapshot,
    service: &ObjectName,
    upstream: &Upstream,
) -> Option<&'s ServicePort> {
    let (_, number) = upstream.label.rsplit_once(':')?;
    let spec = snapshot.services.get(service)?.spec.as_ref()?;
    find_port(
        spec.ports.as_deref()?,
        &PortRef::Number(number.parse().ok()?),
    )
}
