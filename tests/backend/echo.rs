//! The echo backend: what stands behind the proxy when a route is tried.
//!
//! It tells the client everything it saw of a request, as a [`Report`], so that a test (or a
//! person with curl) can judge what the proxy made of it. It speaks HTTP/1.1, HTTP/2, gRPC and
//! WebSocket on every port, with or without TLS, and does odd things on request (`control.rs`).
//!
//! It must never know anything about Vigie or about the proxies: it is the outside world.
//!
//! The test binary and the example `backend` both include this file by its path, which is why its
//! own modules lie beside it and not in a folder of its name.

mod answer;
mod control;
mod request_line;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

pub use control::duration;
pub use tls::Identity;

use request_line::Recorded;

/// The response header that carries the report where the body is something else.
pub const REPORT_HEADER: &str = "x-echo-report";

/// How many requests [`Echo::seen`] remembers; a backend may run for days under `make run`.
const REMEMBERED: usize = 10_000;

/// How a port treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// HTTP/1.1 and HTTP/2 by prior knowledge, told apart by the first bytes. Also speaks gRPC.
    Http,
    /// The same under TLS, with ALPN for both.
    Https,
    /// Accepts a connection and closes it at once.
    Close,
}

/// One listening address and how it behaves: `127.1.0.1:8080` or `127.1.0.1:8443=https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    pub mode: Mode,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, mode) = text.split_once('=').unwrap_or((text, "http"));
        let mode = match mode {
            // gRPC is HTTP/2 with a content type, so its modes are other words for the same.
            "http" | "grpc" => Mode::Http,
            "https" | "grpcs" => Mode::Https,
            "close" => Mode::Close,
            other => {
                return Err(format!(
                    "`{other}` is no mode: http, https, grpc, grpcs or close"
                ));
            }
        };
        let address = address
            .parse()
            .map_err(|_| format!("`{address}` is no address with a port"))?;
        Ok(Listen { address, mode })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Http => "http",
            Mode::Https => "https",
            Mode::Close => "close",
        };
        write!(f, "{}={mode}", self.address)
    }
}

/// What the backend saw of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub backend: String,
    /// The address that accepted the connection.
    pub address: SocketAddr,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
    pub tls: bool,
    pub sni: Option<String>,
    /// The subject of the certificate that the proxy showed, if we asked for one.
    pub client_certificate: Option<String>,
    pub method: String,
    /// The request target, byte for byte.
    pub path: String,
    pub host: Option<String>,
    /// Every value of every header, by its name in lower case.
    pub headers: BTreeMap<String, Vec<String>>,
    pub body_bytes: u64,
    /// Which connection since the start, so that reuse can be seen.
    pub connection: u64,
}

/// A running echo backend. Dropping it closes its ports before it returns.
pub struct Echo {
    listens: Vec<Listen>,
    seen: Arc<Mutex<Vec<Report>>>,
    runtime: Option<Runtime>,
}

impl Echo {
    /// Takes the ports before it returns, so that a client may connect at once.
    pub fn start(name: &str, listens: &[Listen], identity: &Identity) -> io::Result<Echo> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("echo-{name}"))
            .enable_all()
            .build()?;
        let acceptor = TlsAcceptor::from(identity.server_config()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicU64::new(0));
        let mut bound = Vec::new();
        for listen in listens {
            let listener = TcpListener::bind(listen.address)
                .map_err(|e| io::Error::new(e.kind(), format!("listening on {listen}: {e}")))?;
            let address = listener.local_addr()?;
            listener.set_nonblocking(true)?;
            let _inside = runtime.enter();
            let port = Port {
                name: name.to_owned(),
                mode: listen.mode,
                acceptor: acceptor.clone(),
                seen: seen.clone(),
                connections: connections.clone(),
            };
            runtime.spawn(port.serve(tokio::net::TcpListener::from_std(listener)?));
            bound.push(Listen { address, ..*listen });
        }
        Ok(Echo {
            listens: bound,
            seen,
            runtime: Some(runtime),
        })
    }

    /// The listening addresses in the order asked for, with the real port where 0 was asked.
    pub fn listens(&self) -> &[Listen] {
        &self.listens
    }

    /// The requests so far, oldest first.
    pub fn seen(&self) -> Vec<Report> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // A thread of its own, because a runtime must not be shut down inside another one.
        if let Some(runtime) = self.runtime.take() {
            let ending =
                std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(1)));
            let _ = ending.join();
        }
    }
}

/// One listening port; cloned for each of its connections.
#[derive(Clone)]
struct Port {
    name: String,
    mode: Mode,
    acceptor: TlsAcceptor,
    seen: Arc<Mutex<Vec<Report>>>,
    connections: Arc<AtomicU64>,
}

/// What is known of a connection before its first request.
struct Peer {
    name: String,
    address: SocketAddr,
    connection: u64,
    tls: bool,
    sni: Option<String>,
    client_certificate: Option<String>,
    seen: Arc<Mutex<Vec<Report>>>,
}

impl Peer {
    fn remember(&self, report: &Report) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == REMEMBERED {
            seen.remove(0);
        }
        seen.push(report.clone());
    }
}

impl Port {
    async fn serve(self, listener: tokio::net::TcpListener) {
        loop {
            // A failed accept is the client's affair (it went away), or passes (no descriptors).
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            if self.mode != Mode::Close {
                tokio::spawn(self.clone().connection(stream));
            }
        }
    }

    /// A connection that fails is the proxy's to report; there is nobody here to tell.
    async fn connection(self, stream: TcpStream) {
        let Ok(address) = stream.local_addr() else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let mut peer = Peer {
            name: self.name,
            address,
            connection: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            tls: false,
            sni: None,
            client_certificate: None,
            seen: self.seen,
        };
        if self.mode == Mode::Https {
            let Ok(stream) = self.acceptor.accept(stream).await else {
                return;
            };
            let (_, session) = stream.get_ref();
            peer.tls = true;
            peer.sni = session.server_name().map(str::to_owned);
            peer.client_certificate = session
                .peer_certificates()
                .and_then(|chain| chain.first())
                .and_then(tls::subject);
            speak(stream, peer).await;
        } else {
            speak(stream, peer).await;
        }
    }
}

async fn speak<S>(stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = Arc::new(peer);
    let (stream, line) = Recorded::new(stream);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Large and numerous headers are for the proxy to refuse, not for us.
    builder.http1().max_headers(1000);
    builder.http2().max_header_list_size(1 << 20);
    let service = service_fn(move |request| answer::answer(request, line.clone(), peer.clone()));
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}
