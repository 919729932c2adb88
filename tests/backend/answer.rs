//! Answers one request: a report of what was seen, in the shape that the request asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::control::Control;
use super::request_line::RequestLine;
use super::{Peer, REPORT_HEADER, Report};

type Body = BoxBody<Bytes, Gone>;

/// The other side went away, or asked us to. hyper closes the connection when it gets this.
#[derive(Debug, thiserror::Error)]
#[error("the connection is given up")]
pub struct Gone;

pub async fn answer(
    mut request: Request<Incoming>,
    line: RequestLine,
    peer: Arc<Peer>,
) -> Result<Response<Body>, Gone> {
    let mut report = report(&request, &line, &peer);
    let control = match control(&report) {
        Ok(control) => control,
        Err(complaint) => return Ok(refusal(complaint)),
    };
    let is_grpc = header_starts_with(request.headers(), "content-type", "application/grpc");
    let wants_websocket = header_starts_with(request.headers(), "upgrade", "websocket");
    if control.abort {
        return Err(Gone);
    }
    if wants_websocket || control.stream {
        sleep(control.sleep).await;
        peer.remember(&report);
        let mut response = if wants_websocket {
            websocket(&mut request)
        } else {
            streamed(request.into_body(), line)
        };
        add_headers(response.headers_mut(), &control, Some(&report))?;
        return Ok(response);
    }
    let body = read(request.body_mut(), is_grpc).await?;
    line.expect_next();
    report.body_bytes = body.length;
    peer.remember(&report);
    sleep(control.sleep).await;
    if is_grpc {
        return grpc(body.kept, &control, &report);
    }
    plain(&control, &report)
}

fn report(request: &Request<Incoming>, line: &RequestLine, peer: &Peer) -> Report {
    let (protocol, path) = match request.version() {
        Version::HTTP_2 => ("HTTP/2", None),
        Version::HTTP_10 => ("HTTP/1.0", line.target()),
        _ => ("HTTP/1.1", line.target()),
    };
    let uri = request.uri();
    let parsed = || uri.path_and_query().map(ToString::to_string);
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.to_string()).or_default().push(value);
    }
    let host = headers.get("host").and_then(|values| values.first());
    Report {
        backend: peer.name.clone(),
        address: peer.address,
        protocol: protocol.to_owned(),
        tls: peer.tls,
        sni: peer.sni.clone(),
        client_certificate: peer.client_certificate.clone(),
        method: request.method().to_string(),
        path: path.or_else(parsed).unwrap_or_default(),
        host: host
            .cloned()
            .or_else(|| uri.authority().map(ToString::to_string)),
        headers,
        body_bytes: 0,
        connection: peer.connection,
    }
}

fn control(report: &Report) -> Result<Control, String> {
    let mut control = Control::default();
    if let Some((_, query)) = report.path.split_once('?') {
        control.read(query.split('#').next().unwrap_or(query))?;
    }
    for value in report.headers.get("x-echo").into_iter().flatten() {
        control.read(value)?;
    }
    Ok(control)
}

/// The length of a request body, and the body itself where it was wanted.
struct Read {
    length: u64,
    kept: Vec<u8>,
}

async fn read(body: &mut Incoming, keep: bool) -> Result<Read, Gone> {
    let mut read = Read {
        length: 0,
        kept: Vec::new(),
    };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Gone)?.into_data() {
            read.length += data.len() as u64;
            if keep {
                read.kept.extend_from_slice(&data);
            }
        }
    }
    Ok(read)
}

fn plain(control: &Control, report: &Report) -> Result<Response<Body>, Gone> {
    let json = || serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    let (kind, body, is_report) = match (control.chunks, control.body_bytes) {
        (Some(chunks), _) => ("text/plain", chunked(chunks, control.gap), false),
        (None, Some(bytes)) => ("text/plain", full(vec![b'x'; bytes]), false),
        (None, None) => ("application/json", full(json()), true),
    };
    let status = match (control.status, &control.location) {
        (Some(status), _) => status,
        (None, Some(_)) => 302,
        (None, None) => 200,
    };
    let Ok(status) = StatusCode::from_u16(status) else {
        return Ok(refusal(format!("echo backend: no status {status}\n")));
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let bodiless = report.method == Method::HEAD.as_str()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let in_header = (!is_report || bodiless).then_some(report);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    add_headers(headers, control, in_header)?;
    Ok(response)
}

/// Adds what the request asked for, and the report unless the body is the report.
fn add_headers(
    headers: &mut HeaderMap,
    control: &Control,
    report: Option<&Report>,
) -> Result<(), Gone> {
    if let Some(report) = report {
        let json = serde_json::to_string(report).map_err(|_| Gone)?;
        headers.insert(
            REPORT_HEADER,
            HeaderValue::try_from(json).map_err(|_| Gone)?,
        );
    }
    if let Some(bytes) = control.header_bytes {
        let filler = HeaderValue::try_from("x".repeat(bytes)).map_err(|_| Gone)?;
        headers.insert("x-filler", filler);
    }
    let location = control.location.iter();
    let location = location.map(|url| ("location".to_owned(), url.clone()));
    for (name, value) in control.headers.iter().cloned().chain(location) {
        let name = HeaderName::try_from(name).map_err(|_| Gone)?;
        let value = HeaderValue::try_from(value).map_err(|_| Gone)?;
        if name == header::CONTENT_TYPE {
            headers.remove(&name);
        }
        headers.append(name, value);
    }
    Ok(())
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed()
}

fn refusal(complaint: String) -> Response<Body> {
    let mut response = Response::new(full(complaint));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

fn chunked(chunks: usize, gap: std::time::Duration) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for number in 1..=chunks {
            if number > 1 {
                sleep(gap).await;
            }
            let chunk = Bytes::from(format!("chunk {number}\n"));
            if sender.send_data(chunk).await.is_err() {
                return;
            }
        }
    });
    body.boxed()
}

fn streamed(mut request: Incoming, line: RequestLine) -> Response<Body> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        while !request.is_end_stream() {
            match request.frame().await {
                None => break,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && sender.send_data(data).await.is_err()
                    {
                        return;
                    }
                }
                Some(Err(_)) => return sender.abort(Gone),
            }
        }
        line.expect_next();
    });
    Response::new(body.boxed())
}

/// Echoes the messages as they came, with the status in the trailers where gRPC wants it.
fn grpc(messages: Vec<u8>, control: &Control, report: &Report) -> Result<Response<Body>, Gone> {
    let (mut sender, body): (Sender<Bytes, Gone>, _) = Channel::new(2);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(control.grpc_status));
    tokio::spawn(async move {
        if sender.send_data(messages.into()).await.is_ok() {
            let _ = sender.send_trailers(trailers).await;
        }
    });
    let mut response = Response::new(body.boxed());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    add_headers(headers, control, Some(report))?;
    Ok(response)
}

/// Agrees to the upgrade and echoes every text and binary message until the other side closes.
fn websocket(request: &mut Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get("sec-websocket-key") else {
        return refusal("echo backend: no Sec-WebSocket-Key\n".to_owned());
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let stream = TokioIo::new(stream);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let wants_echo = matches!(message, Message::Text(_) | Message::Binary(_));
            if wants_echo && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert("sec-websocket-accept", accept);
    }
    response
}

fn header_starts_with(headers: &HeaderMap, name: &str, start: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.to_ascii_lowercase().starts_with(start))
}
