//! An agent of a cluster: it follows a publication, loads it into its proxy, keeps a copy of what was
//! good, and reports. The cluster is not needed to come up, nor to go on.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::Instant;

use crate::api::report::{RefusedObject, RefusedReport, Report};
use crate::moment::until;
use crate::render::Placement;
use crate::render::bundle::{Bundle, ProxyKind, Revision};
use crate::telemetry::chain;

use super::copy::{CopyError, keep, kept};
use super::directory::{Directory, DirectoryError};
use super::dns::{self, DnsError};
use super::driver::{Found, Output};
use super::follow::{Followed, Followee, follow};
use super::haproxy::Haproxy;
use super::nginx::Nginx;
use super::report::{Pod, Reporter};
use super::resolve::{NameProblem, ResolveOptions, Resolver};
use super::{Agent, Load, LoadKind, Pace};

/// How long a load has to be the latest before the copy is made anew, and how long that can be put off.
const CALM: Duration = Duration::from_secs(1);
const LONGEST_STORM: Duration = Duration::from_secs(10);

pub struct Settings {
    pub found: Found,
    pub of: Followee,
    pub pod: Pod,
    /// Memory-backed: files of the proxy and the copy of the last good bundle, keys in both.
    pub directory: PathBuf,
    pub output: Output,
    pub pace: Pace,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the loop of the agent has ended by itself")]
    Ended,
}

/// What others may look at while an agent runs.
#[derive(Clone)]
pub struct View {
    pub followed: watch::Receiver<Followed>,
    pub state: watch::Receiver<State>,
}

/// How loading stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What the proxy has proven to run, and since when it is the same.
    pub loaded: Option<(Revision, Instant)>,
    /// What is to run.
    pub wanted: Option<Revision>,
    pub refused: Option<RefusedReport>,
    pub counts: Counts,
    /// Workers of earlier configurations that still finish their requests.
    pub draining: usize,
}

/// Since the start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub live: u64,
    pub starts: u64,
    /// By what forced them.
    pub reloads: std::collections::BTreeMap<String, u64>,
    pub refused: u64,
    pub failed: u64,
    pub ended: u64,
    /// What the latest load took.
    pub took: Duration,
}

/// An agent whose tasks run.
pub struct Serving {
    of: Followee,
    pod: Pod,
    found: Found,
    client: Client,
    copy: PathBuf,
    dns: dns::Server,
    /// What is to be loaded.
    wanted: watch::Sender<Option<Arc<Bundle>>>,
    /// What the cluster says.
    followed: watch::Receiver<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedReceiver<Load>,
    problems: mpsc::UnboundedReceiver<NameProblem>,
    state: watch::Sender<State>,
    view: View,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<()>,
    /// Following; ends with this.
    tasks: JoinSet<()>,
    /// What cannot be handed on yet, and when that is tried again.
    held: Option<(Arc<Bundle>, Instant)>,
}

impl Serving {
    /// Starts the loop that owns the proxy; the proxy itself starts with the first bundle, be it the
    /// copy of an earlier run.
    pub fn start(client: Client, settings: Settings) -> Result<Self, ServeError> {
        let Settings {
            found,
            of,
            pod,
            directory,
            output,
            pace,
        } = settings;
        let copy = directory.join("last-good.json");
        let directory = Directory::open(&directory.join("proxy"))?;
        let (zones, dns) = dns::server();
        let (wanted, bundles) = watch::channel(None);
        let (sender, loads) = mpsc::unbounded_channel();
        let (of_names, problems) = mpsc::unbounded_channel();
        let resolver = Resolver::start(ResolveOptions::default(), of_names);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let binary = found.binary.clone();
        let agent = match found.capabilities.proxy {
            ProxyKind::Nginx => {
                let driver = Nginx::new(binary, &directory, output, zones);
                let agent = Agent::new(driver, directory, resolver, bundles, sender, pace);
                tokio::spawn(agent.run(stopped))
            }
            ProxyKind::Haproxy => {
                let driver = Haproxy::new(binary, &directory, output);
                let agent = Agent::new(driver, directory, resolver, bundles, sender, pace);
                tokio::spawn(agent.run(stopped))
            }
        };
        let mut tasks = JoinSet::new();
        let (from_cluster, followed) = watch::channel(None);
        let (telling, told) = watch::channel(Followed::default());
        tasks.spawn(follow(client.clone(), of.clone(), from_cluster, telling));
        let (state, seen) = watch::channel(State::default());
        Ok(Self {
            of,
            pod,
            found,
            client,
            copy,
            dns,
            wanted,
            followed,
            loads,
            problems,
            state,
            view: View {
                followed: told,
                state: seen,
            },
            stop,
            agent,
            tasks,
            held: None,
        })
    }

    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Serves until `shutdown` ends; then the proxy is ended and the report taken back.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let reporter = Reporter::new(self.client.clone(), self.of.clone(), self.pod.clone());
        let (reports, receiver) = watch::channel(self.report());
        let worked = {
            let reporting = reporter.run(receiver);
            tokio::select! {
                () = shutdown => Ok(()),
                worked = self.work(&reports) => worked,
                () = reporting => Ok(()),
            }
        };
        // What comes now is not for this proxy any more.
        self.tasks.shutdown().await;
        reporter.withdraw().await;
        let _ = self.stop.send(());
        let _ = self.agent.await;
        worked
    }

    async fn work(&mut self, reports: &watch::Sender<Report>) -> Result<(), ServeError> {
        match kept(&self.copy, self.of.proxy) {
            Ok(Some(bundle)) => {
                tracing::info!(revision = %bundle.revision(), "coming up with the last good bundle");
                self.want(Arc::new(bundle)).await;
            }
            Ok(None) => {}
            Err(error) => warn_of_copy(&error),
        }
        let (mut copy_at, mut copy_until) = (None, None);
        loop {
            tokio::select! {
                changed = self.followed.changed() => {
                    if changed.is_err() {
                        return Err(ServeError::Ended);
                    }
                    let newest = self.followed.borrow_and_update().clone();
                    if let Some(bundle) = newest {
                        self.want(bundle).await;
                    }
                }
                () = until(self.held.as_ref().map(|(_, moment)| *moment)) => {
                    if let Some((bundle, _)) = self.held.take() {
                        self.want(bundle).await;
                    }
                }
                load = self.loads.recv() => {
                    let load = load.ok_or(ServeError::Ended)?;
                    if load.kind.is_loaded() {
                        let now = Instant::now();
                        let latest = *copy_until.get_or_insert(now + LONGEST_STORM);
                        copy_at = Some(latest.min(now + CALM));
                    }
                    self.took(&load);
                    let report = self.report();
                    reports.send_if_modified(|known| {
                        let changed = *known != report;
                        *known = report;
                        changed
                    });
                }
                Some(problem) = self.problems.recv() => {
                    tracing::warn!(name = %problem.name, "{}", problem.words);
                }
                () = until(copy_at) => {
                    (copy_at, copy_until) = (None, None);
                    self.copy();
                }
            }
        }
    }

    /// Hands a bundle on, once all that it needs of us is there; what runs goes on until then.
    async fn want(&mut self, bundle: Arc<Bundle>) {
        self.held = None;
        if let Err(error) = self.answer_dns(&bundle).await {
            tracing::error!(error = %chain(&error), "a bundle waits for the agent's DNS");
            self.held = Some((bundle, Instant::now() + CALM));
            return;
        }
        let revision = bundle.revision();
        self.state
            .send_modify(|state| state.wanted = Some(revision));
        self.wanted.send_replace(Some(bundle));
    }

    async fn answer_dns(&mut self, bundle: &Bundle) -> Result<(), DnsError> {
        if bundle.proxy != ProxyKind::Nginx {
            return Ok(());
        }
        let needed = Placement::resolvers_for(bundle.pools.len());
        for port in (Placement::DNS_PORT..).take(needed) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if !self.dns.addresses().contains(&address) {
                self.dns.listen(address).await?;
            }
        }
        Ok(())
    }

    /// Keeps the latest bundle, if that is what runs.
    fn copy(&self) {
        let latest = self.wanted.borrow().clone();
        let runs = self.state.borrow().loaded.clone();
        let (Some(bundle), Some((revision, _))) = (latest, runs) else {
            return;
        };
        if bundle.revision() != revision {
            return;
        }
        let kept = block_in_place(|| keep(&self.copy, &bundle, &self.of.installation));
        if let Err(error) = kept {
            warn_of_copy(&error);
        }
    }

    fn took(&self, load: &Load) {
        tell(load);
        self.state.send_modify(|state| {
            state.draining = load.aside.draining;
            state.counts.count(load);
            if load.kind.is_loaded() {
                let same = matches!(&state.loaded, Some((known, _)) if *known == load.revision);
                if !same {
                    state.loaded = Some((load.revision.clone(), Instant::now()));
                }
            }
            match &load.kind {
                // A proxy that has ended runs nothing: its pod is not ready before it runs again.
                LoadKind::Ended { .. } => state.loaded = None,
                LoadKind::Refused { words, origin } => {
                    let object = origin.as_ref().map(|origin| RefusedObject {
                        kind: origin.object.kind.to_string(),
                        namespace: origin.object.namespace.to_string(),
                        name: origin.object.name.to_string(),
                        field: origin.field.to_string(),
                    });
                    state.refused = Some(RefusedReport {
                        revision: load.revision.to_string(),
                        words: words.clone(),
                        object,
                    });
                }
                kind if kind.is_loaded() && state.wanted.as_ref() == Some(&load.revision) => {
                    state.refused = None;
                }
                _ => {}
            }
        });
    }

    fn report(&self) -> Report {
        let state = self.state.borrow();
        let loaded = state.loaded.as_ref();
        Report {
            pod: self.pod.name.clone(),
            proxy: self.of.proxy.to_string(),
            version: self.found.capabilities.version.to_string(),
            revision: loaded.map(|(revision, _)| revision.to_string()),
            refused: state.refused.clone(),
        }
    }
}

impl Counts {
    fn count(&mut self, load: &Load) {
        self.took = load.took;
        match &load.kind {
            LoadKind::Started => self.starts += 1,
            LoadKind::Nothing => {}
            LoadKind::Live => self.live += 1,
            LoadKind::Reloaded => {
                *self.reloads.entry(reason(load)).or_default() += 1;
            }
            LoadKind::Refused { .. } => self.refused += 1,
            LoadKind::Failed { .. } => self.failed += 1,
            LoadKind::Ended { .. } => self.ended += 1,
        }
    }
}

/// What kind of thing forced a reload, without names: there are few kinds and many names.
fn reason(load: &Load) -> String {
    let Some(first) = load.reasons.first() else {
        return "unknown".to_owned();
    };
    let what = ["structure", "upstream", "format", "proxy"];
    let what = what.into_iter().find(|what| first.starts_with(what));
    what.unwrap_or("live update failed").to_owned()
}

fn tell(load: &Load) {
    let Load {
        revision,
        kind,
        took,
        reasons,
        ..
    } = load;
    match kind {
        LoadKind::Started => tracing::info!(%revision, ?took, "started"),
        LoadKind::Nothing => tracing::debug!(%revision, "nothing to do"),
        LoadKind::Live => tracing::info!(%revision, ?took, "changed live"),
        LoadKind::Reloaded => tracing::info!(%revision, ?took, ?reasons, "reloaded"),
        LoadKind::Refused { words, .. } => tracing::error!(%revision, words, "refused"),
        LoadKind::Failed { words } => tracing::error!(%revision, words, "failed"),
        LoadKind::Ended { words } => tracing::error!(%revision, words, "the proxy has ended"),
    }
    for note in &load.aside.notes {
        tracing::warn!("{note}");
    }
}

fn warn_of_copy(error: &CopyError) {
    tracing::warn!(error = %chain(error), "the copy of the last good bundle");
}
