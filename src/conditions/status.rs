//! Rows and verdicts → the status of one RouteHealth.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::Ingress;

use super::generated::is_generated;
use super::holders::Share;
use super::programmed::{Programmed, programmed};
use super::stages::{DECISIVE, Index, Row};
use super::words::{count, cut, some};
use super::writer::{Writer, clamp, fit};
use super::{Claim, ConditionType, Verdict};
use crate::api::route_health::check::violations;
use crate::api::route_health::{
    Condition, ConditionStatus, RouteHealth, RouteHealthStatus, Summary,
};
use crate::api::{annotations_digest, is_health_annotation};
use crate::model::diagnostics::{Code, Diagnostic, ObjectRef, Severity, Stage, targets};
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;

const MOST_ROWS: usize = 64;

/// None where another controller, and maybe another installation of Vigie, has the word.
pub fn status(
    index: &Index<'_>,
    name: &ObjectRef,
    health: &RouteHealth,
    mut share: Share<'_>,
) -> Option<RouteHealthStatus> {
    if is_others_word(index, health, &share) {
        return None;
    }
    let running = judge_programmed(index, health, &mut share);
    tell_overridden(index, name, health, &mut share);
    let rejected = rejection(index, name, health, &share);
    let shown = share.rows.iter().filter(|row| !row.entry.is_placeholder);
    let total = shown.clone().count();
    let healthy = shown.clone().filter(|row| row.is_healthy()).count();
    let writer = Writer::new(index.seen.now, health);
    let ingress = targeted(index, health, &share);
    let mut status = RouteHealthStatus {
        observed_generation: health.metadata.generation,
        target: target(health),
        target_generation: ingress.and_then(|ingress| ingress.metadata.generation),
        target_annotations: ingress.map(annotations),
        summary: Some(summary(&share, healthy, total, running)),
        conditions: object_conditions(&writer, name, &share, rejected.as_ref()),
        ..RouteHealthStatus::default()
    };
    let mut rows: Vec<&Row<'_>> = shown.collect();
    rows.sort_by_key(|row| (!row.is_broken(), row.is_healthy(), row.ingress));
    let kept = rows.len().min(MOST_ROWS);
    status.routes = rows[..kept].iter().map(|row| writer.row(row)).collect();
    status.routes_omitted = clamp(total - kept);
    fit(&mut status, name);
    Some(status)
}

/// Of an Ingress that is not ours, another installation may have the word, or have the same to say in
/// other words. What nobody has looked at yet, as it is now, is told to be not ours.
fn is_others_word(index: &Index<'_>, health: &RouteHealth, share: &Share<'_>) -> bool {
    let Some(standing) = &health.status else {
        return false;
    };
    let claims: BTreeSet<Claim> = share
        .targets
        .iter()
        .map(|target| index.claim(target))
        .collect();
    let theirs = match share.selects_others {
        true => claims.is_empty(),
        false => claims == [Claim::Others].into(),
    };
    let current = is_of(standing, targeted(index, health, share))
        && standing.observed_generation == health.metadata.generation;
    let accepted = ConditionType::Accepted.as_str();
    let mut told = standing.conditions.iter().filter(|c| c.type_ == accepted);
    let said = |row: &Row<'_>, reason: &str| {
        let verdict = row.verdict(ConditionType::Accepted);
        verdict.is_false() && verdict.reason == reason
    };
    told.any(|told| {
        let nobodys = claims == [Claim::Nobodys].into();
        let same = nobodys && share.rows.iter().any(|row| said(row, &told.reason));
        current && (theirs || same)
    })
}

/// Takes in what the proxies run; returns how many run all of it, where they do not agree.
fn judge_programmed(
    index: &Index<'_>,
    health: &RouteHealth,
    share: &mut Share<'_>,
) -> Option<(usize, usize)> {
    let alone = health.spec.target_ref.is_some();
    let standing = health.status.as_ref().filter(|_| alone);
    let mut known: BTreeMap<&ObjectRef, Programmed> = BTreeMap::new();
    for row in &mut share.rows {
        if row.claim != Claim::Ours || row.verdict(ConditionType::Programmed).is_false() {
            continue;
        }
        let told = known.entry(row.ingress).or_insert_with(|| {
            let subject = &index.seen.ingresses[row.ingress];
            programmed(index.seen, row.ingress, subject, standing)
        });
        row.judge(ConditionType::Programmed, told.verdict.clone());
        if let Some(finding) = &told.finding {
            row.tell(finding.clone());
        }
    }
    known.values().filter_map(|told| told.running).min()
}

/// The annotations that would count if nobody had written an object.
fn tell_overridden(
    index: &Index<'_>,
    name: &ObjectRef,
    health: &RouteHealth,
    share: &mut Share<'_>,
) {
    if is_generated(health) {
        return;
    }
    for row in &mut share.rows {
        let annotations = &index.seen.ingresses[row.ingress]
            .ingress
            .metadata
            .annotations;
        let keys = annotations.iter().flatten().map(|(key, _)| key.as_str());
        let keys: Vec<&str> = keys.filter(|key| is_health_annotation(key)).collect();
        if !keys.is_empty() {
            row.tell(targets::annotations_overridden(name, &some(&keys, 3)));
        }
    }
}

/// What is wrong with a RouteHealth itself.
pub fn objections(
    index: &Index<'_>,
    name: &ObjectRef,
    health: &RouteHealth,
    share: &mut Share<'_>,
) -> Vec<Diagnostic> {
    if let Some(rejected) = rejection(index, name, health, share) {
        return vec![rejected];
    }
    tell_overridden(index, name, health, share);
    let told = share.rows.iter().flat_map(|row| &row.findings);
    let overridden = told.filter(|finding| finding.code == Code::RH108).cloned();
    overridden.take(1).chain(partly(name, share)).collect()
}

/// It holds some routes of those that it is about, and another one the others.
fn partly(name: &ObjectRef, share: &Share<'_>) -> Option<Diagnostic> {
    let (route, holder) = share.lost.first()?;
    let held = share.rows.iter().filter(|row| !row.entry.is_placeholder);
    let held = held.count();
    let kept = format!("{held} of {}", count(held + share.lost.len(), "route"));
    Some(targets::partially_accepted(
        name,
        &kept,
        route,
        &holder.name,
    ))
}

/// Why it holds no route at all.
fn rejection(
    index: &Index<'_>,
    name: &ObjectRef,
    health: &RouteHealth,
    share: &Share<'_>,
) -> Option<Diagnostic> {
    // One that breaks a rule holds nothing.
    if !share.rows.is_empty() {
        return None;
    }
    if let Some(violation) = violations(&health.spec).first() {
        return Some(targets::invalid(name, violation.field, &violation.message));
    }
    if let Some((route, holder)) = share.lost.first() {
        return Some(targets::conflicted(name, route, &holder.name));
    }
    if !share.targets.is_empty() {
        let wanted: Vec<String> = health.spec.routes.iter().map(shown_selector).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let others: Vec<&str> = share.others.iter().map(String::as_str).collect();
        let (wanted, others) = (some(&wanted, 3), some(&others, 5));
        return Some(targets::no_matching_routes(name, &wanted, &others));
    }
    let Some(target) = &health.spec.target_ref else {
        return Some(targets::selector_matches_nothing(name, &labels(health)));
    };
    let from = super::ingress_ref(&name.namespace, "");
    let here = index.seen.ingresses.range(from..);
    let here = here.take_while(|(ingress, _)| ingress.namespace == name.namespace);
    let here: Vec<&str> = here.map(|(ingress, _)| &*ingress.name).take(5).collect();
    Some(targets::target_not_found(name, &target.name, &here))
}

fn shown_selector(selector: &crate::api::route_health::RouteSelector) -> String {
    let host = selector.host.as_deref().map(|host| format!("host {host}"));
    let path = selector.path.as_deref().map(|path| format!("path {path}"));
    let parts: Vec<String> = host.into_iter().chain(path).collect();
    parts.join(" and ")
}

fn labels(health: &RouteHealth) -> String {
    let selector = health.spec.target_selector.as_ref();
    let labels = selector.into_iter().flat_map(|s| &s.match_labels);
    let pairs: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

fn target(health: &RouteHealth) -> String {
    let target = match &health.spec.target_ref {
        Some(target) => format!("ingress/{}", target.name),
        None => format!("ingresses with {}", labels(health)),
    };
    cut(&target, 300)
}

/// The Ingress that it names.
fn targeted<'a>(index: &Index<'a>, health: &RouteHealth, share: &Share<'_>) -> Option<&'a Ingress> {
    health.spec.target_ref.as_ref()?;
    let subject = index.seen.ingresses.get(*share.targets.first()?)?;
    Some(subject.ingress)
}

fn annotations(ingress: &Ingress) -> String {
    annotations_digest(ingress.metadata.annotations.as_ref())
}

/// Whether a status tells of an Ingress as it is now. What an older version wrote does not know its
/// annotations.
pub(super) fn is_of(status: &RouteHealthStatus, ingress: Option<&Ingress>) -> bool {
    let told = status.target_annotations.as_ref();
    status.target_generation == ingress.and_then(|ingress| ingress.metadata.generation)
        && told.is_none_or(|told| ingress.is_some_and(|ingress| annotations(ingress) == *told))
}

fn summary(
    share: &Share<'_>,
    healthy: usize,
    total: usize,
    running: Option<(usize, usize)>,
) -> Summary {
    let tally = tally(&share.rows);
    Summary {
        routes: format!("{healthy}/{total}"),
        endpoints: format!("{}/{}", tally.ready, tally.total()),
        // Nothing is taken out of rotation by this version.
        ejected: Some(0),
        proxies: running.map_or_else(String::new, |(n, m)| format!("{n}/{m}")),
        ..Summary::default()
    }
}

/// Each upstream counts once, however many routes lead there.
pub fn tally(rows: &[Row<'_>]) -> Tally {
    let behind = rows.iter().flat_map(|row| &row.upstreams);
    let behind: BTreeMap<&UpstreamName, Option<Tally>> = behind.copied().collect();
    let mut all = Tally::default();
    behind
        .into_values()
        .flatten()
        .for_each(|tally| all.add(tally));
    all
}

fn object_conditions(
    writer: &Writer<'_>,
    name: &ObjectRef,
    share: &Share<'_>,
    rejected: Option<&Diagnostic>,
) -> Vec<Condition> {
    let stages: Vec<Verdict> = match rejected {
        Some(finding) => {
            let unheld = |_| Verdict::unknown("Pending", "No route is held.");
            let mut stages: Vec<Verdict> = ConditionType::STAGES[1..].iter().map(unheld).collect();
            stages.insert(0, Verdict::bad(finding));
            stages
        }
        None => ConditionType::STAGES
            .map(|kind| over_all(kind, name, share))
            .into(),
    };
    let broken = match rejected {
        Some(_) => first_broken(&stages).cloned(),
        None => broken_row(share),
    };
    let degraded = || in_order(share).into_iter().find_map(degraded);
    let healthy = broken.unwrap_or_else(|| without_fault(&stages, degraded));
    let standing = writer.standing.map_or(&[][..], |status| &status.conditions);
    let all = std::iter::once((ConditionType::Healthy, healthy))
        .chain(ConditionType::STAGES.into_iter().zip(stages));
    all.map(|(kind, verdict)| writer.condition(kind, &verdict, standing))
        .collect()
}

/// The verdict over a route as a whole.
pub(super) fn healthy(row: &Row<'_>) -> Verdict {
    let broken = first_broken(&row.stages).cloned();
    broken.unwrap_or_else(|| without_fault(&row.stages, || degraded(row)))
}

/// It works, and some of what stands behind it does not.
fn degraded(row: &Row<'_>) -> Option<Verdict> {
    let mut findings = row.findings.iter();
    let found = findings.find(|finding| {
        finding.severity == Severity::Warning && finding.code.stage() == Stage::EndpointsReady
    });
    found.map(|finding| Verdict {
        message: finding.message.clone(),
        ..Verdict::good("Degraded")
    })
}

fn first_broken(stages: &[Verdict]) -> Option<&Verdict> {
    stages.iter().find(|verdict| verdict.is_false())
}

/// Nothing is False: what is not known yet, what does not work of it all the same, or that all is well.
fn without_fault(stages: &[Verdict], degraded: impl FnOnce() -> Option<Verdict>) -> Verdict {
    let mut decisive = stages.iter().take(DECISIVE);
    match decisive.find(|verdict| verdict.status == ConditionStatus::Unknown) {
        Some(unknown) => unknown.clone(),
        None => degraded().unwrap_or_else(|| Verdict::good("Healthy")),
    }
}

/// The earliest broken stage over all routes, of the first route by host and path.
fn broken_row(share: &Share<'_>) -> Option<Verdict> {
    let rows = in_order(share);
    ConditionType::STAGES.into_iter().find_map(|kind| {
        let row = rows.iter().find(|row| row.verdict(kind).is_false())?;
        let verdict = row.verdict(kind);
        let message = match rows.len() {
            1 => verdict.message.clone(),
            _ => format!("{}: {}", row.entry.shown(), verdict.message),
        };
        let reason = verdict.reason;
        let status = ConditionStatus::False;
        Some(Verdict {
            status,
            reason,
            message,
        })
    })
}

fn in_order<'r, 'a>(share: &'r Share<'a>) -> Vec<&'r Row<'a>> {
    let mut rows: Vec<&Row<'_>> = share.rows.iter().collect();
    rows.sort_by_key(|row| (&row.entry.host, &row.entry.path, row.ingress));
    rows
}

/// One stage over all routes: False before Unknown before True.
fn over_all(kind: ConditionType, name: &ObjectRef, share: &Share<'_>) -> Verdict {
    let rows = in_order(share);
    for wanted in [ConditionStatus::False, ConditionStatus::Unknown] {
        let is_such = |row: &&&Row<'_>| row.verdict(kind).status == wanted;
        let such: Vec<&&Row<'_>> = rows.iter().filter(is_such).collect();
        let Some(first) = such.first() else {
            continue;
        };
        let mut verdict = first.verdict(kind).clone();
        let same = |row: &&&Row<'_>| row.verdict(kind).message == verdict.message;
        if !such.iter().copied().all(|row| same(&row)) || such.len() < rows.len() {
            let (some, all) = (such.len(), count(rows.len(), "route"));
            let shown = first.entry.shown();
            verdict.message = format!("{some} of {all}, first {shown}: {}", verdict.message);
        }
        return verdict;
    }
    let mut verdict = Verdict::good(kind.as_str());
    match kind {
        ConditionType::Accepted => return accepted(name, share),
        ConditionType::ResolvedRefs => {
            let behind = rows.iter().flat_map(|row| &row.upstreams);
            let ports: BTreeSet<&UpstreamName> = behind.map(|(name, _)| *name).collect();
            verdict.message = format!("{}.", count(ports.len(), "Service port"));
        }
        ConditionType::Programmed => {
            let these = if rows.len() == 1 {
                "this route"
            } else {
                "these routes"
            };
            verdict.message = format!("All proxies run {these}.");
        }
        ConditionType::EndpointsReady => {
            let Tally { ready, .. } = tally(&share.rows);
            let total = tally(&share.rows).total();
            verdict.message = match total {
                0 => "No endpoints are needed.".to_owned(),
                1 => "1 of 1 endpoint is ready.".to_owned(),
                _ => format!("{ready} of {total} endpoints are ready."),
            };
            if ready < total {
                verdict.reason = "PartiallyReady";
            }
        }
        ConditionType::PrefixServed => {
            verdict.reason = "NotApplicable";
            verdict.message = "No route has a prefix.".to_owned();
        }
        ConditionType::Healthy | ConditionType::ProbePassing => {}
    }
    verdict
}

fn accepted(name: &ObjectRef, share: &Share<'_>) -> Verdict {
    let held = share.rows.iter().filter(|row| !row.entry.is_placeholder);
    let held = held.count();
    if let Some(finding) = partly(name, share) {
        return Verdict {
            message: finding.message,
            ..Verdict::good(finding.code.reason())
        };
    }
    let held = count(held, "route");
    let message = match share.targets.as_slice() {
        [ingress] => format!("{held} of Ingress {}.", ingress.name),
        all => format!("{held} of {} Ingresses.", all.len()),
    };
    Verdict {
        message,
        ..Verdict::good("Accepted")
    }
}
