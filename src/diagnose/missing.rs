//! A Service behind which no pod stands.

use super::Place;
use super::matching::{Neighbour, Seat, carries, workload_ref};
use crate::model::diagnostics::{Diagnostic, FieldPath, Origin, pods};
use crate::model::names::near::distance;
use crate::snapshot::Evidence;
use crate::snapshot::containers::{Labels, Port};
use crate::snapshot::workloads::Workload;

/// So many labels are shown.
const SHOWN: usize = 4;

impl Place<'_, '_> {
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
                [] => self.nearest().map(|near| self.matches_none(Some(near))),
                _ => None,
            };
        }
        match workloads.iter().find(|made| made.replicas != Some(0)) {
            Some(made) => {
                let seat = Seat::of_workload(&made.name);
                let origin = Origin::new(seat.object, FieldPath::new("spec"));
                Some(pods::none_made(origin, made.replicas))
            }
            None => Some(self.matches_none(self.nearest())),
        }
    }

    fn matches_none(&self, near: Option<&Neighbour<'_>>) -> Diagnostic {
        let selector = self.behind.selector;
        let near = near.map(|Neighbour { object, labels, .. }| {
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

    /// What the selector may have meant. Of manifests, which may be a part of what is applied, only what
    /// nothing else explains: no Service has it, and it is one slip away.
    fn nearest(&self) -> Option<&Neighbour<'_>> {
        let selector = self.behind.selector;
        let object = &self.upstream.origin.object;
        let strict = self.snapshot.evidence == Evidence::Manifests;
        let neighbours = self.matching.neighbours(&object.namespace).iter();
        let taken = |near: &Neighbour<'_>| strict && near.is_selected;
        let neighbours = neighbours.filter(|near| !(taken(near) || carries(near.labels, selector)));
        let scored = neighbours.filter_map(|near| {
            // What has the very port is meant by less.
            let serves = match self.target_port() {
                Port::Number(number) => near.shape.serving().any(|c| c.declares(number)),
                Port::Name(name) => near.shape.port_named(&name).is_some(),
            };
            let named = *near.object.name == *object.name
                || selector.values().any(|value| **value == *near.object.name);
            let hints = Hints {
                named,
                serves,
                strict,
            };
            let score = nearness(selector, near.labels, &hints)?;
            Some((score, near))
        });
        let best = scored.min_by_key(|(score, near)| (*score, near.is_selected, &near.object));
        best.map(|(_, near)| near)
    }
}

/// What beside labels speaks for something being meant.
struct Hints {
    /// It has a name in common with the Service or its selector.
    named: bool,
    /// It declares the port that the Service leads to.
    serves: bool,
    /// One pair may differ, and that by a slip.
    strict: bool,
}

/// How many pairs differ, and by how much; None where it is none that could be meant.
fn nearness(selector: &Labels, labels: &Labels, hints: &Hints) -> Option<(usize, usize)> {
    let strict = hints.strict;
    let differing = selector.iter().filter(|(k, v)| labels.get(*k) != Some(*v));
    let (mut pairs, mut far) = (0, 0);
    let mut is_near = false;
    for (key, value) in differing {
        pairs += 1;
        let near = match labels.get(key) {
            Some(other) => slips(value, other)
                .or_else(|| (hints.serves && holds(value, other)).then_some(value.len())),
            None => similar_key(labels, key, value).map(|_| 1),
        };
        far += near.unwrap_or(100);
        is_near |= near.is_some();
    }
    let shares = pairs < selector.len();
    let lacks = selector.keys().filter(|key| !labels.contains_key(*key));
    // All that it carries is asked for, and one more.
    let is_part =
        shares && lacks.count() == pairs && labels.keys().all(|k| selector.contains_key(k));
    let alike =
        is_near || hints.named || (is_part && pairs == 1) || (!strict && shares && pairs == 1);
    (alike && (!strict || pairs == 1)).then_some((pairs, far))
}

/// How many, where they may well be slips: not what tells one of several from the others.
fn slips(wanted: &str, found: &str) -> Option<usize> {
    const SHORTEST: usize = 4;
    let most = 2.min(wanted.len() / 3);
    if wanted.len().abs_diff(found.len()) > most {
        return None;
    }
    let letters = |text: &str| -> String { text.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let parts =
        |text: &str| -> Vec<String> { text.split(['-', '.', '_']).map(str::to_owned).collect() };
    let (of_wanted, of_found) = (parts(wanted), parts(found));
    let mut pairs = of_wanted.iter().zip(&of_found).filter(|(a, b)| a != b);
    let counted = of_wanted.len() == of_found.len()
        && pairs.any(|(a, b)| a.len() < SHORTEST || b.len() < SHORTEST);
    if counted || letters(wanted) == letters(found) {
        return None;
    }
    distance(wanted, found).filter(|slips| *slips <= most)
}

/// Whether one of the two is a part of the other, as `api` of `backend-api`.
fn holds(one: &str, other: &str) -> bool {
    let within = |long: &str, short: &str| {
        short.len() >= 3
            && long.len() > short.len()
            && long.split(['-', '.', '_']).any(|part| part == short)
    };
    within(one, other) || within(other, one)
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
