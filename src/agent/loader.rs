//! Loads what is handed over into the proxy of this machine: it reads bundles, gives each to the loop that
//! owns the proxy once all that it needs of us is there, keeps a copy of what was good, and knows how
//! loading stands. Neither the cluster nor whoever hands over is needed to come up, nor to go on.
//!
//! Nothing here blocks its thread by `block_in_place`: the runtime would put another one in its place and
//! end this one later, and the kernel ends a proxy with the thread that has started it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::api::report::{RefusedObject, RefusedReport};
use crate::moment::until;
use crate::render::Placement;
use crate::render::bundle::{Bundle, ProxyKind, Revision};
use crate::render::wire::Installation;
use crate::telemetry::chain;

use super::copy::{CopyError, keep, kept};
use super::directory::{Directory, DirectoryError};
use super::dns::{self, DnsError};
use super::driver::{Found, Output};
use super::haproxy::Haproxy;
use super::mirror::{Mirror, Reader};
use super::nginx::Nginx;
use super::resolve::{NameProblem, ResolveOptions, Resolver};
use super::{Agent, Load, LoadKind, Pace};

/// How long a load has to be the latest before the copy is made anew, and how long that can be put off.
const CALM: Duration = Duration::from_secs(1);
const LONGEST_STORM: Duration = Duration::from_secs(10);

pub struct Settings {
    pub found: Found,
    pub installation: Installation,
    /// Memory-backed: files of the proxy and the copy of the last good bundle, keys in both.
    pub directory: PathBuf,
    pub output: Output,
    pub pace: Pace,
}

/// How loading stands.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What the proxy has proven to run, and since when it is the same.
    pub loaded: Option<(Revision, Instant)>,
    /// What is to run.
    pub wanted: Option<Revision>,
    pub refused: Option<RefusedReport>,
    /// Why what was handed over cannot be read; None where it can.
    pub unreadable: Option<String>,
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
    pub reloads: BTreeMap<String, u64>,
    pub refused: u64,
    pub failed: u64,
    pub ended: u64,
    /// What the latest load took.
    pub took: Duration,
}

/// A loader whose loop runs.
pub struct Loader {
    proxy: ProxyKind,
    installation: Installation,
    copy: PathBuf,
    dns: dns::Server,
    reader: Reader,
    /// What is to be loaded.
    wanted: watch::Sender<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedReceiver<Load>,
    problems: mpsc::UnboundedReceiver<NameProblem>,
    state: watch::Sender<State>,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<()>,
    /// What cannot be handed on yet, and when that is tried again.
    held: Option<(Arc<Bundle>, Instant)>,
}

impl Loader {
    /// Starts the loop that owns the proxy; the proxy itself starts with the first bundle, be it the
    /// copy of an earlier run.
    pub fn start(settings: Settings) -> Result<Self, DirectoryError> {
        let Settings {
            found,
            installation,
            directory,
            output,
            pace,
        } = settings;
        let proxy = found.capabilities.proxy;
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
        let binary = found.binary;
        let agent = match proxy {
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
        Ok(Self {
            proxy,
            copy,
            dns,
            reader: Reader::new(&installation, proxy),
            installation,
            wanted,
            loads,
            problems,
            state: watch::Sender::default(),
            stop,
            agent,
            held: None,
        })
    }

    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Loads what comes until `shutdown` ends or nothing can come any more; then the proxy is ended.
    pub async fn run(
        mut self,
        mut mirrors: watch::Receiver<Option<Mirror>>,
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = shutdown => {}
            () = self.work(&mut mirrors) => {}
        }
        let _ = self.stop.send(());
        let _ = self.agent.await;
    }

    async fn work(&mut self, mirrors: &mut watch::Receiver<Option<Mirror>>) {
        match kept(&self.copy, self.proxy) {
            Ok(Some(bundle)) => {
                tracing::info!(revision = %bundle.revision(), "coming up with the last good bundle");
                self.want(Arc::new(bundle)).await;
            }
            Ok(None) => {}
            Err(error) => warn_of_copy(&error),
        }
        mirrors.mark_changed();
        let (mut copy_at, mut copy_until) = (None, None);
        loop {
            tokio::select! {
                changed = mirrors.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let newest = mirrors.borrow_and_update().clone();
                    if let Some(mirror) = newest {
                        self.take(&mirror).await;
                    }
                }
                () = until(self.held.as_ref().map(|(_, moment)| *moment)) => {
                    if let Some((bundle, _)) = self.held.take() {
                        self.want(bundle).await;
                    }
                }
                load = self.loads.recv() => {
                    let Some(load) = load else {
                        return;
                    };
                    if load.kind.is_loaded() {
                        let now = Instant::now();
                        let latest = *copy_until.get_or_insert(now + LONGEST_STORM);
                        copy_at = Some(latest.min(now + CALM));
                    }
                    self.took(&load);
                }
                Some(problem) = self.problems.recv() => {
                    tracing::warn!(name = %problem.name, "{}", problem.words);
                }
                () = until(copy_at) => {
                    (copy_at, copy_until) = (None, None);
                    self.copy().await;
                }
            }
        }
    }

    async fn take(&mut self, mirror: &Mirror) {
        let begun = Instant::now();
        let read = self.reader.read(mirror);
        tracing::debug!(took = ?begun.elapsed(), "read");
        let unreadable = read.as_ref().err().map(|error| chain(error));
        if let Some(words) = &unreadable {
            tracing::warn!(error = %words, "what is published cannot be read");
        }
        self.state.send_if_modified(|state| {
            let changed = state.unreadable != unreadable;
            state.unreadable = unreadable;
            changed
        });
        let newest = read.ok().or_else(|| self.reader.latest().cloned());
        let known = self.wanted.borrow().clone();
        if let Some(bundle) = newest.filter(|newest| known.as_ref() != Some(newest)) {
            self.want(bundle).await;
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
    async fn copy(&self) {
        let latest = self.wanted.borrow().clone();
        let runs = self.state.borrow().loaded.clone();
        let (Some(bundle), Some((revision, _))) = (latest, runs) else {
            return;
        };
        if bundle.revision() != revision {
            return;
        }
        let (file, installation) = (self.copy.clone(), self.installation.clone());
        let keep = spawn_blocking(move || keep(&file, &bundle, &installation));
        if let Ok(Err(error)) = keep.await {
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
