//! Runs Vigie in a cluster: snapshots in, publications and status out. One writer for each outside
//! thing, and only while this process leads; whoever follows builds all the same, so that it is warm.

pub mod lease;
pub mod proxies;
pub mod publish;
mod build;
mod certificate;
mod standing;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{MissedTickBehavior, interval};

use crate::model::diagnostics::Diagnostic;
use crate::model::{Certificate, Model};
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::wire::Installation;
use crate::render::{Capabilities, Placement};
use crate::snapshot::{ObjectName, Snapshot};
use crate::source::cluster::{self, Cluster, Watches};
use crate::translate::Options;

use build::Builder;
use lease::Election;
use proxies::Proxies;
use publish::{Inputs, Published, Publisher};
use write::Writer;

/// What the latest build came to and what the proxies make of it: all that status tells of.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub snapshot: Arc<Snapshot>,
    pub model: Arc<Model>,
    pub diagnostics: Arc<[Diagnostic]>,
    /// In which build each Ingress first stood in its present generation.
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
    /// What owns all that is published, so that it goes with the installation.
    pub owner: Option<OwnerReference>,
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
}

/// What building has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builds {
    pub number: u64,
    /// Of the latest.
    pub took: Duration,
}

/// An operator whose tasks run.
pub struct Operator {
    view: View,
    cluster: Cluster,
    /// Nothing is built before it is there; None where users have named one.
    certificate: Option<Pin<Box<dyn Future<Output = Option<Certificate>> + Send>>>,
    builder: Builder,
    bundles: BTreeMap<ProxyKind, watch::Sender<Option<Arc<Bundle>>>>,
    outcomes: watch::Sender<Option<Outcome>>,
    builds: watch::Sender<Builds>,
    election: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    /// End with the operator.
    tasks: JoinSet<()>,
}

impl Operator {
    /// Begins to watch, and to take part in the election.
    pub fn start(client: Client, settings: Settings) -> Self {
        let cluster = cluster::watch(client.clone(), settings.source.clone());
        let is_named = settings.options.default_certificate_secret.is_some();
        let certificate = (!is_named).then(|| {
            let (namespace, installation) =
                (settings.namespace.clone(), settings.installation.clone());
            let owner = settings.owner.clone();
            certificate::kept(client.clone(), namespace, installation, owner, today())
        });
        let (leads, leadership) = watch::channel(!settings.leader_election);
        let (extend, term) = watch::channel(None);
        let term = settings.leader_election.then_some(term);
        let election = settings.leader_election.then(|| {
            let name = format!("{}-controller", settings.installation);
            let (namespace, identity) = (&settings.namespace, settings.identity.clone());
            let election = Election::new(client.clone(), namespace, name, identity);
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async {
                let _ = stopped.await;
            };
            (stop, tokio::spawn(election.run(leads, extend, stopped)))
        });
        let mut tasks = JoinSet::new();
        let (proxies, seen) = watch::channel(Arc::<Proxies>::default());
        let (namespace, installation) = (settings.namespace.clone(), settings.installation.clone());
        tasks.spawn(proxies::follow(
            client.clone(),
            namespace,
            installation,
            proxies,
        ));
        let (outcomes, outcome) = watch::channel(None);
        let (builds, told) = watch::channel(Builds::default());
        let mut view = View {
            watches: cluster.watches.clone(),
            leads: leadership,
            proxies: seen,
            published: BTreeMap::new(),
            outcome,
            builds: told,
        };
        let mut bundles = BTreeMap::new();
        for kind in &settings.proxies {
            let (sender, receiver) = watch::channel(None);
            let (publisher, published) = Publisher::new(Writer {
                client: client.clone(),
                namespace: settings.namespace.clone(),
                installation: settings.installation.clone(),
                proxy: *kind,
                owner: settings.owner.clone(),
                term: term.clone(),
            });
            tasks.spawn(publisher.run(Inputs {
                bundles: receiver,
                leads: view.leads.clone(),
                proxies: view.proxies.clone(),
            }));
            bundles.insert(*kind, sender);
            view.published.insert(*kind, published);
        }
        Self {
            view,
            cluster,
            certificate: certificate.map(|kept| Box::pin(kept) as _),
            builder: Builder::new(settings.options, settings.placement, &settings.proxies),
            bundles,
            outcomes,
            builds,
            election,
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
        if let Some((stop, task)) = self.election {
            let _ = stop.send(());
            let _ = task.await;
        }
    }

    async fn work(&mut self) {
        if let Some(certificate) = self.certificate.take() {
            self.builder.set_default_certificate(certificate.await);
        }
        // None only where the task that watches has died; its panic is on standard error.
        let Some(mut snapshots) = self.cluster.snapshots().await else {
            return;
        };
        let mut proxies = self.view.proxies.clone();
        let mut minutes = interval(Duration::from_secs(60));
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut built_on = None;
        snapshots.mark_changed();
        loop {
            let (today, due) = tokio::select! {
                changed = snapshots.changed() => match changed {
                    Ok(()) => (today(), true),
                    Err(_) => return,
                },
                Ok(()) = proxies.changed() => {
                    let known = proxies.borrow_and_update().clone();
                    (today(), self.builder.learn(&known))
                }
                _ = minutes.tick() => {
                    let today = today();
                    (today, built_on.is_some_and(|built_on| built_on != today))
                }
            };
            if due || built_on.is_none() {
                let snapshot = snapshots.borrow_and_update().clone();
                self.build(&snapshot, today);
                built_on = Some(today);
            }
            let known = proxies.borrow().clone();
            // What is built then may be what somebody is known to refuse, too.
            while self.builder.learn(&known) {
                let snapshot = snapshots.borrow().clone();
                self.build(&snapshot, today);
            }
            self.outcomes.send_replace(self.builder.outcome(&known));
        }
    }

    fn build(&mut self, snapshot: &Arc<Snapshot>, today: Date) {
        let begun = std::time::Instant::now();
        let bundles = block_in_place(|| self.builder.build(snapshot, today));
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
