//! Runs Vigie in a cluster: snapshots in, publications and status out. One writer for each outside
//! thing, and only while this process leads; whoever follows builds all the same, so that it is warm.

pub mod cleanup;
pub mod lease;
pub mod proxies;
pub mod publish;
pub mod status;
mod anchor;
mod behind;
mod build;
mod certificate;
mod last_good;
mod memory;
mod scope;
mod settings;
mod standing;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::model::diagnostics::Diagnostic;
use crate::model::{Certificate, Model};
use crate::moment::until;
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::wire::Installation;
use crate::render::{Capabilities, Placement};
use crate::snapshot::{ObjectName, Snapshot};
use crate::source::cluster::{self, Cluster, Statuses, Watches};
use crate::translate::{Options, Quarantine};

use anchor::Owner;
use build::Builder;
use lease::{Election, Guard};
use proxies::Proxies;
use publish::{Inputs, Published, Publisher};
use status::StatusReport;
use status::addresses::{Publish, addresses};
use write::Writer;

/// Builds in a row that what is known already can bring about.
const LESSONS: usize = 32;

/// What the latest build came to and what the proxies make of it: all that status tells of.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub snapshot: Arc<Snapshot>,
    pub model: Arc<Model>,
    pub diagnostics: Arc<[Diagnostic]>,
    /// In which build each Ingress first stood in its present generation, with its routes as they are.
    pub since: Arc<BTreeMap<ObjectName, BuildNumber>>,
    /// Every proxy that counts: one that is alive and has proven a load.
    pub proxies: Arc<[ProxyState]>,
}

/// Counts builds, from 1; a process begins anew.
pub type BuildNumber = u64;

/// What one proxy is known to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyState {
    /// The pod's name.
    pub name: String,
    pub capabilities: Capabilities,
    /// The newest build whose structure it has proven to run; None where it runs something that this
    /// process has not built.
    pub build: Option<BuildNumber>,
    /// In its own words, why it does not take what is published now.
    pub refusal: Option<String>,
}

/// What an operator is told at its start.
pub struct Settings {
    pub installation: Installation,
    /// Our own: what is published lies in it, and agents report in it.
    pub namespace: String,
    /// Names this process among its replicas.
    pub identity: String,
    /// Whether there are replicas to agree with.
    pub leader_election: bool,
    /// The proxies that are published for.
    pub proxies: Vec<ProxyKind>,
    pub options: Options,
    /// Where the proxies listen in their pods.
    pub placement: Placement,
    pub source: cluster::Settings,
    /// Sees only Ingresses of namespaces with these labels.
    pub namespace_selector: Option<String>,
    /// The ConfigMap with settings that go before the options.
    pub config_map: Option<ObjectName>,
    /// What owns all that is published, so that it goes with the installation.
    pub owner: Option<OwnerReference>,
    pub status: status::Settings,
    /// The addresses that Ingresses show.
    pub publish: Publish,
}

/// What others may look at while an operator runs.
#[derive(Clone)]
pub struct View {
    pub watches: watch::Receiver<Watches>,
    pub leads: watch::Receiver<bool>,
    pub proxies: watch::Receiver<Arc<Proxies>>,
    pub published: BTreeMap<ProxyKind, watch::Receiver<Published>>,
    /// None before the first build.
    pub outcome: watch::Receiver<Option<Outcome>>,
    pub builds: watch::Receiver<Builds>,
    /// A sentence for each setting of the ConfigMap that cannot be read.
    pub setting_problems: watch::Receiver<Vec<String>>,
    pub status: watch::Receiver<StatusReport>,
    /// What stands in the cluster.
    pub statuses: watch::Receiver<Arc<Statuses>>,
}

/// What building has taken, and what has become of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builds {
    pub number: u64,
    /// Of the latest.
    pub took: Duration,
    /// How often every proxy has come to run what was built.
    pub loaded: u64,
    /// What that took altogether, each time from the first build that was not yet run.
    pub until_loaded: Duration,
}

/// What takes the bundles of each kind of proxy.
type Bundles = BTreeMap<ProxyKind, watch::Sender<Option<Arc<Bundle>>>>;

fn publishers(
    client: &Client,
    settings: &Settings,
    leadership: &Leadership,
    view: &mut View,
    tasks: &mut JoinSet<()>,
) -> Bundles {
    let mut bundles = Bundles::new();
    for kind in &settings.proxies {
        let (sender, receiver) = watch::channel(None);
        let (publisher, published) = Publisher::new(Writer {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            installation: settings.installation.clone(),
            proxy: *kind,
            owner: leadership.owner.clone(),
            guard: leadership.guard.clone(),
        });
        tasks.spawn(publisher.run(Inputs {
            bundles: receiver,
            leads: view.leads.clone(),
            proxies: view.proxies.clone(),
        }));
        bundles.insert(*kind, sender);
        view.published.insert(*kind, published);
    }
    bundles
}

/// An operator whose tasks run.
pub struct Operator {
    view: View,
    cluster: Cluster,
    /// Nothing is built before it is there.
    certificate: watch::Receiver<Option<Certificate>>,
    builder: Builder,
    /// Where it is kept what is known of refused objects; taken when it has been read.
    memory: Option<memory::Place>,
    /// What was served before this process began; taken with the first build.
    served: Option<last_good::Files>,
    quarantine: watch::Sender<Quarantine>,
    bundles: Bundles,
    outcomes: watch::Sender<Option<Outcome>>,
    builds: watch::Sender<Builds>,
    /// When the first build began that not every proxy runs.
    unloaded_since: Option<std::time::Instant>,
    /// As the flags say.
    flags: Options,
    given: Given,
    setting_problems: watch::Sender<Vec<String>>,
    leadership: Leadership,
    /// End with the operator.
    tasks: JoinSet<()>,
}

/// Whether this process leads, what decides it, and who owns what is written then.
struct Leadership {
    leads: watch::Receiver<bool>,
    guard: Guard,
    owner: Owner,
    /// Ends the election, and waits until what was led is given up.
    election: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Without an election nothing changes; whoever listens must not take it for the end.
    alone: Option<watch::Sender<bool>>,
}

impl Leadership {
    fn begin(client: &Client, settings: &Settings, owner: &Owner) -> Self {
        let (leading, leads) = watch::channel(!settings.leader_election);
        if !settings.leader_election {
            return Self {
                leads,
                guard: Guard::alone(),
                owner: owner.clone(),
                election: None,
                alone: Some(leading),
            };
        }
        let (namespace, installation) = (&settings.namespace, settings.installation.clone());
        let (identity, owning) = (settings.identity.clone(), owner.clone());
        let election = Election::new(client.clone(), namespace, installation, identity, owning);
        let (extend, term) = watch::channel(None);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(election.run(leading, extend, stopped));
        Self {
            leads,
            guard: Guard::new(term),
            owner: owner.clone(),
            election: Some((stop, task)),
            alone: None,
        }
    }

    async fn end(self) {
        if let Some((stop, task)) = self.election {
            let _ = stop.send(());
            let _ = task.await;
        }
        drop(self.alone);
    }
}

/// What is given beside the flags, and which namespaces are seen.
struct Given {
    settings: watch::Receiver<settings::Given>,
    scope: watch::Receiver<scope::Scope>,
    /// Whether namespaces are selected.
    selects: bool,
}

impl Given {
    fn begin(client: &Client, of: &Settings, tasks: &mut JoinSet<()>) -> Self {
        // Where nobody asks for it, everything is in scope, and nothing is given beside the flags.
        let (given, settings) = watch::channel(Some(Arc::default()));
        if let Some(name) = of.config_map.clone() {
            given.send_replace(None);
            tasks.spawn(settings::follow(client.clone(), name, given));
        }
        let (names, scope) = watch::channel(None);
        if let Some(selector) = of.namespace_selector.clone() {
            tasks.spawn(scope::follow(client.clone(), selector, names));
        }
        Self {
            settings,
            scope,
            selects: of.namespace_selector.is_some(),
        }
    }
}

impl Operator {
    /// Begins to watch, and to take part in the election.
    pub fn start(client: Client, settings: Settings) -> Self {
        let cluster = cluster::watch(client.clone(), settings.source.clone());
        let mut tasks = JoinSet::new();
        let owner = anchor::begin(&client, &settings, &mut tasks);
        let leadership = Leadership::begin(&client, &settings, &owner);
        let given = Given::begin(&client, &settings, &mut tasks);
        let (proxies, seen) = watch::channel(Arc::<Proxies>::default());
        let (namespace, installation) = (settings.namespace.clone(), settings.installation.clone());
        let following = proxies::follow(client.clone(), namespace, installation, proxies);
        tasks.spawn(following);
        let (outcomes, outcome) = watch::channel(None);
        let (builds, told) = watch::channel(Builds::default());
        let (setting_problems, problems) = watch::channel(Vec::new());
        let (reporting, report) = watch::channel(StatusReport::default());
        let mut view = View {
            watches: cluster.watches.clone(),
            leads: leadership.leads.clone(),
            proxies: seen,
            published: BTreeMap::new(),
            outcome,
            builds: told,
            setting_problems: problems,
            status: report,
            statuses: cluster.statuses.clone(),
        };
        let inputs = status::Inputs {
            outcomes: view.outcome.clone(),
            statuses: cluster.statuses.clone(),
            addresses: addresses(client.clone(), settings.publish.clone()),
            leads: view.leads.clone(),
            guard: leadership.guard.clone(),
        };
        let of_status = settings.status.clone();
        tasks.spawn(status::run(client.clone(), of_status, inputs, reporting));
        let bundles = publishers(&client, &settings, &leadership, &mut view, &mut tasks);
        let place = memory::Place::new(&client, &settings, &owner, &leadership.guard);
        let (quarantine, _) = watch::channel(Quarantine::default());
        let certificate = certificate::begin(&client, &settings, &owner, &mut tasks);
        let proxies = &settings.proxies;
        Self {
            memory: Some(place),
            served: None,
            quarantine,
            view,
            cluster,
            certificate,
            builder: Builder::new(settings.options.clone(), settings.placement, proxies),
            unloaded_since: None,
            flags: settings.options,
            given,
            setting_problems,
            bundles,
            outcomes,
            builds,
            leadership,
            tasks,
        }
    }

    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Builds whenever something has changed, until `shutdown` ends; then gives up what it leads.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.work() => {}
        }
        self.tasks.shutdown().await;
        self.leadership.end().await;
    }

    /// Waits for what is to be known before anything is built.
    async fn recall(&mut self) {
        if self.certificate.changed().await.is_ok() {
            self.take_certificate();
        }
        let Some(place) = self.memory.take() else {
            return;
        };
        let proxies: Vec<ProxyKind> = self.bundles.keys().copied().collect();
        let (client, namespace) = (&place.client, &place.namespace);
        let served = last_good::published(client, namespace, &place.installation, &proxies);
        self.served = Some(served.await);
        let known = place.kept().await;
        self.quarantine.send_replace(known.clone());
        self.builder.remember(known);
        // Not before: what is not known yet is not to be written over.
        let (latest, leads) = (self.quarantine.subscribe(), self.view.leads.clone());
        self.tasks.spawn(place.keep(latest, leads));
    }

    async fn work(&mut self) {
        self.recall().await;
        // None only where the task that watches has died; its panic is on standard error.
        let Some(mut snapshots) = self.cluster.snapshots().await else {
            return;
        };
        let mut proxies = self.view.proxies.clone();
        let mut minutes = interval(Duration::from_secs(60));
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut built_on = None;
        self.given.settings.mark_changed();
        loop {
            let due = tokio::select! {
                changed = snapshots.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                Ok(()) = proxies.changed() => false,
                Ok(()) = self.given.scope.changed() => true,
                Ok(()) = self.given.settings.changed() => self.take_settings(),
                Ok(()) = self.certificate.changed() => self.take_certificate(),
                () = until(self.builder.wakes(Instant::now())) => false,
                _ = minutes.tick() => built_on.is_some_and(|built_on| built_on != today()),
            };
            let known = proxies.borrow_and_update().clone();
            let learnt = self.builder.learn(&known, Instant::now());
            if (due || learnt || built_on.is_none())
                && let Some(snapshot) = self.seen(&snapshots.borrow_and_update())
            {
                let today = today();
                self.build(&snapshot, today);
                built_on = Some(today);
                // What is built then may be what somebody is known to refuse, too; proxies that
                // disagree for ever end it by what they report next.
                for _ in 0..LESSONS {
                    if !self.builder.learn(&known, Instant::now()) {
                        break;
                    }
                    self.build(&snapshot, today);
                }
            }
            self.quarantine.send_if_modified(|latest| {
                let learnt = self.builder.quarantine();
                let changed = latest != learnt;
                latest.clone_from(learnt);
                changed
            });
            self.note_loaded(&known);
            self.outcomes.send_replace(self.builder.outcome(&known));
        }
    }

    fn note_loaded(&mut self, proxies: &Proxies) {
        if proxies.alive.is_empty() || !self.builder.is_run_by_all(proxies) {
            return;
        }
        if let Some(since) = self.unloaded_since.take() {
            self.builds.send_modify(|builds| {
                builds.loaded += 1;
                builds.until_loaded += since.elapsed();
            });
        }
    }

    /// What is seen of a snapshot; None before that can be said.
    fn seen(&self, snapshot: &Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        if self.given.settings.borrow().is_none() {
            return None;
        }
        if !self.given.selects {
            return Some(snapshot.clone());
        }
        let names = self.given.scope.borrow().clone()?;
        Some(scope::within(snapshot, &names))
    }

    /// Says whether another build is due.
    fn take_certificate(&mut self) -> bool {
        self.flags.default_certificate = self.certificate.borrow_and_update().clone();
        let is_given = self.given.settings.borrow().is_some();
        match is_given {
            true => self.take_settings(),
            false => self.builder.set_options(self.flags.clone()),
        }
    }

    /// Says whether another build is due.
    fn take_settings(&mut self) -> bool {
        let Some(given) = self.given.settings.borrow_and_update().clone() else {
            return false;
        };
        let (options, problems) = settings::applied(&self.flags, &given);
        for problem in &problems {
            tracing::warn!("settings: {problem}");
        }
        self.setting_problems.send_replace(problems);
        self.builder.set_options(options)
    }

    fn build(&mut self, snapshot: &Arc<Snapshot>, today: Date) {
        let begun = std::time::Instant::now();
        if let Some(served) = self.served.take() {
            self.builder.recall(&served, snapshot);
        }
        let before = self.builder.revisions();
        let bundles = block_in_place(|| self.builder.build(snapshot, today));
        tracing::debug!(took = ?begun.elapsed(), "built");
        if self.builder.revisions() != before {
            self.unloaded_since.get_or_insert(begun);
        }
        for (kind, bundle) in bundles {
            let Some(sender) = self.bundles.get(&kind) else {
                continue;
            };
            sender.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&bundle);
                *known = Some(bundle);
                changed
            });
        }
        self.builds.send_modify(|builds| {
            builds.number += 1;
            builds.took = begun.elapsed();
        });
    }
}

/// The current date in UTC.
fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}
