//! A Service behind which no pod stands.

use super::Place;
use super::matching::{Seat, carries, workload_ref};
use crate::model::diagnostics::{Diagnostic, FieldPath, ObjectRef, Origin, pods};
use crate::model::names::near::distance;
use crate::snapshot::Evidence;
use crate::snapshot::containers::Labels;
use crate::snapshot::workloads::Workload;

/// So many labels are shown.
const SHOWN: usize = 4;

impl Place<'_> {
    pub(super) fn missing(&self) -> Option<Diagnostic> {
        let workloads = &self.behind.workloads;
        let nothing_wanted = |made: &&&Workload| made.replicas == Some(0);
        if let Some(made) = workloads.iter().find(nothing_wanted)
            && workloads.iter().all(|made| nothing_wanted(&made))
        {
            let field = FieldPath::new("spec.replicas");
            return Some(pods::scaled_to_zero(Origin::new(
                workload_ref(&made.name),
                field,
            )));
        }
        if self.snapshot.evidence == Evidence::Manifests {
            // Pods come when it is applied.
            return match workloads.as_slice() {
                [] => self.nearest(true).map(|near| self.matches_none(Some(near))),
                _ => None,
            };
        }
        match workloads.iter().find(|made| made.replicas != Some(0)) {
            Some(made) => {
                let seat = Seat::of_workload(&made.name);
                let origin = Origin::new(seat.object, FieldPath::new("spec"));
                Some(pods::none_made(origin, made.replicas))
            }
            None => Some(self.matches_none(self.nearest(false))),
        }
    }

    fn matches_none(&self, near: Option<(ObjectRef, &Labels)>) -> Diagnostic {
        let selector = &self.behind.selector;
        let near = near.map(|(object, labels)| {
            // What it carries instead, and nothing else of its labels.
            let differing = selector.iter().filter(|(k, v)| labels.get(*k) != Some(*v));
            let instead = differing.map(|(key, value)| match labels.get(key) {
                Some(other) => format!("{key}={other}"),
                None => match similar_key(labels, key, value) {
                    Some((key, value)) => format!("{key}={value}"),
                    None => format!("no label {key}"),
                },
            });
            let instead: Vec<String> = instead.take(SHOWN).collect();
            format!("{object} has {}", instead.join(","))
        });
        pods::selector_matches_none(
            self.at_service("spec.selector"),
            &shown(selector),
            near.as_deref(),
        )
    }

    /// What the selector may have meant. Of manifests only what nothing else explains: no other Service
    /// has it, and it is one slip away.
    fn nearest(&self, one_slip: bool) -> Option<(ObjectRef, &Labels)> {
        let selector = &self.behind.selector;
        let namespace = &*self.upstream.origin.object.namespace;
        let service = &*self.upstream.origin.object.name;
        let taken = |labels| {
            carries(labels, selector) || (one_slip && self.matching.is_selected(namespace, labels))
        };
        let neighbours = self.matching.neighbours(namespace);
        let neighbours = neighbours.filter(|(_, labels)| !taken(labels));
        let scored = neighbours.filter_map(|(object, labels)| {
            let score = nearness(selector, labels, &object.name, service)?;
            (!one_slip || score.0 <= 1).then_some((score, object, labels))
        });
        let best = scored.min_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        best.map(|(_, object, labels)| (object, labels))
    }
}

/// How many pairs differ, and by how much; None where it is none that could be meant.
fn nearness(
    selector: &Labels,
    labels: &Labels,
    name: &str,
    service: &str,
) -> Option<(usize, usize)> {
    let differing = selector.iter().filter(|(k, v)| labels.get(*k) != Some(*v));
    let (mut pairs, mut far) = (0, 0);
    let mut is_near = false;
    for (key, value) in differing {
        pairs += 1;
        let near = match labels.get(key) {
            Some(other) => near_value(value, other),
            None => similar_key(labels, key, value).map(|_| 1),
        };
        far += near.unwrap_or(100);
        is_near |= near.is_some();
    }
    let shares = pairs < selector.len();
    let same_name = name == service || selector.values().any(|value| value == name);
    (is_near || same_name || (shares && pairs == 1 && labels.len() <= selector.len()))
        .then_some((pairs, far))
}

/// Within a few slips of each other, or one holds the other.
fn near_value(wanted: &str, found: &str) -> Option<usize> {
    let slips = distance(wanted, found)?;
    let holds = |long: &str, short: &str| {
        short.len() >= 3
            && long.len() > short.len()
            && long.split(['-', '.', '_']).any(|part| part == short)
    };
    let allowed = 2.min(wanted.len() / 3);
    (slips <= allowed || holds(found, wanted) || holds(wanted, found)).then_some(slips)
}

/// The same value under a key that was meant: `app` for `app.kubernetes.io/name`.
fn similar_key<'l>(labels: &'l Labels, key: &str, value: &str) -> Option<(&'l str, &'l str)> {
    let last = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
    let mut pairs = labels.iter();
    let found = pairs.find(|(other, found)| {
        let usual = ["app", "name", "component", "k8s-app"];
        let related = last(other) == last(key)
            || (usual.contains(&&*last(other)) && usual.contains(&&*last(key)));
        *found == value && related
    });
    found.map(|(key, value)| (&**key, &**value))
}

fn shown(selector: &Labels) -> String {
    let pairs = selector.iter().take(SHOWN);
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    let more = match selector.len() > SHOWN {
        true => ",…",
        false => "",
    };
    format!("{}{more}", pairs.join(","))
}
