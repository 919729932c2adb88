//! The verdict on each stage of each route: what findings say, and what endpoints there are.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Entry;
use super::{Claim, ConditionType, Seen, Verdict, claim_of};
use crate::api::route_health::ConditionStatus;
use crate::model::diagnostics::{
    Code, Diagnostic, FieldPath, Kind, ObjectRef, Origin, Severity, Stage, endpoints,
};
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;
use crate::model::{Action, Endpoints, Refusal, Route, Upstream};

/// A route of an Ingress, with what is known of it.
pub struct Row<'a> {
    pub ingress: &'a ObjectRef,
    pub entry: Entry,
    pub claim: Claim,
    /// By [`ConditionType::STAGES`].
    pub(super) stages: [Verdict; 6],
    /// Sorted by how much they matter; of each code the first.
    pub findings: Vec<Diagnostic>,
    /// Where its requests go, with the endpoints there.
    pub upstreams: Vec<(&'a UpstreamName, Option<Tally>)>,
}

impl Row<'_> {
    pub(super) fn verdict(&self, kind: ConditionType) -> &Verdict {
        let at = ConditionType::STAGES.iter().position(|k| *k == kind);
        &self.stages[at.unwrap_or_default()]
    }

    pub(super) fn judge(&mut self, kind: ConditionType, verdict: Verdict) {
        let at = ConditionType::STAGES.iter().position(|k| *k == kind);
        self.stages[at.unwrap_or_default()] = verdict;
    }

    pub fn tell(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
        self.findings.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.severity, d.code);
            key(a).cmp(&key(b))
        });
        let mut known = BTreeSet::new();
        self.findings.retain(|finding| known.insert(finding.code));
    }

    pub fn is_broken(&self) -> bool {
        self.stages.iter().any(Verdict::is_false)
    }

    /// Nothing is broken, and nothing is waited for.
    pub fn is_healthy(&self) -> bool {
        let mut decisive = self.stages.iter().take(DECISIVE);
        decisive.all(|verdict| verdict.status == ConditionStatus::True) && !self.is_broken()
    }
}

/// The stages whose doubt is doubt about the whole.
pub(super) const DECISIVE: usize = 4;

/// Findings and routes by what they are about.
pub struct Index<'a> {
    pub seen: &'a Seen<'a>,
    findings: BTreeMap<&'a ObjectRef, Vec<&'a Diagnostic>>,
    routes: BTreeMap<&'a Origin, &'a Route>,
    upstreams: BTreeMap<&'a str, &'a UpstreamName>,
}

impl<'a> Index<'a> {
    pub fn new(seen: &'a Seen<'a>) -> Self {
        let mut findings: BTreeMap<&ObjectRef, Vec<&Diagnostic>> = BTreeMap::new();
        for finding in seen.diagnostics {
            let of_object = findings.entry(&finding.origin.object).or_default();
            of_object.push(finding);
        }
        let of_hosts = seen.model.hosts.values().flat_map(|host| &host.routes);
        let mut routes: BTreeMap<&Origin, &Route> = BTreeMap::new();
        for route in of_hosts.chain(&seen.model.fallback) {
            // A redirect that was added to a route has the same origin.
            let known = routes.entry(&route.origin).or_insert(route);
            if matches!(route.action, Action::Forward(_)) {
                *known = route;
            }
        }
        let upstreams = seen.model.upstreams.iter();
        Self {
            seen,
            findings,
            routes,
            upstreams: upstreams.map(|(n, u)| (u.label.as_str(), n)).collect(),
        }
    }

    fn on(&self, object: &ObjectRef) -> &[&'a Diagnostic] {
        self.findings.get(object).map_or(&[], Vec::as_slice)
    }

    pub fn claim(&self, ingress: &ObjectRef) -> Claim {
        claim_of(self.on(ingress).iter().copied())
    }

    pub fn row(&self, ingress: &'a ObjectRef, entry: Entry) -> Row<'a> {
        let claim = self.claim(ingress);
        let origin = Origin::new(ingress.clone(), FieldPath::new(entry.field.clone()));
        let route = self.routes.get(&origin).copied();
        let upstreams = self.upstreams(ingress, &entry, route);
        let upstreams: Vec<_> = upstreams
            .into_iter()
            .map(|name| (name, self.seen.tallies.get(name).copied()))
            .collect();
        let mut row = Row {
            ingress,
            entry,
            claim,
            stages: ConditionType::STAGES.map(|kind| Verdict::good(kind.as_str())),
            findings: Vec::new(),
            upstreams,
        };
        for finding in self.about(&row) {
            row.tell(finding.clone());
        }
        let behind: Vec<&UpstreamName> = row.upstreams.iter().map(|(name, _)| *name).collect();
        for (at, name) in behind.into_iter().enumerate() {
            for finding in self.behind(name) {
                // A canary that does not answer leaves the main version as it is.
                let most = if at == 0 {
                    Severity::Error
                } else {
                    Severity::Warning
                };
                let severity = finding.severity.max(most);
                row.tell(finding.clone().with_severity(severity));
            }
        }
        self.judge(&mut row, &origin, route);
        row
    }

    /// Where requests of a route go. One that the model does not have, as it is a canary or the same as
    /// another, goes where its backend says.
    fn upstreams(
        &self,
        ingress: &ObjectRef,
        entry: &Entry,
        route: Option<&'a Route>,
    ) -> Vec<&'a UpstreamName> {
        match route.map(|route| &route.action) {
            Some(Action::Forward(forward)) => {
                let all: BTreeSet<&UpstreamName> = forward.split.upstreams().collect();
                let primary = &forward.split.primary;
                let others = all.into_iter().filter(|name| *name != primary);
                std::iter::once(primary).chain(others).collect()
            }
            Some(_) => Vec::new(),
            None => {
                let label = format!("{}/{}", ingress.namespace, entry.backend);
                self.upstreams
                    .get(label.as_str())
                    .copied()
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Findings on the route itself, on its Ingress as a whole, and on what stands behind it.
    fn about(&self, row: &Row<'_>) -> Vec<&'a Diagnostic> {
        let ingress = self.seen.ingresses[row.ingress].ingress;
        let concerns = |finding: &&&Diagnostic| {
            let field = finding.origin.field.as_str();
            row.entry.concerned_by(field, ingress)
        };
        let own = self.on(row.ingress).iter().filter(concerns).copied();
        let spec = ingress.spec.as_ref();
        let tls = spec
            .and_then(|spec| spec.tls.as_deref())
            .unwrap_or_default();
        let secrets = tls.iter().filter(|tls| {
            let hosts = tls.hosts.as_deref().unwrap_or_default();
            hosts.is_empty() || hosts.contains(&row.entry.host)
        });
        let namespace = &row.ingress.namespace;
        let secrets = secrets
            .filter_map(|tls| tls.secret_name.as_deref())
            .map(|name| ObjectRef::new(Kind::Secret, namespace, name));
        let services = row
            .upstreams
            .iter()
            .filter_map(|(name, _)| self.seen.model.upstreams.get(*name))
            .map(|upstream| upstream.origin.object.clone());
        let behind: BTreeSet<ObjectRef> = secrets.chain(services).collect();
        let behind = behind
            .iter()
            .flat_map(|object| self.on(object).iter().copied());
        own.chain(behind).collect()
    }

    /// What is wrong behind an upstream, of the advice among it only what suits a status.
    fn behind(&self, name: &UpstreamName) -> impl Iterator<Item = &'a Diagnostic> {
        let found = self.seen.behind.get(name);
        let found = found.map_or(&[][..], Vec::as_slice).iter();
        found.filter(|finding| !ASKED_FOR.contains(&finding.code))
    }

    fn judge(&self, row: &mut Row<'a>, origin: &Origin, route: Option<&Route>) {
        for kind in ConditionType::STAGES {
            let Some(stage) = kind.stage() else {
                continue;
            };
            let broken = row.findings.iter().find(|finding| breaks(finding, stage));
            if let Some(finding) = broken {
                let verdict = Verdict::bad(finding);
                row.judge(kind, verdict);
            }
        }
        if !row.verdict(ConditionType::ProbePassing).is_false() {
            row.judge(ConditionType::ProbePassing, not_probed(self, row));
        }
        row.judge(ConditionType::PrefixServed, not_compared(row));
        if row.claim != Claim::Ours {
            for kind in &ConditionType::STAGES[1..DECISIVE] {
                let message = "Nothing is known of an Ingress that is not served here.";
                row.judge(*kind, Verdict::unknown("Pending", message));
            }
            return;
        }
        if let Some(Action::Refuse(Refusal::GuardNotHonoured)) = route.map(|route| &route.action) {
            self.judge_closed(row);
        }
        self.judge_endpoints(row, origin);
    }

    /// A route that is closed because its guard cannot be honoured is not the route that was asked for.
    fn judge_closed(&self, row: &mut Row<'_>) {
        let why =
            |finding: &&Diagnostic| finding.is_error() && finding.code.stage() == Stage::Advice;
        if let Some(finding) = row.findings.iter().find(why) {
            let verdict = Verdict::bad(finding);
            row.judge(ConditionType::Accepted, verdict);
        }
    }

    /// Why no endpoint of an upstream is ready, where that is known.
    fn known_reason(&self, row: &Row<'_>, upstream: &UpstreamName) -> Option<Verdict> {
        let of_slices = row.findings.iter();
        let of_slices = of_slices.filter(|f| matches!(f.code, Code::RH417 | Code::RH418));
        let mut known = self.behind(upstream).chain(of_slices);
        let known = known.find(|finding| finding.code.stage() == Stage::EndpointsReady);
        known.map(Verdict::bad)
    }

    fn judge_endpoints(&self, row: &mut Row<'_>, origin: &Origin) {
        let kind = ConditionType::EndpointsReady;
        if row.verdict(kind).is_false() {
            return;
        }
        let missing = row.verdict(ConditionType::ResolvedRefs);
        let unnamed = missing.is_false() && missing.reason == Code::RH203.reason();
        let Some(&(name, tally)) = row.upstreams.first().filter(|_| !unnamed) else {
            if missing.is_false() {
                let verdict = Verdict::unknown(
                    "Pending",
                    match unnamed {
                        true => "Pods are endpoints once their port is found.",
                        false => "There is no Service to look at.",
                    },
                );
                row.judge(kind, verdict);
            }
            return;
        };
        let Some(tally) = tally else {
            return;
        };
        let at_service = origin.at(FieldPath::new(row.entry.field.clone()));
        let service = match self.seen.model.upstreams.get(name) {
            Some(upstream) => upstream.origin.object.path(),
            None => String::new(),
        };
        if let Some(verdict) = self.known_reason(row, name).filter(|_| tally.ready == 0) {
            row.judge(kind, verdict);
            return;
        }
        let finding = match tally {
            Tally { ready: 1.., .. } => {
                if tally.not_ready + tally.terminating > 0 {
                    row.judge(kind, Verdict::good("PartiallyReady"));
                }
                return;
            }
            Tally {
                terminating: 1.., ..
            } => endpoints::only_terminating(at_service, &service),
            Tally { not_ready: 0, .. } => endpoints::no_endpoints(at_service, &service),
            Tally { not_ready, .. } => endpoints::none_ready(at_service, &service, not_ready),
        };
        let finding = match self.seen.sees_pods {
            true => finding,
            false => endpoints::unseen(finding),
        };
        row.judge(kind, Verdict::bad(&finding));
        row.tell(finding);
    }
}

/// Advice on how pods are written, which is told to who asks for it: to most routes it could be told all
/// the time.
const ASKED_FOR: [Code; 1] = [Code::RH907];

/// An Ingress that is not ours is not accepted, however little that matters to us.
fn breaks(finding: &Diagnostic, stage: Stage) -> bool {
    finding.code.stage() == stage
        && (finding.is_error() || matches!(finding.code, Code::RH102 | Code::RH210))
}

fn not_probed(index: &Index<'_>, row: &Row<'_>) -> Verdict {
    let upstream = row.upstreams.first();
    let upstream: Option<&Upstream> =
        upstream.and_then(|(name, _)| index.seen.model.upstreams.get(*name));
    match upstream.map(|upstream| &upstream.endpoints) {
        Some(Endpoints::Name { .. }) => Verdict::unknown(
            "ExternalNameNotProbed",
            "The Service is ExternalName; it is routed but not probed.",
        ),
        _ => Verdict::unknown("ProbeDisabled", "Probing is not part of this version."),
    }
}

fn not_compared(row: &Row<'_>) -> Verdict {
    match row.entry.path.as_str() {
        "/" => Verdict::good("NotApplicable"),
        _ => Verdict::unknown(
            "PrefixCheckDisabled",
            "Whether applications answer below their public paths is not checked in this version.",
        ),
    }
}
