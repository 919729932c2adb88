//! The task that owns all objects: it starts the watches, takes what they say and hands over
//! snapshots.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::api::route_health::RouteHealth;
use crate::model::diagnostics::Kind;
use crate::snapshot::{ObjectName, Snapshot};

use super::kept::Watched;
use super::pace::Pacer;
use super::secrets::Secrets;
use super::statuses::Statuses;
use super::store::Store;
use super::stream::{Message, follow, look_up};
use super::watches::{WatchName, Watches};
use super::{Settings, wanted};

/// What watches may be ahead of the owner: a watch that is further waits.
const AHEAD: usize = 1024;
/// Each watch is opened anew so often, before whatever lies between us and the API server takes it
/// for idle; not all at the same moment.
const WATCH_SECONDS: u32 = 150;
/// How long the first snapshot waits for watches that are not required.
const GRACE: Duration = Duration::from_secs(1);
/// Look-ups of Secrets at the same time.
const LOOK_UPS: usize = 8;
/// Releases of helm and tokens are most of the bytes of Secrets in many clusters, and never ours.
const SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";
/// What has ended serves nobody.
const PODS: &str = "status.phase!=Succeeded,status.phase!=Failed";

type Receiver = watch::Receiver<Arc<Snapshot>>;

pub struct Owner {
    client: Client,
    streaming_lists: bool,
    /// Those of Secrets start when Ingresses are listed.
    unstarted: Vec<(usize, WatchName)>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<Message>,
    messages: mpsc::Receiver<Message>,
    store: Store,
    watches: watch::Sender<Watches>,
    output: Output,
    pacer: Pacer,
    statuses: watch::Sender<Arc<Statuses>>,
    statuses_pacer: Pacer,
    /// Until then the first snapshot waits for what is not required.
    grace: Option<Instant>,
}

enum Output {
    /// None when it was used.
    First(Option<oneshot::Sender<Receiver>>),
    Latest(watch::Sender<Arc<Snapshot>>),
}

impl Owner {
    pub fn new(
        client: Client,
        settings: Settings,
        first: oneshot::Sender<Receiver>,
    ) -> (
        Self,
        watch::Receiver<Watches>,
        watch::Receiver<Arc<Statuses>>,
    ) {
        let names = wanted(&settings.namespaces, &settings.secrets);
        let unstarted = names.iter().map(|(name, _)| name.clone()).enumerate();
        let unstarted = unstarted.collect();
        let store = Store::new(names, Secrets::new(settings.secrets));
        let (watches, receiver) = watch::channel(store.watches.clone());
        let (statuses, statuses_receiver) = watch::channel(Arc::default());
        let (sender, messages) = mpsc::channel(AHEAD);
        let owner = Self {
            client,
            streaming_lists: settings.streaming_lists,
            unstarted,
            tasks: JoinSet::new(),
            sender,
            messages,
            store,
            watches,
            output: Output::First(Some(first)),
            pacer: Pacer::new(settings.pace),
            statuses,
            statuses_pacer: Pacer::new(settings.pace),
            grace: None,
        };
        (owner, receiver, statuses_receiver)
    }

    /// Ends when nobody listens any more, and the watches with it.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(AHEAD);
        self.start_watches();
        loop {
            let due = self.due();
            let statuses_due = self.statuses_pacer.due();
            tokio::select! {
                biased;
                () = self.output.unwanted() => return,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.hand_over();
                }
                () = sleep_until(statuses_due.unwrap_or_else(Instant::now)), if statuses_due.is_some() => {
                    self.statuses_pacer.handed_over(Instant::now());
                    self.statuses.send_replace(Arc::new(self.store.statuses.clone()));
                }
                _ = self.messages.recv_many(&mut batch, AHEAD) => self.take(&mut batch),
            }
        }
    }

    fn take(&mut self, batch: &mut Vec<Message>) {
        let complete = self.store.watches.complete();
        let mut changed = false;
        for message in batch.drain(..) {
            changed |= self.store.take(message);
        }
        let now = Instant::now();
        if !complete && self.store.watches.complete() {
            self.grace = Some(now + GRACE);
            changed = true;
        }
        if changed {
            self.pacer.changed(now);
        }
        if std::mem::take(&mut self.store.statuses_changed) {
            self.statuses_pacer.changed(now);
        }
        self.watches.send_if_modified(|known| {
            let differs = *known != self.store.watches;
            if differs {
                known.clone_from(&self.store.watches);
            }
            differs
        });
        self.start_watches();
        self.look_up();
        // Those that have ended.
        while self.tasks.try_join_next().is_some() {}
    }

    /// When to hand over; None while there is nothing, or not yet everything.
    fn due(&self) -> Option<Instant> {
        if !self.store.watches.complete() {
            return None;
        }
        let due = self.pacer.due()?;
        let waits = matches!(self.output, Output::First(_)) && !self.store.watches.answered();
        Some(
            self.grace
                .filter(|_| waits)
                .map_or(due, |grace| due.max(grace)),
        )
    }

    fn hand_over(&mut self) {
        self.pacer.handed_over(Instant::now());
        let snapshot = &self.store.snapshot;
        match &mut self.output {
            Output::First(first) => {
                let (sender, receiver) = watch::channel(Arc::new(snapshot.clone()));
                if let Some(first) = first.take() {
                    // Nobody listens any more: the next round ends.
                    let _ = first.send(receiver);
                }
                self.output = Output::Latest(sender);
            }
            Output::Latest(sender) => {
                if **sender.borrow() != *snapshot {
                    sender.send_replace(Arc::new(snapshot.clone()));
                }
            }
        }
    }

    /// Starts the watches whose time has come.
    fn start_watches(&mut self) {
        if self.unstarted.is_empty() {
            return;
        }
        let sifting = self.store.watches.listed(Kind::Ingress);
        let unstarted = std::mem::take(&mut self.unstarted);
        let (now, later) = unstarted
            .into_iter()
            .partition(|(_, name)| name.kind != Kind::Secret || sifting);
        self.unstarted = later;
        let now: Vec<(usize, WatchName)> = now;
        for (number, name) in now {
            self.start(number, &name);
        }
    }

    fn start(&mut self, number: usize, name: &WatchName) {
        match name.kind {
            Kind::Ingress => self.spawn(number, self.api::<Ingress>(name), None),
            Kind::IngressClass => {
                let api = Api::<IngressClass>::all(self.client.clone());
                self.spawn(number, api, None);
            }
            Kind::Service => self.spawn(number, self.api::<Service>(name), None),
            Kind::EndpointSlice => self.spawn(number, self.api::<EndpointSlice>(name), None),
            Kind::Secret => {
                let only = name
                    .name
                    .as_ref()
                    .map(|name| format!("metadata.name={name}"));
                let fields = only.as_deref().unwrap_or(SECRETS);
                self.spawn(number, self.api::<Secret>(name), Some(fields));
            }
            Kind::RouteHealth => {
                let api = self.api::<DeserializeGuard<RouteHealth>>(name);
                self.spawn(number, api, None);
            }
            Kind::Pod => self.spawn(number, self.api::<Pod>(name), Some(PODS)),
            Kind::Deployment => self.spawn(number, self.api::<Deployment>(name), None),
            Kind::StatefulSet => self.spawn(number, self.api::<StatefulSet>(name), None),
            Kind::DaemonSet => self.spawn(number, self.api::<DaemonSet>(name), None),
            Kind::ReplicaSet
            | Kind::ReplicationController
            | Kind::Job
            | Kind::CronJob
            | Kind::Manifest
            | Kind::Option => {}
        }
    }

    fn api<K>(&self, name: &WatchName) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &name.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn spawn<K>(&mut self, number: usize, api: Api<K>, fields: Option<&str>)
    where
        K: Watched + Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let spread = u32::try_from(number % 10).unwrap_or_default();
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS + spread);
        if let Some(fields) = fields {
            config = config.fields(fields);
        }
        if self.streaming_lists {
            config = config.streaming_lists();
        }
        let messages = self.sender.clone();
        self.tasks.spawn(follow(api, config, number, messages));
    }

    fn look_up(&mut self) {
        let names = self.store.look_ups();
        if names.is_empty() {
            return;
        }
        let (client, messages) = (self.client.clone(), self.sender.clone());
        let ask = move |(watch, name): (usize, ObjectName)| {
            let api: Api<Secret> = Api::namespaced(client.clone(), &name.namespace);
            async move {
                let said = look_up(api, name).await;
                Message { watch, said }
            }
        };
        self.tasks.spawn(async move {
            let mut answers = stream::iter(names).map(ask).buffer_unordered(LOOK_UPS);
            while let Some(answer) = answers.next().await {
                if messages.send(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Output {
    /// Ends when nobody listens any more.
    async fn unwanted(&mut self) {
        match self {
            Self::First(Some(first)) => first.closed().await,
            Self::First(None) => {}
            Self::Latest(sender) => sender.closed().await,
        }
    }
}
