//! The agent with real proxies, and its loop with a fake one. Each test has a directory and a
//! loopback address of its own; everything is waited for, nothing slept for.

mod bundles;
mod directories;
mod loops;
mod names;
mod nginx_endpoints;
mod nginx_reloads;
mod nginx_trouble;
mod proxies;
mod rendered;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::agent::resolve::ResolveOptions;

const PATIENCE: Duration = Duration::from_secs(60);

/// Without waiting for anybody.
const AT_ONCE: Pace = Pace {
    between_reloads: Duration::ZERO,
    grace: Duration::ZERO,
};

/// A free port on an address that no other test of this process uses.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::SeqCst), high, low);
    let listener = TcpListener::bind((address, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A program that `tests/proxies` or the like has fetched; without it there is nothing to test.
fn binary(line: &str, name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    let cache = cache.unwrap_or_else(home);
    let path = cache.join("vigie/proxies").join(line).join(name);
    assert!(
        path.exists(),
        "{} is missing: these tests need the real proxies in the cache",
        path.display()
    );
    path
}

/// An agent under test, with what it reports.
struct Running {
    bundles: watch::Sender<Option<Arc<Bundle>>>,
    loads: mpsc::UnboundedReceiver<Load>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(driver: impl Driver + 'static, directory: Directory) -> Self {
        Self::start_with(driver, directory, AT_ONCE)
    }

    fn start_with(driver: impl Driver + 'static, directory: Directory, pace: Pace) -> Self {
        let (problems, _) = mpsc::unbounded_channel();
        let resolver = Resolver::start(ResolveOptions::default(), problems);
        Self::resolving(driver, directory, pace, resolver)
    }

    fn resolving(
        driver: impl Driver + 'static,
        directory: Directory,
        pace: Pace,
        resolver: Resolver,
    ) -> Self {
        let (bundles, receiver) = watch::channel(None);
        let (sender, loads) = mpsc::unbounded_channel();
        let agent = Agent::new(driver, directory, resolver, receiver, sender, pace);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(agent.run(async {
            let _ = stopped.await;
        }));
        Self {
            bundles,
            loads,
            stop,
            task,
        }
    }

    fn send(&self, bundle: &Bundle) {
        self.bundles.send_replace(Some(Arc::new(bundle.clone())));
    }

    async fn next(&mut self) -> Load {
        let next = timeout(PATIENCE, self.loads.recv()).await;
        next.expect("no report").expect("the agent has ended")
    }

    async fn load(&mut self, bundle: &Bundle) -> LoadKind {
        self.send(bundle);
        let load = self.next().await;
        assert_eq!(load.revision, bundle.revision());
        load.kind
    }

    /// The next report of a kind; failures before it are allowed.
    async fn until(&mut self, kind: LoadKind) {
        while self.next().await.kind != kind {}
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        timeout(PATIENCE, self.task)
            .await
            .expect("does not end")
            .unwrap();
    }
}
