//! What a request costs the proxy: requests for each second of its CPU time, with 1,000 hosts, for a
//! plain route and for one with features, against a configuration written by hand for the same proxy,
//! hosts, log line, forwarded headers and keep-alive. Runs are interleaved; medians of ratios of one
//! run are printed, nothing is asserted.
//!
//! `cargo bench --bench traffic`

#![allow(clippy::panic, reason = "benchmarks fail by panicking")]

mod by_hand;
mod load;
#[allow(dead_code, reason = "shared with benchmarks that need more of it")]
mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use vigie::agent::dns;
use vigie::render::{self, Capabilities, Placement, ProxyKind, haproxy};
use vigie::snapshot::Snapshot;
use vigie::translate::translate;

const HOSTS: usize = 1_000;
const ROUNDS: usize = 5;
const SECONDS: u64 = 3;

/// What is measured: the same answer by three configurations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    ByHand,
    Plain,
    Features,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let backend = load::backend();
    for proxy in ProxyKind::ALL {
        let running: Vec<(Kind, Proxy)> = [Kind::ByHand, Kind::Plain, Kind::Features]
            .map(|kind| (kind, Proxy::start(&runtime, proxy, kind, backend)))
            .into();
        let mut rates: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
        for round in 0..=ROUNDS {
            for (kind, proxy) in &running {
                let path = if *kind == Kind::Features {
                    "/app/item"
                } else {
                    "/item"
                };
                let before = proxy.cpu();
                let requests = load::run(proxy.address, path, HOSTS, Duration::from_secs(SECONDS));
                let rate = requests as f64 / (proxy.cpu() - before).as_secs_f64();
                // The first round warms connections and caches.
                if round > 0 {
                    rates.entry(*kind).or_default().push(rate);
                }
            }
        }
        let of = |kind| &rates[&kind];
        println!(
            "\n== {proxy}, {HOSTS} hosts: requests per second of the proxy's CPU, {ROUNDS} interleaved runs"
        );
        println!(
            "written by hand      {:8.0}",
            median(of(Kind::ByHand).clone())
        );
        for (kind, name) in [
            (Kind::Plain, "plain route"),
            (Kind::Features, "route with features"),
        ] {
            let ratios = of(kind)
                .iter()
                .zip(of(Kind::ByHand))
                .map(|(ours, hand)| ours / hand);
            println!(
                "{name:20} {:8.0}  ratio {:.2}",
                median(of(kind).clone()),
                median(ratios.collect())
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A proxy with its files in a directory of its own.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(
        runtime: &tokio::runtime::Runtime,
        proxy: ProxyKind,
        kind: Kind,
        backend: SocketAddr,
    ) -> Self {
        let address = free();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        for below in ["run", "tmp"] {
            fs::create_dir_all(root.join(below)).expect("a directory");
        }
        match kind {
            Kind::ByHand => by_hand::write(proxy, root, address, backend, HOSTS),
            Kind::Plain | Kind::Features => {
                let snapshot = snapshot(kind == Kind::Features, backend);
                ours(runtime, proxy, root, address, &snapshot);
            }
        }
        let child = spawn(proxy, root);
        let proxy = Self {
            child,
            address,
            _directory: directory,
        };
        proxy.wait();
        proxy
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while !load::answers(self.address) {
            assert!(Instant::now() < end, "{} answers nothing", self.address);
            std::thread::yield_now();
        }
    }

    /// CPU time of the proxy's processes so far.
    fn cpu(&self) -> Duration {
        let master = self.child.id();
        let ticks: u64 = fs::read_dir("/proc")
            .expect("Linux has /proc")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter_map(|pid| {
                fs::read_to_string(format!("/proc/{pid}/stat"))
                    .ok()
                    .map(|s| (pid, s))
            })
            .filter_map(|(pid, stat)| {
                let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
                let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
                let ours = pid == master || number(1)? == u64::from(master);
                ours.then(|| {
                    number(11)
                        .zip(number(12))
                        .map(|(user, system)| user + system)
                })?
            })
            .sum();
        // USER_HZ is 100 on Linux.
        Duration::from_millis(ticks * 10)
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn spawn(proxy: ProxyKind, root: &Path) -> Child {
    let mut command = Command::new(shared::binary(proxy));
    match proxy {
        ProxyKind::Nginx => command
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(root),
        ProxyKind::Haproxy => {
            let files = if root.join("upstreams.cfg").exists() {
                &haproxy::CONFIGURATION[..]
            } else {
                &["haproxy.cfg"]
            };
            command
                .arg("-W")
                .args(files.iter().flat_map(|file| ["-f", file]))
        }
    };
    command
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the proxy starts");
    // The log is read and thrown away, as a collector would read it.
    if let Some(mut log) = child.stdout.take() {
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    }
    child
}

fn ours(
    runtime: &tokio::runtime::Runtime,
    proxy: ProxyKind,
    root: &Path,
    address: SocketAddr,
    snapshot: &Snapshot,
) {
    let translation = translate(snapshot, &shared::options());
    assert!(
        translation.diagnostics.iter().all(|d| !d.is_error()),
        "{:?}",
        translation.diagnostics
    );
    let (zones, mut server) = dns::server();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for _ in 0..8 {
        let listening = runtime.block_on(server.listen(any));
        listening.expect("a free port");
    }
    let placement = Placement {
        http: vec![address],
        https: Vec::new(),
        resolvers: server.addresses().to_vec(),
        https_redirect_port: None,
    };
    let bundle = render::render(
        &translation.model,
        &Capabilities::assumed(proxy),
        &placement,
    );
    for (name, text) in bundle.files() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root)).expect("a directory");
        fs::write(path, text.as_bytes()).expect("a file");
    }
    if proxy == ProxyKind::Nginx {
        zones.publish(render::nginx::dns_zone(&bundle));
    }
    // Both live as long as the process.
    std::mem::forget((zones, server));
}

/// One Ingress, one Service and two endpoints, which lead to one backend, for each host.
fn snapshot(features: bool, backend: SocketAddr) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for i in 0..HOSTS {
        let name = format!("shop-{i}");
        let annotations = if features {
            json!({
                "vigie.dev/rewrite-target": "/$2",
                "vigie.dev/use-regex": "true",
                "vigie.dev/proxy-read-timeout": "120",
                "vigie.dev/proxy-body-size": "20m",
                "vigie.dev/allowlist-source-range": "127.0.0.0/8,10.0.0.0/8",
            })
        } else {
            json!({})
        };
        let (path, path_type) = if features {
            ("/app(/|$)(.*)", "ImplementationSpecific")
        } else {
            ("/", "Prefix")
        };
        snapshot.add_ingress(shared::of(json!({
            "metadata": {"namespace": "default", "name": name, "annotations": annotations},
            "spec": {"ingressClassName": "vigie", "rules": [{"host": load::host(i), "http": {"paths": [{
                "path": path, "pathType": path_type,
                "backend": {"service": {"name": name, "port": {"number": 80}}},
            }]}}]},
        })));
        snapshot.add_service(shared::of(json!({
            "metadata": {"namespace": "default", "name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
        })));
        let other = IpAddr::from([127, 0, 0, 2]);
        snapshot.add_slice(shared::of(json!({
            "metadata": {"namespace": "default", "name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": backend.port()}],
            "endpoints": [{"addresses": [backend.ip()]}, {"addresses": [other]}],
        })));
    }
    snapshot
}
