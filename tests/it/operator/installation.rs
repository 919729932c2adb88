//! One installation of Vigie: accounts with the roles that ship, controllers as processes in the
//! cluster's network, and proxies with their agents in pods.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams};
use tokio::time::{Instant, sleep};
use vigie::render::wire::Plain;

use crate::cluster::{Account, Cluster, Pod, Process, vigie};
use crate::support::client::{Request, Response, Target, exchange};

/// How long something may take that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
const GLANCE: Duration = Duration::from_millis(20);

pub struct Installation {
    pub name: String,
    pub class: String,
    pub account: Account,
    pub agents: Account,
}

/// The manifests of a file that ships.
pub fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Installation {
    pub async fn new(cluster: &Cluster) -> Self {
        Self::named(cluster, "vigie").await
    }

    pub async fn named(cluster: &Cluster, name: &str) -> Self {
        let roles = shipped("controller-roles.yaml");
        let account = cluster.account(&format!("{name}-controller"), &roles).await;
        Self::with_account(cluster, name, account).await
    }

    pub async fn with_account(cluster: &Cluster, name: &str, account: Account) -> Self {
        let agent = format!("{name}-agent");
        Self {
            name: name.to_owned(),
            class: format!("{}-{name}", cluster.namespace),
            account,
            agents: cluster.account(&agent, &shipped("agent-role.yaml")).await,
        }
    }

    /// Starts a controller; `further` arguments come last.
    pub fn controller(&self, cluster: &Cluster, identity: &str, further: &str) -> Controller {
        self.controller_as(cluster, &self.account, identity, further)
    }

    pub fn controller_as(
        &self,
        cluster: &Cluster,
        account: &Account,
        identity: &str,
        further: &str,
    ) -> Controller {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::new(10, 77, 64, number), 10254));
        // Nobody else's class is ours, whatever other tests have in the cluster.
        let named = further.contains("--class") || further.contains("--controller");
        let controller = match named {
            true => String::new(),
            false => format!("--controller example.com/{}", self.class),
        };
        let class = match further.contains("--class") {
            true => String::new(),
            false => format!("--class {} {controller}", self.class),
        };
        let command = format!(
            "controller --kubeconfig {} --installation {} --namespace {} --identity {identity} \
             --proxy nginx --proxy haproxy --listen {address} {class} {further}",
            account.kubeconfig.display(),
            self.name,
            cluster.namespace,
        );
        Controller {
            process: Process::start(vigie(&command)),
            address,
            command,
        }
    }

    /// Starts a pod with an agent of a kind of proxy.
    pub async fn proxy(&self, cluster: &Cluster, kind: &str, name: &str) -> Proxy {
        self.proxy_by(cluster, kind, name, "").await
    }

    pub async fn proxy_by(
        &self,
        cluster: &Cluster,
        kind: &str,
        name: &str,
        further: &str,
    ) -> Proxy {
        let name = format!("{}-{name}", self.name);
        let pod = Pod::start(cluster, &name, &[]).await;
        let command = format!(
            "agent --kubeconfig {} --installation {} --namespace {} --pod-name {name} --pod-uid {} \
             --proxy {kind} --directory {} --grace 1 {further}",
            self.agents.kubeconfig.display(),
            self.name,
            cluster.namespace,
            pod.uid,
            pod.directory().display(),
        );
        Proxy {
            kind: kind.to_owned(),
            agent: pod.spawn(vigie(&command)),
            pod,
            command,
        }
    }

    /// Starts a pod with an agent and, apart from it, the owner of the proxy, as in containers of their own.
    pub async fn apart(&self, cluster: &Cluster, kind: &str) -> Apart {
        let name = format!("{}-{kind}", self.name);
        let pod = Pod::start(cluster, &name, &[]).await;
        let socket = pod.directory().join("publication.sock");
        let common = format!("--installation {} --proxy {kind}", self.name,);
        let agent = format!(
            "agent {common} --kubeconfig {} --namespace {} --pod-name {name} --pod-uid {} --hand-over {}",
            self.agents.kubeconfig.display(),
            cluster.namespace,
            pod.uid,
            socket.display(),
        );
        let proxy = format!(
            "proxy {common} --take-over {} --directory {} --grace 1 --drain 1",
            socket.display(),
            pod.directory().display(),
        );
        Apart {
            agent: pod.spawn(vigie(&agent)),
            proxy: pod.spawn(vigie(&proxy)),
            commands: [agent, proxy],
            pod,
        }
    }

    /// Nothing that was asked for was more than the roles allow.
    pub fn nothing_was_forbidden(&self, cluster: &Cluster) {
        self.nothing_was_forbidden_to(cluster, [&self.account]);
    }

    pub fn nothing_was_forbidden_to<'a>(
        &'a self,
        cluster: &Cluster,
        controllers: impl IntoIterator<Item = &'a Account>,
    ) {
        for account in controllers.into_iter().chain([&self.agents]) {
            let asked = cluster.requests_of(account);
            assert!(!asked.is_empty(), "{} asked for nothing", account.user);
            let forbidden: Vec<_> = asked.iter().filter(|asked| asked.is_forbidden()).collect();
            assert!(forbidden.is_empty(), "{}: {forbidden:#?}", account.user);
        }
    }

    /// What stands of the publications, by name: the index, its shards (which say by their names what
    /// is in them) and endpoints without their sequence numbers.
    pub async fn standing(&self, cluster: &Cluster) -> Vec<(String, Plain)> {
        let of_us = format!(
            "vigie.dev/instance={},vigie.dev/proxy,vigie.dev/part!=report",
            self.name
        );
        let of_us = ListParams::default().labels(&of_us);
        let maps: Api<ConfigMap> = cluster.api();
        let secrets: Api<Secret> = cluster.api();
        let maps = maps.list(&of_us).await.expect("a list").items.into_iter();
        let secrets = secrets
            .list(&of_us)
            .await
            .expect("a list")
            .items
            .into_iter();
        let maps = maps.map(|map| {
            let mut data = map.data.unwrap_or_default();
            if data.contains_key("sequence") {
                data.retain(|key, _| key == "endpoints");
            }
            (map.metadata.name.unwrap_or_default(), data)
        });
        let secrets =
            secrets.map(|secret| (secret.metadata.name.unwrap_or_default(), Plain::new()));
        let mut all: Vec<_> = maps.chain(secrets).collect();
        all.sort();
        all
    }
}

pub struct Controller {
    pub process: Process,
    pub address: SocketAddr,
    command: String,
}

impl Controller {
    pub async fn page(&self, path: &str) -> Option<Response> {
        page(self.address, path).await
    }

    pub async fn until_ready(&self) {
        self.until_page("/readyz", "ready", |answer| answer.status == 200)
            .await;
    }

    pub async fn until_page(&self, path: &str, what: &str, wanted: impl Fn(&Response) -> bool) {
        until_page(self.address, path, what, wanted).await;
    }

    pub async fn until_metric(&self, name: &str, what: &str, wanted: impl Fn(f64) -> bool) {
        let holds = |answer: &Response| wanted(metric(&answer.text(), name));
        self.until_page("/metrics", &format!("{name} {what}"), holds)
            .await;
    }

    /// Starts the same again, after its end.
    pub fn again(&mut self) {
        self.process = Process::start(vigie(&self.command));
    }
}

pub struct Proxy {
    pub kind: String,
    pub pod: Pod,
    pub agent: Process,
    command: String,
}

impl Proxy {
    pub fn address(&self) -> SocketAddr {
        (self.pod.address, 10255).into()
    }

    pub async fn until_page(&self, path: &str, what: &str, wanted: impl Fn(&Response) -> bool) {
        until_page(self.address(), path, what, wanted).await;
    }

    /// The sum of a metric's samples.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = page(self.address(), "/metrics").await.expect("metrics");
        metric(&answer.text(), name)
    }

    /// Starts the same again, after its end.
    pub fn again(&mut self) {
        self.agent = self.pod.spawn(vigie(&self.command));
    }
}

/// A pod with two containers of ours.
pub struct Apart {
    pub pod: Pod,
    pub agent: Process,
    pub proxy: Process,
    commands: [String; 2],
}

impl Apart {
    pub fn agent_again(&mut self) {
        self.agent = self.pod.spawn(vigie(&self.commands[0]));
    }

    pub fn proxy_again(&mut self) {
        self.proxy = self.pod.spawn(vigie(&self.commands[1]));
    }

    /// A page of the owner of the proxy.
    pub async fn until_page(&self, path: &str, what: &str, wanted: impl Fn(&Response) -> bool) {
        until_page((self.pod.address, 10256).into(), path, what, wanted).await;
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        show(&self.commands[0], &self.agent);
        show(&self.commands[1], &self.proxy);
    }
}

/// A test that fails shows what the programs have said.
impl Drop for Controller {
    fn drop(&mut self) {
        show(&self.command, &self.process);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        show(&self.command, &self.agent);
    }
}

fn show(command: &str, process: &Process) {
    if std::thread::panicking() || std::env::var_os("SHOW").is_some() {
        let said = process.said();
        let last = &said[said.len().saturating_sub(40)..];
        eprintln!("vigie {command}:\n  {}", last.join("\n  "));
    }
}

async fn page(address: SocketAddr, path: &str) -> Option<Response> {
    exchange(&Target::plain(address), &Request::get("vigie", path))
        .await
        .ok()
}

pub async fn until_page(
    address: SocketAddr,
    path: &str,
    what: &str,
    wanted: impl Fn(&Response) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = page(address, path).await;
        if seen.as_ref().is_some_and(&wanted) {
            return;
        }
        let text = seen.map(|answer| answer.text()).unwrap_or_default();
        assert!(Instant::now() < deadline, "never {what}:\n{text}");
        sleep(GLANCE).await;
    }
}

/// Adds up all samples of a metric, whose name goes on with labels or ends.
fn metric(text: &str, name: &str) -> f64 {
    let sample = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with(['{', ' ']) || name.contains('{');
        is_it.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
    };
    text.lines().filter_map(sample).sum()
}

/// Waits until something holds that has to be asked for.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(GLANCE).await;
    }
}
