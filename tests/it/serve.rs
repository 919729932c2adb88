//! A real proxy that serves a model on free ports, under the same agent as `vigie run` has.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use vigie::agent::driver::{Found, Output, Stream};
use vigie::agent::{Load, LoadKind};
use vigie::model::Model;
use vigie::render::{Bundle, ProxyKind};
use vigie::standalone::{Settings, Standalone, Told, find::find};

use crate::support::expect::{self, Expectations, Failure, Proxy};

/// A proxy that has not come up by then does not.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Served {
    standalone: Standalone,
    proxy: ProxyKind,
    pub http: SocketAddr,
    pub https: SocketAddr,
}

impl Served {
    /// Serves a model; the words of the agent where the proxy does not take it.
    pub async fn start(model: &Model, proxy: ProxyKind) -> Result<Self, String> {
        Self::start_logging(model, proxy, Stream::default()).await
    }

    /// The same, with the access log kept.
    pub async fn start_logging(
        model: &Model,
        proxy: ProxyKind,
        access: Stream,
    ) -> Result<Self, String> {
        let found: Found = find(proxy, None).await.map_err(|error| error.to_string())?;
        let (http, https) = (free(), free());
        let settings = Settings {
            http: vec![http],
            https: vec![https],
            output: Output {
                access,
                errors: false,
            },
        };
        let mut standalone =
            Standalone::start(&found, settings).map_err(|error| error.to_string())?;
        let bundle = standalone.load(model).await;
        let bundle = bundle.map_err(|error| error.to_string())?;
        let mut served = Self {
            standalone,
            proxy,
            http,
            https,
        };
        served.loaded(&bundle).await?;
        Ok(served)
    }

    /// Serves another model instead.
    pub async fn change(&mut self, model: &Model) -> Result<(), String> {
        self.load(model).await.map(drop)
    }

    /// The same, with what was to be loaded and how it was done.
    pub async fn load(&mut self, model: &Model) -> Result<(Arc<Bundle>, Load), String> {
        let bundle = self.send(model).await;
        let load = self.loaded(&bundle).await?;
        Ok((bundle, load))
    }

    /// Gives the agent another model, and waits for nothing.
    pub async fn send(&mut self, model: &Model) -> Arc<Bundle> {
        self.standalone.load(model).await.expect("it is rendered")
    }

    /// Waits until the agent says that a bundle is loaded, or refuses it.
    pub async fn loaded(&mut self, bundle: &Bundle) -> Result<Load, String> {
        let revision = bundle.revision();
        let loaded = async {
            loop {
                let load = self.told().await.ok_or("the agent has ended")?;
                if load.revision != revision {
                    continue;
                }
                match load.kind {
                    LoadKind::Refused { words, .. } => return Err(format!("refused: {words}")),
                    LoadKind::Failed { words } => return Err(format!("failed: {words}")),
                    LoadKind::Ended { .. } => {}
                    _ => return Ok(load),
                }
            }
        };
        let loaded = timeout(PATIENCE, loaded).await;
        loaded.unwrap_or_else(|_| Err("it was not loaded in time".to_owned()))
    }

    /// What the agent tells next of a load; None when it has ended.
    pub async fn told(&mut self) -> Option<Load> {
        loop {
            match self.standalone.told().await? {
                Told::Load(load) => return Some(load),
                Told::Name(_) => {}
            }
        }
    }

    /// Where the proxy's files and sockets lie.
    pub fn directory(&self) -> &Path {
        self.standalone.directory()
    }

    pub async fn ask(&self, expectations: &Expectations) -> Vec<Failure> {
        let proxy = match self.proxy {
            ProxyKind::Nginx => Proxy::Nginx,
            ProxyKind::Haproxy => Proxy::Haproxy,
        };
        expect::run_expectations(expectations, proxy, self.http, self.https).await
    }

    pub async fn stop(self) {
        self.standalone.stop().await;
    }
}

/// An address that nobody listens on just now, and that nobody is given again by this process: below
/// the ports that the system gives to outgoing connections, each port once.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no free port is left");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
