//! The request line as it came over the wire.
//!
//! hyper refuses targets with odd bytes and drops fragments. What the proxy really sent is the very
//! thing under test, so the first line of each HTTP/1 request is noted as it passes, and hyper
//! gets it with every odd byte replaced.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that notes request lines.
pub struct Recorded<S> {
    stream: S,
    line: RequestLine,
}

/// The line of the request being answered, shared between the connection and its service.
#[derive(Clone, Default)]
pub struct RequestLine(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    bytes: Vec<u8>,
    complete: bool,
}

/// How an HTTP/2 connection begins. It has no other lines.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

impl<S> Recorded<S> {
    pub fn new(stream: S) -> (Self, RequestLine) {
        let line = RequestLine::default();
        let recorded = Recorded {
            stream,
            line: line.clone(),
        };
        (recorded, line)
    }
}

impl RequestLine {
    /// The target of the present request, or nothing where requests were pipelined.
    pub fn target(&self) -> Option<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.complete {
            return None;
        }
        let line = String::from_utf8_lossy(&noted.bytes);
        let (_, rest) = line.split_once(' ')?;
        let (target, _) = rest.rsplit_once(' ')?;
        Some(target.to_owned())
    }

    /// To be called when the request's body has ended: what is read from now on is a new head.
    /// Never after an upgrade, when no other head comes.
    pub fn expect_next(&self) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.bytes != HTTP2 {
            *noted = Noted::default();
        }
    }

    fn note(&self, read: &mut [u8]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in read {
            if noted.complete {
                return;
            }
            match *byte {
                // Empty lines before a request are allowed and mean nothing.
                b'\r' => {}
                b'\n' => noted.complete = !noted.bytes.is_empty(),
                seen => {
                    let odd = !seen.is_ascii_alphanumeric() && !b" -._~/?&=%:*".contains(&seen);
                    // A method that is none tells hyper that this is no HTTP at all.
                    if odd && noted.bytes.contains(&b' ') {
                        *byte = b'_';
                    }
                    noted.bytes.push(seen);
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.line.note(&mut buffer.filled_mut()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
