//! An agent of a cluster: it follows a publication, has it loaded, and reports what came of it. The proxy
//! is owned by a loader in this process, or in another one beside us that takes over what stands.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::api::report::Report;
use crate::render::capabilities::Capabilities;

use super::directory::DirectoryError;
use super::follow::{Followed, Followee, follow};
use super::link::{LinkError, hand_over, listen};
use super::loader::{self, Loader, State};
use super::mirror::Mirror;
use super::report::{Pod, Reporter};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the loop of the agent has ended by itself")]
    Ended,
}

/// What others may look at while an agent runs.
#[derive(Clone)]
pub struct View {
    pub followed: watch::Receiver<Followed>,
    /// None where another process loads.
    pub state: Option<watch::Receiver<State>>,
}

/// An agent whose tasks run.
pub struct Serving {
    reporter: Reporter,
    reports: watch::Receiver<Option<Report>>,
    view: View,
    /// Following; ends with this.
    tasks: JoinSet<()>,
    /// Ends when `stop` is used, and when it cannot go on.
    loading: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop: oneshot::Sender<()>,
}

impl Serving {
    /// Loads in this process.
    pub fn here(
        client: Client,
        of: Followee,
        pod: Pod,
        settings: loader::Settings,
    ) -> Result<Self, ServeError> {
        let capabilities = settings.found.capabilities;
        let loader = Loader::start(settings)?;
        let state = loader.state();
        let (reports, receiver) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let load = |mirrors| loader.run(mirrors, ended(stopped));
        let mut serving = Self::begin(client, of, pod, receiver, stop, load);
        serving.view.state = Some(state.clone());
        serving.tasks.spawn(report(capabilities, state, reports));
        Ok(serving)
    }

    /// Hands over to the loader that connects to this socket.
    pub fn beside(
        client: Client,
        of: Followee,
        pod: Pod,
        socket: &Path,
    ) -> Result<Self, ServeError> {
        let listener = listen(socket)?;
        let (reports, receiver) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let load = |mirrors| async move {
            tokio::select! {
                () = ended(stopped) => {}
                () = hand_over(listener, mirrors, reports) => {}
            }
        };
        Ok(Self::begin(client, of, pod, receiver, stop, load))
    }

    fn begin<F>(
        client: Client,
        of: Followee,
        pod: Pod,
        reports: watch::Receiver<Option<Report>>,
        stop: oneshot::Sender<()>,
        load: impl FnOnce(watch::Receiver<Option<Mirror>>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let (from_cluster, mirrors) = watch::channel(None);
        let (telling, followed) = watch::channel(Followed::default());
        tasks.spawn(follow(client.clone(), of.clone(), from_cluster, telling));
        Self {
            reporter: Reporter::new(client, of, pod),
            reports,
            view: View {
                followed,
                state: None,
            },
            tasks,
            loading: Box::pin(load(mirrors)),
            stop,
        }
    }

    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Serves until `shutdown` ends; then the report is taken back and the proxy ended.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut loading = tokio::spawn(self.loading);
        let worked = tokio::select! {
            () = shutdown => Ok(()),
            _ = &mut loading => Err(ServeError::Ended),
            () = self.reporter.run(self.reports) => Err(ServeError::Ended),
        };
        // What comes now is not for this proxy any more.
        self.tasks.shutdown().await;
        self.reporter.withdraw().await;
        if self.stop.send(()).is_ok() {
            let _ = loading.await;
        }
        worked
    }
}

async fn ended(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

/// Says how loading stands, as reports are written; whose pod it is, only the agent knows.
pub async fn report(
    capabilities: Capabilities,
    mut state: watch::Receiver<State>,
    reports: watch::Sender<Option<Report>>,
) {
    loop {
        let report = {
            let state = state.borrow_and_update();
            let loaded = state.loaded.as_ref();
            Some(Report {
                pod: String::new(),
                proxy: capabilities.proxy.to_string(),
                version: capabilities.version.to_string(),
                revision: loaded.map(|(revision, _)| revision.to_string()),
                refused: state.refused.clone(),
            })
        };
        reports.send_if_modified(|known| {
            let changed = *known != report;
            *known = report;
            changed
        });
        if state.changed().await.is_err() {
            return;
        }
    }
}
