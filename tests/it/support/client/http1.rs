//! HTTP/1.1 by hand, over one connection that may carry several requests.

use std::fmt::Write as _;
use std::io;
use std::pin::pin;
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Reader};
use super::tls::Handshake;
use super::{Body, Opened, Request, Response, Target, Wire, open, within};

/// A connection kept open between requests, as long as the proxy keeps it.
pub struct Http1 {
    pub(super) reader: Reader,
    pub(super) writer: WriteHalf<Box<dyn Wire>>,
    handshake: Option<Handshake>,
    target: Target,
    /// An answer came before all of its request was sent: the next one would be taken for the rest.
    half_sent: bool,
}

/// What a proxy did with a body that was sent piece by piece.
pub struct Streamed {
    pub response: Response,
    /// Every piece came back before the next one was sent.
    pub at_once: bool,
}

impl Http1 {
    pub async fn connect(target: &Target) -> anyhow::Result<Http1> {
        let Opened { wire, handshake } = open(target).await?;
        let (half, writer) = tokio::io::split(wire);
        Ok(Http1 {
            reader: Reader::new(half),
            writer,
            handshake,
            target: target.clone(),
            half_sent: false,
        })
    }

    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_ref()
    }

    /// Sends a request and reads its answer, which may come before all of the body is sent.
    pub async fn send(&mut self, request: &Request) -> anyhow::Result<Response> {
        ensure!(!self.half_sent, "the last request was answered half-way");
        let began = Instant::now();
        let deadline = began + self.target.timeout;
        let bytes = encode(request);
        let subject = subject(request);
        let waiting = format!("waiting for the answer to {subject}");
        let mut unsent = None;
        let response = {
            let mut sending = pin!(write(&mut self.writer, &bytes));
            let mut receiving = pin!(Answer::begin(&mut self.reader, &request.method, began).end());
            let answer = async {
                tokio::select! {
                    biased;
                    sent = &mut sending => unsent = sent.err(),
                    response = &mut receiving => {
                        self.half_sent = true;
                        return response;
                    }
                }
                receiving.await
            };
            within(deadline, &waiting, answer).await
        };
        let mut response = match (response, unsent) {
            (Err(error), Some(unsent)) => {
                return Err(error.context(format!("sending {subject} failed ({unsent})")));
            }
            (response, _) => response?,
        };
        response.tls = self.handshake.clone();
        Ok(response)
    }

    /// Sends the pieces one by one to a backend that echoes them, each after the last came back.
    ///
    /// When a piece is not back within `patience`, the rest is sent without waiting.
    pub async fn stream(
        &mut self,
        request: &Request,
        pieces: &[String],
        patience: Duration,
    ) -> anyhow::Result<Streamed> {
        let began = Instant::now();
        let deadline = began + self.target.timeout;
        let doing = format!("streaming {}", subject(request));
        let streaming = self.pieces(request, pieces, patience, began);
        let mut streamed = within(deadline, &doing, streaming).await?;
        streamed.response.tls = self.handshake.clone();
        Ok(streamed)
    }

    async fn pieces(
        &mut self,
        request: &Request,
        pieces: &[String],
        patience: Duration,
        began: Instant,
    ) -> anyhow::Result<Streamed> {
        let head = Request {
            headers: [
                request.headers.clone(),
                vec![
                    ("Transfer-Encoding".into(), "chunked".into()),
                    ("X-Echo".into(), "stream=1".into()),
                ],
            ]
            .concat(),
            body: Body::None,
            ..request.clone()
        };
        let head = encode(&head);
        write(&mut self.writer, &head).await?;
        let mut answer = Answer::begin(&mut self.reader, &request.method, began);
        let mut expected = 0;
        let mut at_once = true;
        for piece in pieces {
            let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
            write(&mut self.writer, chunk.as_bytes()).await?;
            expected += piece.len();
            if at_once {
                let back = answer.until(expected);
                at_once = matches!(timeout(patience, back).await, Ok(Ok(())));
            }
        }
        write(&mut self.writer, b"0\r\n\r\n").await?;
        let response = answer.end().await?;
        Ok(Streamed { response, at_once })
    }
}

/// TLS may hold the end of what was written until it is flushed.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn subject(request: &Request) -> String {
    match &request.line {
        Some(line) => format!("`{line}`"),
        None => format!("`{} {}`", request.method, request.target),
    }
}

fn encode(request: &Request) -> Vec<u8> {
    let mut head = match &request.line {
        Some(line) => format!("{line}\r\n"),
        None => format!("{} {} HTTP/1.1\r\n", request.method, request.target),
    };
    for (name, value) in &request.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    // A test that frames the body itself wants to get it wrong.
    let framed = request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
    match &request.body {
        Body::Sized(body) if !framed => {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        Body::Chunked(_) if !framed => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    match &request.body {
        Body::None => {}
        Body::Sized(body) => bytes.extend(body),
        Body::Chunked(chunks) => {
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    bytes
}
