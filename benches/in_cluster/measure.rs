//! What is measured, and how it is said.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Resource;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::cluster::{Account, Cluster, Pod, Process, ask, vigie};
use crate::estate::{Estate, address, host};

/// Between two looks at what is waited for.
const GLANCE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(180);
/// A storm is of so many changes a second.
const STORM: usize = 5;
/// The kernel counts CPU time in these.
const TICK: Duration = Duration::from_millis(10);

/// What a bare client takes to list what is watched.
pub async fn baseline(cluster: &Cluster) -> Duration {
    let begun = Instant::now();
    let lists = tokio::join!(
        count::<Ingress>(cluster),
        count::<Service>(cluster),
        count::<EndpointSlice>(cluster),
        count::<Secret>(cluster),
    );
    assert!(lists.0 > 0);
    begun.elapsed()
}

async fn count<K>(cluster: &Cluster) -> usize
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + DeserializeOwned + Debug,
{
    let listed = cluster.api::<K>().list(&ListParams::default()).await;
    listed.expect("a list").items.len()
}

/// Asks for a route until a backend answers.
pub async fn until_served(pod: Ipv4Addr, number: usize) {
    until(pod, number, |_| true).await;
}

async fn until(pod: Ipv4Addr, number: usize, wanted: impl Fn(&str) -> bool) {
    let url = format!("http://{}/", host(number));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(pod.into(), &url).await;
        let seen = match &answer {
            Ok(answer) => {
                let by = answer.report().map(|report| report.backend);
                // A route with TLS redirects to it.
                if answer.status == 308 || by.as_deref().is_some_and(&wanted) {
                    return;
                }
                answer.status.to_string()
            }
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < deadline, "{url} is not served: {seen}");
        sleep(GLANCE).await;
    }
}

/// The processes that are looked at.
pub struct Watched {
    controller: i32,
    agent: i32,
}

impl Watched {
    pub fn new(controller: &Process, agent: &Process) -> Self {
        let pid = |process: &Process| process.pid().expect("it runs");
        Self {
            controller: pid(controller),
            agent: pid(agent),
        }
    }

    fn all(&self) -> [(&'static str, i32); 2] {
        [("controller", self.controller), ("agent", self.agent)]
    }

    /// Waits until nobody is at work any more.
    pub async fn settle(&self) {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            let before = self.cpu();
            sleep(Duration::from_secs(2)).await;
            if self.cpu() - before <= 6 * TICK || Instant::now() > deadline {
                return;
            }
        }
    }

    fn cpu(&self) -> Duration {
        self.all().iter().map(|(_, pid)| cpu(*pid)).sum()
    }

    pub async fn at_rest(&self) {
        self.settle().await;
        let seconds = 10;
        let before = self.all().map(|(_, pid)| cpu(pid));
        sleep(Duration::from_secs(seconds)).await;
        let shares = self.shares(before, Duration::from_secs(seconds));
        println!("    CPU at rest, of a core: {shares}");
    }

    /// What each has used of a core since it had used so much.
    fn shares(&self, before: [Duration; 2], time: Duration) -> String {
        let mut text = Vec::new();
        for ((name, pid), before) in self.all().iter().zip(before) {
            let share = (cpu(*pid) - before).as_secs_f64() / time.as_secs_f64() * 100.0;
            text.push(format!("{name} {share:.1} %"));
        }
        text.join(", ")
    }

    pub fn print_memory(&self, size: usize) {
        let controller = resident(self.controller);
        let allowed = 40.0 + size as f64 * 0.04;
        println!(
            "    memory: controller {controller:.0} MB (goal {allowed:.0}), agent {:.0} MB",
            resident(self.agent)
        );
    }
}

fn cpu(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u32>().ok());
    let ticks = next().zip(next()).map(|(user, system)| user + system);
    TICK * ticks.expect("two numbers")
}

/// In megabytes.
fn resident(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.expect("a number") / 1024.0
}

/// Who the processes are, with the roles that ship.
pub struct Accounts {
    pub controller: Account,
    pub agent: Account,
    /// Requests of each that are not counted any more.
    seen: [Cell<usize>; 2],
}

impl Accounts {
    pub async fn new(cluster: &Cluster, installation: &str) -> Self {
        let roles = |file: &str| {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
            fs::read_to_string(deploy.join(file)).expect("roles")
        };
        let (controller, agent) = (roles("controller-roles.yaml"), roles("agent-role.yaml"));
        let name = |who: &str| format!("{installation}-{who}");
        Self {
            controller: cluster.account(&name("controller"), &controller).await,
            agent: cluster.account(&name("agent"), &agent).await,
            seen: Default::default(),
        }
    }

    /// What was asked for until now counts no more.
    pub fn forget(&self, cluster: &Cluster) {
        for (account, seen) in [&self.controller, &self.agent].iter().zip(&self.seen) {
            seen.set(cluster.requests_of(account).len());
        }
    }

    pub fn print_requests(&self, cluster: &Cluster, when: &str) {
        for (account, seen) in [&self.controller, &self.agent].iter().zip(&self.seen) {
            let mut verbs = BTreeMap::<String, usize>::new();
            let asked = cluster.requests_of(account);
            for asked in asked.iter().skip(seen.get()) {
                let lease = if asked.resource == "leases" {
                    " of leases"
                } else {
                    ""
                };
                *verbs.entry(format!("{}{lease}", asked.verb)).or_default() += 1;
            }
            let words = verbs.iter().map(|(verb, count)| format!("{count} {verb}"));
            let words: Vec<String> = words.collect();
            println!("    {} asked {when}: {}", account.name, words.join(", "));
        }
    }
}

/// Times of changes, in the order of their rounds.
#[derive(Default)]
pub struct Figures {
    ingress: Vec<Duration>,
    wait: Vec<Duration>,
    endpoints: Vec<Duration>,
}

impl Figures {
    /// An Ingress whose Service is there already: created → served, and → `vigie wait` has returned.
    pub async fn new_ingress(&mut self, cluster: &Cluster, estate: &mut Estate, pod: &Pod) {
        let mut number = estate.prepare().await;
        while number.is_multiple_of(10) {
            number = estate.prepare().await;
        }
        // What came with the Service is over.
        sleep(Duration::from_millis(1_500)).await;
        let begun = Instant::now();
        estate.ingress(number).await;
        until_served(pod.address, number).await;
        self.ingress.push(begun.elapsed());
        let kubeconfig = cluster.control_plane().kubeconfig();
        let mut waiting = Process::start(vigie(&format!(
            "wait ingress/bench-{number} --for programmed --timeout 60 --namespace {} --kubeconfig {}",
            cluster.namespace,
            kubeconfig.display()
        )));
        let status = waiting.ended().await;
        assert!(status.success(), "{:?}", waiting.said());
        self.wait.push(begun.elapsed());
    }

    /// One of two endpoints goes, and then the other one alone is there: traffic follows.
    pub async fn endpoints(&mut self, estate: &Estate, pod: &Pod) {
        let number = 1;
        for second in [false, true] {
            estate.only(number, !second).await;
            let before = address(!second).to_string();
            until(pod.address, number, |by| by == before).await;
            sleep(Duration::from_millis(1_500)).await;
            let begun = Instant::now();
            estate.only(number, second).await;
            let after = address(second).to_string();
            until(pod.address, number, |by| by == after).await;
            self.endpoints.push(begun.elapsed());
        }
    }

    pub fn print(&self, rounds: usize) {
        println!("    of {rounds} rounds, median and 95 % in milliseconds:");
        for (what, times) in [
            ("new Ingress → served", &self.ingress),
            ("new Ingress → vigie wait returns", &self.wait),
            ("endpoint change → traffic follows", &self.endpoints),
        ] {
            let (median, most) = quantiles(times);
            println!("      {what}: {median:.0} {most:.0}");
        }
    }

    /// Five changes of endpoints a second, with a request after the other: none may be lost.
    pub async fn storm(&self, estate: &Estate, pod: &Pod, watched: &Watched, seconds: usize) {
        let begun = Instant::now();
        let before = watched.all().map(|(_, pid)| cpu(pid));
        let (mut asked, mut lost) = (0, 0);
        let url = format!("http://{}/", host(2));
        let asking = async {
            while begun.elapsed() < Duration::from_secs(seconds as u64) {
                let answer = ask(pod.address.into(), &url).await;
                asked += 1;
                lost += usize::from(!answer.is_ok_and(|answer| answer.status == 200));
            }
        };
        let changing = async {
            for change in 0..seconds * STORM {
                estate.only(3 + change % 50, change % 2 == 0).await;
                let next = Duration::from_secs(1) / STORM as u32 * (change as u32 + 1);
                sleep(next.saturating_sub(begun.elapsed())).await;
            }
        };
        tokio::join!(asking, changing);
        println!(
            "    storm of {STORM} changes a second for {seconds} s: {lost} of {asked} requests lost; CPU, of a \
             core: {}",
            watched.shares(before, begun.elapsed())
        );
    }
}

fn quantiles(times: &[Duration]) -> (f64, f64) {
    let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((sorted.len() - 1) as f64 * share).round() as usize;
        sorted[index]
    };
    (at(0.5), at(0.95))
}
