//! Pure half and agent in one process, with a proxy as child: wiring only. Where objects come from
//! and what is told of it is the caller's.

pub mod find;
pub mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::agent::directory::{Directory, DirectoryError};
use crate::agent::dns::{self, DnsError};
use crate::agent::driver::{Driver, Found, Output};
use crate::agent::haproxy::Haproxy;
use crate::agent::nginx::Nginx;
use crate::agent::resolve::{NameProblem, ResolveOptions, Resolver};
use crate::agent::{Agent, Load, Pace};
use crate::model::Model;
use crate::model::diagnostics::Diagnostic;
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::{Capabilities, Placement, render, unsupported};
use crate::snapshot::Snapshot;
use crate::translate::{Memo, Memory, Options, translate_with};

use state::State;

#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    #[error("cannot make a directory for the proxy")]
    MakeState(#[source] io::Error),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Dns(#[from] DnsError),
}

/// What the pure half makes of a snapshot for one proxy.
pub struct Built {
    pub model: Model,
    pub diagnostics: Vec<Diagnostic>,
    /// For the options of the next build.
    pub memory: Memory,
}

/// Snapshot → model and all findings. Pure but for the memo, which changes nothing of the result.
pub fn build(
    snapshot: &Snapshot,
    options: &Options,
    capabilities: &Capabilities,
    memo: &mut Memo,
) -> Built {
    let translation = translate_with(snapshot, options, memo);
    let mut diagnostics = translation.diagnostics;
    diagnostics.extend(unsupported(&translation.model, capabilities));
    Built {
        model: translation.model,
        diagnostics,
        memory: translation.memory,
    }
}

/// Where the proxy is to listen, and what becomes of its words.
pub struct Settings {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub output: Output,
}

/// A proxy under an agent, in a directory of its own that goes with it.
pub struct Standalone {
    capabilities: Capabilities,
    placement: Placement,
    dns: dns::Server,
    bundles: watch::Sender<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedReceiver<Load>,
    problems: mpsc::UnboundedReceiver<NameProblem>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    state: State,
}

/// What the agent tells.
pub enum Told {
    Load(Load),
    Name(NameProblem),
}

impl Standalone {
    /// Starts the agent; the proxy starts with the first model.
    pub fn start(found: &Found, settings: Settings) -> Result<Self, StandaloneError> {
        let state = State::new().map_err(StandaloneError::MakeState)?;
        let directory = Directory::open(state.path())?;
        let (zones, dns) = dns::server();
        let (bundles, receiver) = watch::channel(None);
        let (sender, loads) = mpsc::unbounded_channel();
        let (of_names, problems) = mpsc::unbounded_channel();
        let resolve = ResolveOptions {
            allow_local: true,
            ..ResolveOptions::default()
        };
        let parts = Parts {
            resolver: Resolver::start(resolve, of_names),
            bundles: receiver,
            loads: sender,
        };
        let (binary, output) = (found.binary.clone(), settings.output);
        let (stop, task) = match found.capabilities.proxy {
            ProxyKind::Nginx => {
                let driver = Nginx::new(binary, &directory, output, zones);
                parts.spawn(driver, directory)
            }
            ProxyKind::Haproxy => {
                let driver = Haproxy::new(binary, &directory, output);
                parts.spawn(driver, directory)
            }
        };
        Ok(Self {
            capabilities: found.capabilities,
            placement: Placement {
                // Clients reach the very port that is listened on.
                https_redirect_port: settings.https.first().map(SocketAddr::port),
                http: settings.http,
                https: settings.https,
                resolvers: Vec::new(),
            },
            dns,
            bundles,
            loads,
            problems,
            stop,
            task,
            state,
        })
    }

    /// Where the proxy's files and sockets lie, until it is stopped.
    pub fn directory(&self) -> &Path {
        self.state.path()
    }

    /// Renders a model and has it loaded.
    pub async fn load(&mut self, model: &Model) -> Result<Arc<Bundle>, StandaloneError> {
        if self.capabilities.proxy == ProxyKind::Nginx {
            let needed = Placement::resolvers_for(model.upstreams.len());
            while self.dns.addresses().len() < needed {
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                self.dns.listen(any).await?;
            }
            self.placement.resolvers = self.dns.addresses().to_vec();
        }
        let bundle = render(model, &self.capabilities, &self.placement);
        let bundle = Arc::new(bundle);
        self.bundles.send_replace(Some(bundle.clone()));
        Ok(bundle)
    }

    /// The next thing that the agent tells; None when it has ended.
    pub async fn told(&mut self) -> Option<Told> {
        tokio::select! {
            load = self.loads.recv() => load.map(Told::Load),
            Some(problem) = self.problems.recv() => Some(Told::Name(problem)),
        }
    }

    /// Ends the proxy and removes everything of it.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// What an agent needs beside its driver.
struct Parts {
    resolver: Resolver,
    bundles: watch::Receiver<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedSender<Load>,
}

impl Parts {
    fn spawn(
        self,
        driver: impl Driver + 'static,
        directory: Directory,
    ) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let Self {
            resolver,
            bundles,
            loads,
        } = self;
        let agent = Agent::new(driver, directory, resolver, bundles, loads, Pace::default());
        let task = tokio::spawn(agent.run(async {
            let _ = stopped.await;
        }));
        (stop, task)
    }
}
