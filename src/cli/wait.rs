//! `vigie wait ingress/NAME`: ends when every proxy has said that it runs the Ingress as it is now, and
//! its routes work. Exit codes: 0 they do, 1 they do not within the time, 2 misuse.

use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use tokio::time::{Instant, timeout_at};

use super::connect::{ConnectArgs, client};
use super::runtime::one_thread;
use super::{FINDINGS, GOOD};
use crate::api::annotations_digest;
use crate::api::route_health::{Condition, ConditionStatus, RouteHealth};

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for, as ingress/shop
    #[arg(value_name = "ingress/NAME")]
    target: Target,

    /// The namespace of it; default: that of the context
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// What it is to be
    #[arg(long = "for", value_name = "STATE", default_value = "healthy")]
    state: State,

    /// How long to wait at most, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target(String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("ingress" | "ingresses" | "ing", name)) if !name.is_empty() => {
                Ok(Self(name.to_owned()))
            }
            _ => Err("write ingress/NAME, as ingress/shop".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// Every proxy runs it, and its routes work
    Healthy,
    /// Every proxy runs it
    Programmed,
}

impl State {
    fn condition(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Programmed => "Programmed",
        }
    }
}

pub fn run(args: &WaitArgs) -> anyhow::Result<u8> {
    one_thread()?.block_on(wait(args))
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    generation: Option<i64>,
    /// Of its annotations, which change without the generation.
    annotations: String,
    uid: Option<String>,
    listed: bool,
    health: Vec<RouteHealth>,
    /// Why the cluster cannot be watched.
    problem: Option<String>,
}

async fn wait(args: &WaitArgs) -> anyhow::Result<u8> {
    let config = args.connect.config().await?;
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config)?;
    let Target(name) = &args.target;
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
    let healths: Api<RouteHealth> = Api::namespaced(client, &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut ingresses = pin!(watch(ingresses, only).default_backoff());
    let about = watcher::Config::default().fields(&format!("spec.targetRef.name={name}"));
    let mut healths = pin!(watch(healths, about).default_backoff());
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut seen = Seen::default();
    let what = format!("ingress/{name} in {namespace}");
    loop {
        let next = async {
            tokio::select! {
                Some(event) = ingresses.next() => seen.take_ingress(event),
                Some(event) = healths.next() => seen.take_health(event),
            }
        };
        if timeout_at(deadline, next).await.is_err() {
            let why = seen.why_not(args.state);
            eprintln!(
                "{what} is not {:?} after {} s: {why}",
                args.state, args.timeout
            );
            return Ok(FINDINGS);
        }
        if seen.listed && seen.generation.is_none() {
            bail!("there is no {what}");
        }
        if let Some(condition) = seen.holds(args.state) {
            println!("{what}: {} ({})", condition.reason, condition.message);
            return Ok(GOOD);
        }
    }
}

impl Seen {
    fn take_ingress(&mut self, event: watcher::Result<Event<Ingress>>) {
        match event {
            Ok(Event::InitApply(ingress) | Event::Apply(ingress)) => {
                self.generation = ingress.metadata.generation;
                self.annotations = annotations_digest(ingress.metadata.annotations.as_ref());
                self.uid = ingress.metadata.uid;
            }
            Ok(Event::InitDone) => self.listed = true,
            Ok(Event::Delete(_)) => self.generation = None,
            Ok(Event::Init) => {}
            Err(error) => self.problem = Some(crate::telemetry::chain(&error)),
        }
    }

    fn take_health(&mut self, event: watcher::Result<Event<RouteHealth>>) {
        match event {
            Ok(Event::Init) => self.health.clear(),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                self.forget(&object);
                self.health.push(object);
            }
            Ok(Event::Delete(object)) => self.forget(&object),
            Ok(Event::InitDone) => self.problem = None,
            Err(error) => self.problem = Some(crate::telemetry::chain(&error)),
        }
    }

    fn forget(&mut self, object: &RouteHealth) {
        self.health
            .retain(|known| known.metadata.name != object.metadata.name);
    }

    /// Whether it was made for an Ingress of this name that is gone.
    fn is_of_another(&self, health: &RouteHealth) -> bool {
        let owners = health.metadata.owner_references.iter().flatten();
        let mut ingresses = owners.filter(|owner| owner.kind == "Ingress");
        ingresses.any(|owner| Some(&owner.uid) != self.uid.as_ref())
    }

    /// Conditions that are about the Ingress as it is now, not as one before it of this name was.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let of_this = self.health.iter().filter(move |of| !self.is_of_another(of));
        let statuses = of_this.filter_map(|health| health.status.as_ref());
        let current = statuses.filter(|status| {
            // An older controller does not tell of annotations.
            let told = status.target_annotations.as_ref();
            self.generation.is_some()
                && status.target_generation == self.generation
                && told.is_none_or(|told| *told == self.annotations)
        });
        current.flat_map(|status| &status.conditions)
    }

    fn holds(&self, state: State) -> Option<&Condition> {
        let wanted = self.condition(state.condition())?;
        // Healthy may be told while a proxy is still behind.
        let programmed = self.condition(State::Programmed.condition())?;
        let holds = |condition: &Condition| condition.status == ConditionStatus::True;
        (holds(wanted) && holds(programmed)).then_some(wanted)
    }

    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions().find(|condition| condition.type_ == kind)
    }

    fn why_not(&self, state: State) -> String {
        if let Some(problem) = &self.problem {
            return format!("the cluster cannot be watched: {problem}");
        }
        let programmed = self.condition(State::Programmed.condition());
        let asked = self.condition(state.condition());
        let bad = [asked, programmed].into_iter().flatten();
        let mut bad = bad.filter(|condition| condition.status != ConditionStatus::True);
        match bad.next() {
            Some(condition) => format!("{} ({})", condition.reason, condition.message),
            None if self.health.is_empty() => {
                "no RouteHealth tells of it: is a controller running, and is its class ours?".into()
            }
            None => "no RouteHealth tells of it as it is now yet".into(),
        }
    }
}
