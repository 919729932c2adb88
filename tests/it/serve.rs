//! A real proxy that serves a model on free ports, under the same agent as `vigie run` has.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use vigie::agent::LoadKind;
use vigie::agent::driver::{Found, Output, Stream};
use vigie::model::Model;
use vigie::render::ProxyKind;
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
        standalone
            .load(model)
            .await
            .map_err(|error| error.to_string())?;
        let loaded = timeout(PATIENCE, loaded(&mut standalone)).await;
        loaded.map_err(|_| "it was not loaded in time".to_owned())??;
        Ok(Self {
            standalone,
            proxy,
            http,
            https,
        })
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

async fn loaded(standalone: &mut Standalone) -> Result<(), String> {
    loop {
        match standalone.told().await {
            Some(Told::Load(load)) => match load.kind {
                kind if kind.is_loaded() => return Ok(()),
                LoadKind::Refused { words, .. } => return Err(format!("refused: {words}")),
                LoadKind::Failed { words } => return Err(format!("failed: {words}")),
                _ => {}
            },
            Some(Told::Name(_)) => {}
            None => return Err("the agent has ended".into()),
        }
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
