//! Clients that let a test control every byte of a request and see all of the answer.
//!
//! A library client would normalise paths, merge headers and hide certificates, which is just
//! what tests of a proxy are about. HTTP/1.1 is written by hand; HTTP/2 uses the `h2` crate, which
//! adds nothing of its own. Every exchange has a deadline, and every error says what was going on.

mod answer;
pub mod http1;
pub mod http2;
pub mod proxy_protocol;
pub mod tls;
pub mod websocket;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::echo::{REPORT_HEADER, Report};
use proxy_protocol::ProxyHeader;
use tls::{Handshake, Tls};

pub use http1::Http1;
pub use http2::Http2;
pub use websocket::{Handshaken, WebSocket};

/// Where to connect and how, up to the first byte of HTTP.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// The address to connect from, where it matters.
    pub source: Option<IpAddr>,
    /// A PROXY protocol header to send first.
    pub proxy_header: Option<ProxyHeader>,
    pub tls: Option<Tls>,
    /// How long one exchange, or the connecting, may take as a whole.
    pub timeout: Duration,
}

impl Target {
    pub fn plain(address: SocketAddr) -> Target {
        Target {
            address,
            source: None,
            proxy_header: None,
            tls: None,
            timeout: Duration::from_secs(5),
        }
    }

    pub fn tls(address: SocketAddr, tls: Tls) -> Target {
        Target {
            tls: Some(tls),
            ..Target::plain(address)
        }
    }
}

/// A request as it will be sent: nothing is added but the framing of the body.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Sent as it is, whether it is a sensible request target or not.
    pub target: String,
    /// In this order, with this spelling. HTTP/2 takes `:authority` from `Host`.
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// Replaces the request line of HTTP/1, for requests that are none.
    pub line: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    /// With a `Content-Length`.
    Sized(Vec<u8>),
    /// With chunked encoding, a chunk each; in HTTP/2 a data frame each.
    Chunked(Vec<Vec<u8>>),
}

impl Request {
    pub fn new(method: &str, host: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), host.to_owned())],
            body: Body::None,
            line: None,
        }
    }

    pub fn get(host: &str, target: &str) -> Request {
        Request::new("GET", host, target)
    }

    pub fn post(host: &str, target: &str, body: impl Into<Vec<u8>>) -> Request {
        let mut request = Request::new("POST", host, target);
        request.body = Body::Sized(body.into());
        request
    }

    /// One more header; the same name may come again.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Response {
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: String,
    pub status: u16,
    /// In the order and spelling of the wire.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// What the handshake of the connection settled, if it had one.
    pub tls: Option<Handshake>,
    /// From the first byte sent to the first byte of the body.
    pub body_started: Duration,
    /// From the first byte sent to the last one received.
    pub took: Duration,
}

impl Response {
    /// The first value of a header.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Every value of a header, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(&self.headers, name)
    }

    /// The first value of a trailer. gRPC puts its status into the headers when there is no body.
    pub fn trailer<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let trailer = named(&self.trailers, name).next();
        trailer.or_else(|| named(&self.headers, name).next())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the echo backend saw; nothing where the proxy answered by itself.
    pub fn report(&self) -> Option<Report> {
        match self.header(REPORT_HEADER) {
            Some(json) => serde_json::from_str(json).ok(),
            None => serde_json::from_slice(&self.body).ok(),
        }
    }
}

fn named<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// One request over a connection of its own.
pub async fn exchange(target: &Target, request: &Request) -> anyhow::Result<Response> {
    Http1::connect(target).await?.send(request).await
}

/// One HTTP/2 request over a connection of its own.
pub async fn exchange_http2(target: &Target, request: &Request) -> anyhow::Result<Response> {
    Http2::connect(target).await?.send(request).await
}

/// Bytes to and from the proxy, whatever they are wrapped in.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection on which HTTP may begin.
struct Opened {
    wire: Box<dyn Wire>,
    handshake: Option<Handshake>,
}

async fn open(target: &Target) -> anyhow::Result<Opened> {
    let deadline = Instant::now() + target.timeout;
    let address = target.address;
    let from = target.source.map(|ip| format!(" from {ip}"));
    let connecting = format!("connecting to {address}{}", from.unwrap_or_default());
    let mut stream = within(deadline, &connecting, connect(target)).await?;
    if let Some(header) = &target.proxy_header {
        let bytes = header.encode(address);
        let sending = format!("sending a PROXY header to {address}");
        within(deadline, &sending, stream.write_all(&bytes)).await?;
    }
    let Some(tls) = &target.tls else {
        return Ok(Opened {
            wire: Box::new(stream),
            handshake: None,
        });
    };
    let sni = tls.sni.as_deref().unwrap_or("none");
    let doing = format!("TLS handshake with {address} (SNI {sni})");
    let stream = within(deadline, &doing, tls.connect(stream)).await?;
    Ok(Opened {
        handshake: Some(Handshake::of(stream.get_ref().1)),
        wire: Box::new(stream),
    })
}

async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let socket = match target.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = target.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(target.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries an act out before the deadline, and says which act it was if it fails.
pub async fn within<T, E: Into<anyhow::Error>>(
    deadline: Instant,
    doing: &str,
    act: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    match timeout_at(deadline, act).await {
        Ok(done) => done.map_err(Into::into).with_context(|| doing.to_owned()),
        Err(_) => Err(anyhow!("time was up while {doing}")),
    }
}
