//! HTTP/2 over TLS or by prior knowledge, with trailers, and unary gRPC on top of it.

use anyhow::{Context, ensure};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::HeaderMap;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::http::uri::PathAndQuery;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::tls::Handshake;
use super::{Body, Opened, Request, Response, Target, open, within};

/// A connection on which requests may follow each other.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
    handshake: Option<Handshake>,
    target: Target,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2 {
    pub async fn connect(target: &Target) -> anyhow::Result<Http2> {
        let Opened { wire, handshake } = open(target).await?;
        if let Some(handshake) = &handshake {
            let chosen = handshake.alpn.as_deref();
            ensure!(
                chosen == Some("h2"),
                "the listener chose {chosen:?} and not h2"
            );
        }
        let deadline = Instant::now() + target.timeout;
        let doing = format!("beginning HTTP/2 with {}", target.address);
        let (requests, connection) = within(deadline, &doing, h2::client::handshake(wire)).await?;
        Ok(Http2 {
            requests,
            driver: tokio::spawn(connection),
            handshake,
            target: target.clone(),
        })
    }

    pub async fn send(&mut self, request: &Request) -> anyhow::Result<Response> {
        let deadline = Instant::now() + self.target.timeout;
        let doing = format!("HTTP/2 `{} {}`", request.method, request.target);
        let exchange = self.exchange(request);
        let mut response = within(deadline, &doing, exchange).await?;
        response.tls = self.handshake.clone();
        Ok(response)
    }

    /// One message there and one back; fails unless the answer is a whole message.
    pub async fn grpc(
        &mut self,
        host: &str,
        method: &str,
        message: &[u8],
    ) -> anyhow::Result<Unary> {
        let response = self.send(&grpc_request(host, method, message)).await?;
        Unary::of(response)
    }

    async fn exchange(&mut self, request: &Request) -> anyhow::Result<Response> {
        let began = Instant::now();
        let head = head(request, self.target.tls.is_some())?;
        let pieces = pieces(&request.body);
        let (answer, mut body) = {
            // Clones share the connection; waiting for readiness needs one by value.
            let mut requests = self.requests.clone().ready().await?;
            requests.send_request(head, pieces.is_empty())?
        };
        send_body(&mut body, pieces)?;
        receive(answer, began).await
    }
}

/// What came back of a unary call.
#[derive(Debug)]
pub struct Unary {
    pub response: Response,
    pub status: String,
    pub message: Option<Vec<u8>>,
}

impl Unary {
    /// Takes the gRPC parts out of a response.
    pub fn of(response: Response) -> anyhow::Result<Unary> {
        let status = response.trailer("grpc-status");
        let status = status.context("the answer has no grpc-status")?.to_owned();
        let message = match response.body.as_slice() {
            [] => None,
            [0, a, b, c, d, message @ ..] => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                ensure!(message.len() == length, "a broken gRPC message");
                Some(message.to_vec())
            }
            _ => anyhow::bail!("no plain gRPC message: {:?}", response.text()),
        };
        Ok(Unary {
            response,
            status,
            message,
        })
    }
}

/// `method` is the path of a gRPC method, such as `/pkg.Svc/Method`.
pub fn grpc_request(host: &str, method: &str, message: &[u8]) -> Request {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    let mut request = Request::new("POST", host, method)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body = Body::Chunked(vec![framed]);
    request
}

fn head(request: &Request, tls: bool) -> anyhow::Result<hyper::Request<()>> {
    let host = request
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let path = PathAndQuery::try_from(request.target.as_str())
        .with_context(|| format!("HTTP/2 cannot ask for `{}`", request.target))?;
    let mut uri = Uri::builder().path_and_query(path);
    if let Some((_, host)) = host {
        let scheme = if tls { "https" } else { "http" };
        uri = uri.scheme(scheme).authority(host.as_str());
    }
    let mut head = hyper::Request::builder()
        .method(request.method.as_str())
        .version(hyper::Version::HTTP_2)
        .uri(uri.build()?);
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("host") {
            head = head.header(name.as_str(), value.as_str());
        }
    }
    if let Body::Sized(body) = &request.body
        && !request.has_header("content-length")
    {
        head = head.header("content-length", body.len());
    }
    Ok(head.body(())?)
}

fn pieces(body: &Body) -> Vec<Bytes> {
    match body {
        Body::None => Vec::new(),
        Body::Sized(body) => vec![Bytes::copy_from_slice(body)],
        Body::Chunked(chunks) => chunks.iter().map(|c| Bytes::copy_from_slice(c)).collect(),
    }
}

/// Hands the whole body to the connection, which sends it as the proxy gives leave.
fn send_body(body: &mut SendStream<Bytes>, pieces: Vec<Bytes>) -> Result<(), h2::Error> {
    let count = pieces.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        body.send_data(piece, index + 1 == count)?;
    }
    Ok(())
}

async fn receive(answer: ResponseFuture, began: Instant) -> anyhow::Result<Response> {
    let (head, mut stream): (_, RecvStream) = answer.await?.into_parts();
    let mut body = Vec::new();
    let mut body_started = None;
    while let Some(data) = stream.data().await {
        let data = data.context("reading the body")?;
        stream.flow_control().release_capacity(data.len())?;
        if !data.is_empty() && body_started.is_none() {
            body_started = Some(began.elapsed());
        }
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await.context("reading the trailers")?;
    let took = began.elapsed();
    Ok(Response {
        version: "HTTP/2".to_owned(),
        status: head.status.as_u16(),
        headers: pairs(&head.headers),
        body,
        trailers: trailers.as_ref().map(pairs).unwrap_or_default(),
        tls: None,
        body_started: body_started.unwrap_or(took),
        took,
    })
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    };
    headers.iter().map(pair).collect()
}
