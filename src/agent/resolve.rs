//! Addresses of ExternalName pools: names of the outer world, asked of the system's resolver (search
//! list, CNAMEs and all) again and again. An answer that cannot be had leaves the one before in
//! place. It must never know a proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::model::Endpoint;
use crate::model::names::DnsName;
use crate::render::bundle::Bundle;

/// An answer that takes longer comes with the next round.
const ANSWER: Duration = Duration::from_secs(4);

/// How long a bundle waits for the first answer about its names.
const FIRST: Duration = Duration::from_secs(2);

/// How a name is looked up; the system's resolver unless a test says otherwise.
pub type Lookup = Arc<dyn Fn(DnsName) -> Answer + Send + Sync>;
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

#[derive(Clone)]
pub struct ResolveOptions {
    pub period: Duration,
    /// Whether answers on this machine itself are taken; good for a laptop, an open door in a
    /// cluster.
    pub allow_local: bool,
    pub lookup: Lookup,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(5),
            allow_local: false,
            lookup: Arc::new(|name| Box::pin(system(name))),
        }
    }
}

async fn system(name: DnsName) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// What is wrong with a name; told once, when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameProblem {
    pub name: DnsName,
    pub words: String,
}

/// The last answers, by name; a name without a usable one has none.
pub type Answers = BTreeMap<DnsName, Vec<IpAddr>>;

/// The asking task; it ends when dropped.
pub struct Resolver {
    names: watch::Sender<BTreeSet<DnsName>>,
    answers: watch::Receiver<Answers>,
    _task: JoinSet<()>,
}

impl Resolver {
    pub fn start(options: ResolveOptions, problems: mpsc::UnboundedSender<NameProblem>) -> Self {
        let (names, wanted) = watch::channel(BTreeSet::new());
        let (sender, answers) = watch::channel(Answers::new());
        let mut task = JoinSet::new();
        task.spawn(ask_for_ever(options, wanted, sender, problems));
        Self {
            names,
            answers,
            _task: task,
        }
    }

    /// Ends when some answer is another one.
    pub async fn changed(&mut self) {
        if self.answers.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The bundle with addresses in place of the names in it.
    pub async fn fill(&mut self, bundle: &Arc<Bundle>) -> Arc<Bundle> {
        let named = bundle.pools.values().filter_map(|pool| pool.name.as_ref());
        let names: BTreeSet<DnsName> = named.map(|(name, _)| name.clone()).collect();
        self.names.send_if_modified(|wanted| {
            let differs = *wanted != names;
            wanted.clone_from(&names);
            differs
        });
        let all = |answers: &Answers| names.iter().all(|name| answers.contains_key(name));
        let _ = timeout(FIRST, self.answers.wait_for(all)).await;
        let answers = self.answers.borrow_and_update();
        if names.is_empty() {
            return bundle.clone();
        }
        let mut filled = Bundle::clone(bundle);
        for pool in filled.pools.values_mut() {
            let Some((name, port)) = &pool.name else {
                continue;
            };
            let endpoint = |address: &IpAddr| Endpoint {
                address: *address,
                port: *port,
            };
            pool.endpoints = match answers.get(name) {
                Some(addresses) => addresses.iter().map(endpoint).collect(),
                None => Vec::new(),
            };
        }
        filled.into()
    }
}

async fn ask_for_ever(
    options: ResolveOptions,
    mut wanted: watch::Receiver<BTreeSet<DnsName>>,
    answers: watch::Sender<Answers>,
    problems: mpsc::UnboundedSender<NameProblem>,
) {
    let mut told: BTreeMap<DnsName, String> = BTreeMap::new();
    let mut ticks = interval(options.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => ticks.reset(),
                Err(_) => return,
            },
            _ = ticks.tick() => {}
        }
        let names = wanted.borrow_and_update().clone();
        let mut round = JoinSet::new();
        for name in &names {
            let (name, lookup) = (name.clone(), options.lookup.clone());
            round.spawn(async move {
                let answer = timeout(ANSWER, lookup(name.clone())).await;
                (name, answer.unwrap_or(Err(io::ErrorKind::TimedOut.into())))
            });
        }
        let mut next = answers.borrow().clone();
        next.retain(|name, _| names.contains(name));
        told.retain(|name, _| names.contains(name));
        while let Some(Ok((name, answer))) = round.join_next().await {
            let (usable, words) = judge(answer, options.allow_local);
            match usable {
                Some(addresses) => next.insert(name.clone(), addresses),
                None => Some(next.entry(name.clone()).or_default().clone()),
            };
            match words {
                Some(words) if told.get(&name) != Some(&words) => {
                    told.insert(name.clone(), words.clone());
                    let _ = problems.send(NameProblem { name, words });
                }
                Some(_) => {}
                None => drop(told.remove(&name)),
            }
        }
        answers.send_if_modified(|current| {
            let differs = *current != next;
            *current = next;
            differs
        });
    }
}

/// The addresses to use (None: those from before), and what is wrong with the answer.
fn judge(
    answer: io::Result<Vec<IpAddr>>,
    allow_local: bool,
) -> (Option<Vec<IpAddr>>, Option<String>) {
    let found = match answer {
        Ok(found) if found.is_empty() => {
            return (
                None,
                Some("it has no address; the last ones stay in use".into()),
            );
        }
        Ok(found) => found,
        Err(error) => {
            let words = format!("it cannot be resolved ({error}); the last addresses stay in use");
            return (None, Some(words));
        }
    };
    let (refused, usable): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = found
        .into_iter()
        .map(|address| address.to_canonical())
        .partition(|address| is_refused(*address, allow_local));
    let words = (!refused.is_empty()).then(|| {
        let list: Vec<String> = refused.iter().map(IpAddr::to_string).collect();
        format!(
            "it resolves to {}, where nothing is forwarded to: loopback, link-local, multicast and unspecified addresses are refused",
            list.join(", ")
        )
    });
    (Some(usable.into_iter().collect()), words)
}

/// Addresses that mean the proxy's own machine or no machine: forwarding there would open what was
/// never meant to be served.
fn is_refused(address: IpAddr, allow_local: bool) -> bool {
    if address.is_loopback() {
        return !allow_local;
    }
    if address.is_unspecified() || address.is_multicast() {
        return true;
    }
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
