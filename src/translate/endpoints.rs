//! Endpoints change far more often than all else. Where nothing that is translated differs but slices,
//! the model is the one before with other endpoints, and the findings are the same: what a whole build
//! gives, without one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::memo::Memo;
use super::slices::{Found, Gaps};
use crate::model::names::UpstreamName;
use crate::model::{Endpoint, Endpoints, Model};
use crate::snapshot::{ObjectName, Snapshot};

/// What the slices of a Service hold for one of its ports.
pub struct OfPort {
    pub gaps: Gaps,
    pub in_rotation: Vec<Endpoint>,
    /// Those that have these endpoints.
    pub upstreams: BTreeSet<UpstreamName>,
}

impl OfPort {
    pub fn of(found: &Found) -> Self {
        Self {
            gaps: found.gaps(),
            in_rotation: found.in_rotation(),
            upstreams: BTreeSet::new(),
        }
    }
}

/// All ports of Services that a build has endpoints of: by Service, by name of the port.
#[derive(Default)]
pub struct FromSlices(BTreeMap<ObjectName, BTreeMap<String, OfPort>>);

impl FromSlices {
    pub fn of(found: BTreeMap<(&ObjectName, &str), OfPort>) -> Self {
        let mut all = BTreeMap::<ObjectName, BTreeMap<String, OfPort>>::new();
        for ((service, port), of_port) in found {
            let of_service = all.entry(service.clone()).or_default();
            of_service.insert(port.to_owned(), of_port);
        }
        Self(all)
    }
}

/// A model that differs from the one before in nothing but endpoints.
#[derive(Debug, PartialEq, Eq)]
pub struct NewEndpoints {
    /// The one before, where no upstream's endpoints differ.
    pub model: Arc<Model>,
    pub upstreams: BTreeSet<UpstreamName>,
}

/// What `model`, the latest that was built with this memo, of `before`, becomes with `now` and the same
/// options; None where that takes a build: more differs than endpoints, or findings tell of it.
pub fn new_endpoints(
    model: &Arc<Model>,
    before: &Snapshot,
    now: &Snapshot,
    memo: &mut Memo,
) -> Option<NewEndpoints> {
    let alike = Arc::ptr_eq(&before.ingresses, &now.ingresses)
        && Arc::ptr_eq(&before.classes, &now.classes)
        && Arc::ptr_eq(&before.services, &now.services)
        && Arc::ptr_eq(&before.secrets, &now.secrets);
    if !alike {
        return None;
    }
    let mut changes = Vec::new();
    for service in differing(before, now) {
        for (port, known) in memo.from_slices.0.get(service).into_iter().flatten() {
            let found = Found::of(now.slices_of(service).map(AsRef::as_ref), port);
            if found.gaps() != known.gaps {
                return None;
            }
            let in_rotation = found.in_rotation();
            if in_rotation != known.in_rotation {
                changes.push((service, port.clone(), in_rotation));
            }
        }
    }
    let mut new = NewEndpoints {
        model: model.clone(),
        upstreams: BTreeSet::new(),
    };
    for (service, port, endpoints) in changes {
        let of_service = memo.from_slices.0.get_mut(service)?;
        let known = of_service.get_mut(&port)?;
        let model = Arc::make_mut(&mut new.model);
        for name in &known.upstreams {
            let upstream = model.upstreams.get_mut(name)?;
            upstream.endpoints = Endpoints::Addresses(endpoints.clone());
            new.upstreams.insert(name.clone());
        }
        known.in_rotation = endpoints;
    }
    Some(new)
}

/// The Services whose slices are not the same.
fn differing<'s>(before: &'s Snapshot, now: &'s Snapshot) -> Vec<&'s ObjectName> {
    if Arc::ptr_eq(&before.slices, &now.slices) {
        return Vec::new();
    }
    let same = |a: &BTreeMap<String, Arc<EndpointSlice>>, b: &BTreeMap<String, _>| {
        let mut pairs = a.iter().zip(b);
        a.len() == b.len() && pairs.all(|((a, of_a), (b, of_b))| a == b && Arc::ptr_eq(of_a, of_b))
    };
    let mut differing = Vec::new();
    let mut others = before.slices.iter().peekable();
    for (service, slices) in now.slices.iter() {
        while let Some((gone, _)) = others.next_if(|(other, _)| *other < service) {
            differing.push(gone);
        }
        let was = others.next_if(|(other, _)| *other == service);
        if !was.is_some_and(|(_, was)| same(was, slices)) {
            differing.push(service);
        }
    }
    differing.extend(others.map(|(gone, _)| gone));
    differing
}
