//! What a request may ask the backend to do, in its query or in the header `x-echo`.
//!
//! | key | effect |
//! |---|---|
//! | `status=503` | this status |
//! | `header=name:value` | one more response header; may be repeated |
//! | `location=URL` | a `Location` header, and status 302 unless another is asked for |
//! | `sleep=1500ms` | wait before answering |
//! | `chunks=5`, `gap=100ms` | a body of so many chunks, with a pause between them |
//! | `body-bytes=N` | a body of so many bytes |
//! | `header-bytes=N` | a response header of so many bytes |
//! | `grpc-status=N` | this status in the trailers of a gRPC answer |
//! | `stream=1` | send each piece of the request body back as it arrives |
//! | `abort=1` | close the connection without an answer |
//!
//! The header says the same as a query would: `x-echo: status=503&sleep=1s`. Other keys belong to
//! the test and are left alone.

use std::time::Duration;

/// The parsed wishes of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Control {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub location: Option<String>,
    pub sleep: Duration,
    pub chunks: Option<usize>,
    pub gap: Duration,
    pub body_bytes: Option<usize>,
    pub header_bytes: Option<usize>,
    pub grpc_status: u32,
    pub stream: bool,
    pub abort: bool,
}

impl Control {
    /// Takes over what `query` says; the error names the pair that makes no sense.
    pub fn read(&mut self, query: &str) -> Result<(), String> {
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set(key, &percent_decoded(value))
                .ok_or_else(|| format!("echo backend: cannot do `{pair}`\n"))?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "status" => self.status = Some(value.parse().ok()?),
            "header" => {
                let (name, value) = value.split_once(':')?;
                self.headers
                    .push((name.to_owned(), value.trim().to_owned()));
            }
            "location" => self.location = Some(value.to_owned()),
            "sleep" => self.sleep = duration(value)?,
            "chunks" => self.chunks = Some(value.parse().ok()?),
            "gap" => self.gap = duration(value)?,
            "body-bytes" => self.body_bytes = Some(value.parse().ok()?),
            "header-bytes" => self.header_bytes = Some(value.parse().ok()?),
            "grpc-status" => self.grpc_status = value.parse().ok()?,
            "stream" => self.stream = value == "1",
            "abort" => self.abort = value == "1",
            _ => {}
        }
        Some(())
    }
}

/// `250ms`, `2s` or `0.5s`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * unit).ok()
}

/// A `%` that begins no escape stays as it is: the tests send such things on purpose.
fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                decoded.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = after;
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Only for what `is_ascii_hexdigit` has let through.
fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
