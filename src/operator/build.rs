//! Snapshot → model, findings and a bundle for each proxy, with what is learnt from one build to the
//! next: certificates that were good, objects that a proxy refused, what the oldest proxy can do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::civil::Date;
use tokio::time::Instant;

use crate::api::report::RefusedObject;
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin};
use crate::model::names::UpstreamName;
use crate::model::{Action, Endpoints, Model, Route, Upstream};
use crate::render::bundle::{Bundle, ProxyKind, Revision};
use crate::render::capabilities::Capabilities;
use crate::render::{Placement, render, render_endpoints, unsupported};
use crate::snapshot::{ObjectName, Snapshot};
use crate::translate::{Memo, Options, Quarantine, Refused, new_endpoints, translate_with};

use super::behind::Behind;
use super::proxies::{Proxies, Proxy};
use super::{BuildNumber, Outcome, ProxyState, last_good};

/// How many builds are remembered, to know what a proxy runs that is behind.
const REMEMBERED: usize = 256;
/// How many of them with their objects, to know what a refusal is about; those that a proxy runs are
/// kept beyond that.
const WITH_OBJECTS: usize = 8;

pub struct Builder {
    /// The date and the memory in it are those of the latest build.
    options: Options,
    placement: Placement,
    memo: Memo,
    number: BuildNumber,
    kinds: BTreeMap<ProxyKind, OfKind>,
    since: BTreeMap<ObjectName, Since>,
    /// What `since` was last told as.
    told: Arc<BTreeMap<ObjectName, BuildNumber>>,
    objects: BTreeMap<BuildNumber, Arc<Snapshot>>,
    /// The builds that proxies run, as they last said.
    running: BTreeSet<BuildNumber>,
    behind: Behind,
    latest: Option<Latest>,
    /// Not all that the latest was built with holds any more, whatever the snapshot is.
    stale: bool,
}

struct OfKind {
    capabilities: Capabilities,
    /// The latest, and its revision.
    bundle: Option<Arc<Bundle>>,
    revision: Option<Revision>,
    /// Somebody's refusal of this revision has been learnt from.
    learnt: bool,
    /// The newest build of each revision, oldest first.
    builds: VecDeque<(Revision, BuildNumber)>,
}

/// The generation of an Ingress, and the first build with it and its routes as they are.
struct Since {
    uid: Option<String>,
    generation: Option<i64>,
    build: BuildNumber,
}

struct Latest {
    snapshot: Arc<Snapshot>,
    model: Arc<Model>,
    /// Those that no proxy has a part in.
    findings: Vec<Diagnostic>,
    /// All of them.
    diagnostics: Arc<[Diagnostic]>,
}

/// What a snapshot is translated to.
struct Translated {
    model: Arc<Model>,
    findings: Vec<Diagnostic>,
    /// Where they alone differ from the latest model: the upstreams that have other endpoints.
    endpoints_of: Option<BTreeSet<UpstreamName>>,
}

impl Builder {
    pub fn new(options: Options, placement: Placement, kinds: &[ProxyKind]) -> Self {
        let of_kind = |kind: &ProxyKind| {
            let of_kind = OfKind {
                capabilities: Capabilities::assumed(*kind),
                bundle: None,
                revision: None,
                learnt: false,
                builds: VecDeque::new(),
            };
            (*kind, of_kind)
        };
        Self {
            options,
            placement,
            memo: Memo::default(),
            number: 0,
            kinds: kinds.iter().map(of_kind).collect(),
            since: BTreeMap::new(),
            told: Arc::default(),
            objects: BTreeMap::new(),
            running: BTreeSet::new(),
            behind: Behind::default(),
            latest: None,
            stale: false,
        }
    }

    /// From now on these hold, with what has been learnt so far. Says whether they are others.
    pub fn set_options(&mut self, options: Options) -> bool {
        let options = Options {
            memory: self.options.memory.clone(),
            today: self.options.today,
            ..options
        };
        let changed = self.options != options;
        self.options = options;
        self.stale |= changed;
        changed
    }

    /// Takes over what an earlier process has learnt of refused objects.
    pub fn remember(&mut self, quarantine: Quarantine) {
        self.options.memory.quarantine = quarantine;
        self.stale = true;
    }

    /// Takes over which certificates are served already, before the first build.
    pub fn recall(&mut self, files: &last_good::Files, snapshot: &Arc<Snapshot>) {
        let built = self.options.memory.quarantine.applied(snapshot);
        let default = self.options.default_certificate_secret.as_ref();
        self.options.memory.certificates = last_good::certificates(files, &built, default);
    }

    /// What is worth knowing to a later one.
    pub fn quarantine(&self) -> &Quarantine {
        &self.options.memory.quarantine
    }

    /// Builds a snapshot, and renders it for each kind of proxy. Where only endpoints differ from the
    /// latest, only they are built anew; where not even they do, nothing is.
    pub fn build(
        &mut self,
        snapshot: &Arc<Snapshot>,
        today: Date,
    ) -> Vec<(ProxyKind, Arc<Bundle>)> {
        let translated = match self.endpoints(snapshot, today) {
            Some(translated) => translated,
            None => self.translate(snapshot, today),
        };
        if let Some(latest) = &mut self.latest
            && Arc::ptr_eq(&latest.model, &translated.model)
        {
            latest.snapshot = snapshot.clone();
            return Vec::new();
        }
        self.number += 1;
        self.remember_objects(snapshot);
        let Translated {
            model,
            findings,
            endpoints_of,
        } = translated;
        let mut diagnostics = findings.clone();
        let mut bundles = Vec::new();
        let placement = self.placement.with_resolvers(model.upstreams.len());
        for (kind, of_kind) in &mut self.kinds {
            let capabilities = of_kind.capabilities;
            diagnostics.extend(unsupported(&model, &capabilities));
            let bundle = match (&endpoints_of, &of_kind.bundle) {
                (Some(names), Some(before)) => {
                    render_endpoints(before, &model, names, &capabilities, &placement)
                }
                _ => render(&model, &capabilities, &placement),
            };
            bundles.push((*kind, of_kind.built(bundle, self.number)));
        }
        diagnostics.sort();
        diagnostics.dedup();
        self.number(snapshot, &model);
        self.stale = false;
        self.latest = Some(Latest {
            snapshot: snapshot.clone(),
            model,
            findings,
            diagnostics: diagnostics.into(),
        });
        bundles
    }

    /// The latest model with other endpoints, where no more than they can be other than before.
    fn endpoints(&mut self, snapshot: &Snapshot, today: Date) -> Option<Translated> {
        let latest = self.latest.as_ref()?;
        if self.stale || self.options.today != today {
            return None;
        }
        let new = new_endpoints(&latest.model, &latest.snapshot, snapshot, &mut self.memo)?;
        Some(Translated {
            model: new.model,
            findings: latest.findings.clone(),
            endpoints_of: Some(new.upstreams),
        })
    }

    fn translate(&mut self, snapshot: &Snapshot, today: Date) -> Translated {
        self.options.today = today;
        let translation = translate_with(snapshot, &self.options, &mut self.memo);
        self.options.memory = translation.memory;
        Translated {
            model: Arc::new(translation.model),
            findings: translation.diagnostics,
            endpoints_of: None,
        }
    }

    fn remember_objects(&mut self, snapshot: &Arc<Snapshot>) {
        let applied = self.options.memory.quarantine.applied(snapshot);
        self.objects.insert(self.number, applied);
        let newest = self.objects.keys().rev().nth(WITH_OBJECTS - 1);
        let (oldest, running) = (newest.copied().unwrap_or(0), &self.running);
        self.objects
            .retain(|number, _| *number >= oldest || running.contains(number));
    }

    /// Learns from what proxies report. Says whether another build is due.
    pub fn learn(&mut self, proxies: &Proxies, now: Instant) -> bool {
        let mut due = false;
        for (kind, of_kind) in &mut self.kinds {
            if let Some(oldest) = proxies.oldest(*kind)
                && oldest != of_kind.capabilities
            {
                of_kind.capabilities = oldest;
                due = true;
            }
        }
        let runs = proxies
            .alive
            .iter()
            .filter_map(|proxy| self.build_of(proxy));
        self.running = runs.collect();
        for proxy in &proxies.alive {
            due |= self.learn_of_refusal(proxy, proxies);
        }
        let known = std::mem::take(&mut self.behind);
        let behind = proxies.alive.iter().filter(|proxy| !self.is_current(proxy));
        self.behind = known.noted(behind, now);
        if !due && self.is_settled(proxies, now) {
            due = self.options.memory.quarantine.loaded();
        }
        self.stale |= due;
        due
    }

    /// When time alone may make another build due.
    pub fn wakes(&self, now: Instant) -> Option<Instant> {
        if !self.options.memory.quarantine.holds_back() {
            return None;
        }
        self.behind.next(now)
    }

    fn is_current(&self, proxy: &Proxy) -> bool {
        let wanted = self.wanted(proxy);
        wanted.is_some() && proxy.revision.as_deref() == wanted
    }

    /// What a proxy is to run.
    fn wanted(&self, proxy: &Proxy) -> Option<&str> {
        let of_kind = self.kinds.get(&proxy.capabilities.proxy)?;
        of_kind.revision.as_ref().map(Revision::as_str)
    }

    /// Whether there is nothing more to wait for of the latest build, when all has been learnt that can
    /// be: one proxy at least runs it, and each other one does too, has refused it, or has been stuck
    /// for long. A proxy that stays behind for ever must not keep back what the others would take.
    fn is_settled(&self, proxies: &Proxies, now: Instant) -> bool {
        let refuses = |proxy: &Proxy| {
            let refused = proxy.refused.as_ref();
            refused.map(|refused| refused.revision.as_str()) == self.wanted(proxy)
        };
        let is_stuck = |proxy: &Proxy| self.behind.is_stuck(proxy, now);
        let mut alive = proxies.alive.iter();
        alive.clone().any(|proxy| self.is_current(proxy))
            && alive.all(|p| self.is_current(p) || refuses(p) || is_stuck(p))
    }

    /// The revision of the latest build for each kind of proxy.
    pub fn revisions(&self) -> Vec<Option<Revision>> {
        let kinds = self.kinds.values();
        kinds.map(|of_kind| of_kind.revision.clone()).collect()
    }

    pub fn is_run_by_all(&self, proxies: &Proxies) -> bool {
        self.kinds.iter().all(|(kind, of_kind)| {
            let wanted = of_kind.revision.as_ref().map(Revision::as_str);
            proxies.revisions(*kind).all(|runs| runs == wanted)
        })
    }

    /// The build whose structure a proxy runs; None where it is none of this process.
    fn build_of(&self, proxy: &Proxy) -> Option<BuildNumber> {
        let of_kind = self.kinds.get(&proxy.capabilities.proxy)?;
        of_kind.build_of(proxy.revision.as_deref()?)
    }

    /// What a proxy is known to take: what it runs. None where that is something else than this process
    /// has built, or where it runs nothing and others of its kind do: then a refusal that leads to no
    /// object cannot be about one of a few, and nobody is to be held back for it.
    fn good(&self, proxy: &Proxy, proxies: &Proxies) -> Option<Arc<Snapshot>> {
        if proxy.revision.is_some() {
            return self.objects.get(&self.build_of(proxy)?).cloned();
        }
        let mut revisions = proxies.revisions(proxy.capabilities.proxy);
        revisions
            .all(|runs| runs.is_none())
            .then(Arc::<Snapshot>::default)
    }

    /// Only what is wanted now is worth learning from, and that once.
    fn learn_of_refusal(&mut self, proxy: &Proxy, proxies: &Proxies) -> bool {
        let kind = proxy.capabilities.proxy;
        let (Some(refused), Some(of_kind)) = (&proxy.refused, self.kinds.get_mut(&kind)) else {
            return false;
        };
        let wanted = of_kind.revision.as_ref().map(Revision::as_str);
        if wanted != Some(&refused.revision) || of_kind.learnt {
            return false;
        }
        of_kind.learnt = true;
        let Some(snapshot) = self.objects.get(&self.number).cloned() else {
            return false;
        };
        let origin = refused.object.as_ref().and_then(origin);
        let good = self.good(proxy, proxies);
        if good.is_none() && origin.is_none() {
            return false;
        }
        let good = good.unwrap_or_default();
        self.options.memory.quarantine.refused(&Refused {
            proxy: &proxy.capabilities.to_string(),
            words: &refused.words,
            origin: origin.as_ref(),
            snapshot: &snapshot,
            good: &good,
        })
    }

    /// Notes in which build each Ingress came to stand as it stands now: in its generation, and with the
    /// routes that are made of it.
    fn number(&mut self, snapshot: &Snapshot, model: &Model) {
        let before = self.latest.as_ref();
        let known = |latest: &Latest| Arc::ptr_eq(&latest.snapshot.ingresses, &snapshot.ingresses);
        let mut changed = BTreeSet::new();
        if !before.is_some_and(known) {
            changed.extend(snapshot.ingresses.iter().filter_map(|(name, ingress)| {
                let (uid, generation) = (&ingress.metadata.uid, ingress.metadata.generation);
                let known = self.since.get(name);
                let same = |known: &Since| known.uid == *uid && known.generation == generation;
                (!known.is_some_and(same)).then(|| name.clone())
            }));
        }
        if let Some(before) = before {
            let rerouted = rerouted(&before.model, model).into_iter();
            changed.extend(rerouted.filter(|name| snapshot.ingresses.contains_key(name)));
        }
        let gone = self.since.len();
        self.since
            .retain(|name, _| snapshot.ingresses.contains_key(name));
        if changed.is_empty() && self.since.len() == gone {
            return;
        }
        for name in changed {
            let ingress = snapshot.ingresses.get(&name);
            let metadata = ingress.map(|ingress| &ingress.metadata);
            let since = Since {
                uid: metadata.and_then(|metadata| metadata.uid.clone()),
                generation: metadata.and_then(|metadata| metadata.generation),
                build: self.number,
            };
            self.since.insert(name, since);
        }
        let told = self.since.iter();
        let told = told.map(|(name, since)| (name.clone(), since.build));
        self.told = Arc::new(told.collect());
    }

    /// What status tells of; None before the first build.
    pub fn outcome(&self, proxies: &Proxies) -> Option<Outcome> {
        let latest = self.latest.as_ref()?;
        let state = |proxy: &Proxy| {
            let of_kind = self.kinds.get(&proxy.capabilities.proxy)?;
            // Whoever has never run anything does not count yet.
            let runs = proxy.revision.as_deref()?;
            let wanted = of_kind.revision.as_ref().map(Revision::as_str);
            let refused = proxy.refused.as_ref();
            let refused = refused.filter(|refused| Some(refused.revision.as_str()) == wanted);
            Some(ProxyState {
                name: proxy.pod.clone(),
                capabilities: proxy.capabilities,
                build: of_kind.build_of(runs),
                refusal: refused.map(|refused| refused.words.clone()),
            })
        };
        Some(Outcome {
            snapshot: latest.snapshot.clone(),
            model: latest.model.clone(),
            diagnostics: latest.diagnostics.clone(),
            since: self.told.clone(),
            proxies: proxies.alive.iter().filter_map(state).collect(),
        })
    }
}

impl OfKind {
    fn built(&mut self, bundle: Bundle, number: BuildNumber) -> Arc<Bundle> {
        let revision = bundle.revision();
        let bundle = Arc::new(bundle);
        self.bundle = Some(bundle.clone());
        // Objects that are tried again one by one may come to what was refused before.
        self.learnt &= self.revision.as_ref() == Some(&revision);
        self.builds.retain(|(known, _)| *known != revision);
        self.builds.push_back((revision.clone(), number));
        if self.builds.len() > REMEMBERED {
            self.builds.pop_front();
        }
        self.revision = Some(revision);
        bundle
    }

    /// The newest build of a revision.
    fn build_of(&self, revision: &str) -> Option<BuildNumber> {
        let mut builds = self.builds.iter();
        let found = builds.find(|(known, _)| known.as_str() == revision);
        found.map(|(_, number)| *number)
    }
}

/// The Ingresses whose routes stand otherwise in a model than in the one before.
fn rerouted(before: &Model, now: &Model) -> BTreeSet<ObjectName> {
    let mut names = BTreeSet::new();
    if Arc::ptr_eq(&before.hosts, &now.hosts) {
        return names;
    }
    let mut add = |route: &Route| {
        let object = &route.origin.object;
        if object.kind == Kind::Ingress {
            names.insert(ObjectName::new(&*object.namespace, &*object.name));
        }
    };
    let rebuilt = rebuilt(before, now);
    for (name, host) in now.hosts.iter() {
        if before.hosts.get(name) != Some(host) {
            host.routes.iter().for_each(&mut add);
        } else if !rebuilt.is_empty() {
            let routes = host.routes.iter();
            routes
                .filter(|route| leads_to(route, &rebuilt))
                .for_each(&mut add);
        }
    }
    if before.fallback != now.fallback {
        now.fallback.iter().for_each(add);
    }
    names
}

/// The upstreams that are others than before in more than their endpoints.
fn rebuilt<'m>(before: &Model, now: &'m Model) -> BTreeSet<&'m UpstreamName> {
    let named = |upstream: &Upstream| match &upstream.endpoints {
        Endpoints::Addresses(_) => None,
        Endpoints::Name { name, port } => Some((name.clone(), *port)),
    };
    let same = |was: &Upstream, is: &Upstream| {
        (was.protocol, was.port, &was.origin) == (is.protocol, is.port, &is.origin)
            && named(was) == named(is)
    };
    let upstreams = now.upstreams.iter().filter(|(name, is)| {
        let was = before.upstreams.get(*name);
        was.is_some_and(|was| !same(was, is))
    });
    upstreams.map(|(name, _)| name).collect()
}

fn leads_to(route: &Route, upstreams: &BTreeSet<&UpstreamName>) -> bool {
    let Action::Forward(forward) = &route.action else {
        return false;
    };
    let split = &forward.split;
    let rules = split.rules.iter().map(|rule| &rule.upstream);
    let shares = split.shares.iter().map(|share| &share.upstream);
    let mut all = std::iter::once(&split.primary).chain(rules).chain(shares);
    all.any(|upstream| upstreams.contains(upstream))
}

fn origin(object: &RefusedObject) -> Option<Origin> {
    let kind = match object.kind.as_str() {
        "Ingress" => Kind::Ingress,
        "Service" => Kind::Service,
        "Secret" => Kind::Secret,
        _ => return None,
    };
    let reference = ObjectRef::new(kind, &object.namespace, &object.name);
    Some(Origin::new(reference, FieldPath::new(&object.field)))
}

#[cfg(test)]
mod tests;
