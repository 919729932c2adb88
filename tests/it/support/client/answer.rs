//! Reads an HTTP/1.1 answer piece by piece, so that a test can look at it while it arrives.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::time::Instant;

use super::{Response, Wire, named};

/// The incoming side. Its buffer outlives every call, so that a read may be given up half-way.
pub struct Reader {
    pub half: ReadHalf<Box<dyn Wire>>,
    pub buffer: Vec<u8>,
}

/// A response up to its body.
struct Head {
    version: String,
    status: u16,
    headers: Vec<(String, String)>,
}

/// A piece of a chunked body.
enum Chunk {
    Data(Vec<u8>),
    End(Vec<(String, String)>),
}

/// How the end of a body is told.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// An answer being read. Giving a read up loses nothing.
pub struct Answer<'a> {
    reader: &'a mut Reader,
    method: &'a str,
    began: Instant,
    head: Option<(Head, Framing)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    body_started: Option<Duration>,
    ended: bool,
}

impl<'a> Answer<'a> {
    pub fn begin(reader: &'a mut Reader, method: &'a str, began: Instant) -> Self {
        Answer {
            reader,
            method,
            began,
            head: None,
            body: Vec::new(),
            trailers: Vec::new(),
            body_started: None,
            ended: false,
        }
    }

    /// Reads until that many bytes of the body are there.
    pub async fn until(&mut self, bytes: usize) -> anyhow::Result<()> {
        while self.body.len() < bytes {
            ensure!(!self.ended, "the body ended too early");
            self.step().await?;
        }
        Ok(())
    }

    pub async fn end(mut self) -> anyhow::Result<Response> {
        while !self.ended {
            self.step().await?;
        }
        let (head, _) = self.head.context("a body without a head")?;
        let took = self.began.elapsed();
        Ok(Response {
            version: head.version,
            status: head.status,
            headers: head.headers,
            body: self.body,
            trailers: self.trailers,
            tls: None,
            body_started: self.body_started.unwrap_or(took),
            took,
        })
    }

    /// Reads the next thing: the head, some of the body, or its end.
    async fn step(&mut self) -> anyhow::Result<()> {
        let Some((_, framing)) = &mut self.head else {
            let head = self.reader.head().await?;
            let framing = framing(&head, self.method)?;
            self.ended = matches!(framing, Framing::Length(0));
            self.head = Some((head, framing));
            return Ok(());
        };
        let piece = match framing {
            Framing::Length(left) => {
                let piece = self.reader.some(*left).await?;
                *left -= piece.len();
                self.ended = *left == 0;
                piece
            }
            Framing::Chunked => match self.reader.chunk().await? {
                Chunk::Data(piece) => piece,
                Chunk::End(trailers) => {
                    self.trailers = trailers;
                    self.ended = true;
                    Vec::new()
                }
            },
            Framing::UntilClose => match self.reader.some(usize::MAX).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended = true;
                    Vec::new()
                }
                piece => piece?,
            },
        };
        if !piece.is_empty() && self.body_started.is_none() {
            self.body_started = Some(self.began.elapsed());
        }
        self.body.extend(piece);
        Ok(())
    }
}

fn framing(head: &Head, method: &str) -> anyhow::Result<Framing> {
    let first = |name| named(&head.headers, name).next();
    if method == "HEAD" || matches!(head.status, 101 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if first("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked);
    }
    match first("content-length") {
        Some(length) => Ok(Framing::Length(
            length
                .parse()
                .with_context(|| format!("Content-Length `{length}`"))?,
        )),
        None => Ok(Framing::UntilClose),
    }
}

impl Reader {
    pub fn new(half: ReadHalf<Box<dyn Wire>>) -> Reader {
        let buffer = Vec::new();
        Reader { half, buffer }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// What is there of the next `most` bytes, but at least one.
    async fn some(&mut self, most: usize) -> io::Result<Vec<u8>> {
        while self.buffer.is_empty() {
            self.fill().await?;
        }
        let length = most.min(self.buffer.len());
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything up to and with `end`.
    async fn through(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                let bytes: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            self.fill().await?;
        }
    }

    /// The final head: interim answers such as 100 and 103 are passed over.
    async fn head(&mut self) -> anyhow::Result<Head> {
        loop {
            if self.buffer.is_empty() {
                match self.fill().await {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        bail!("the connection was closed without an answer")
                    }
                    filled => filled?,
                }
            }
            let text = self.through(b"\r\n\r\n").await?;
            let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
            let mut words = line.split(' ');
            let version = words.next().unwrap_or_default().to_owned();
            let status = words.next().and_then(|word| word.parse().ok());
            let status: u16 = status.with_context(|| format!("status line `{line}`"))?;
            if status >= 200 || status == 101 {
                return Ok(Head {
                    version,
                    status,
                    headers: parsed(rest),
                });
            }
        }
    }

    /// The next chunk as a whole, or the end of the body with its trailers.
    async fn chunk(&mut self) -> anyhow::Result<Chunk> {
        loop {
            if let Some(chunk) = self.buffered_chunk()? {
                return Ok(chunk);
            }
            self.fill().await?;
        }
    }

    fn buffered_chunk(&mut self) -> anyhow::Result<Option<Chunk>> {
        let Some(line) = find(&self.buffer, b"\r\n") else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&self.buffer[..line]);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .with_context(|| format!("`{text}` where a chunk should begin"))?;
        if size > 0 {
            let end = line + 2 + size;
            if self.buffer.len() < end + 2 {
                return Ok(None);
            }
            let data = self.buffer[line + 2..end].to_vec();
            self.buffer.drain(..end + 2);
            return Ok(Some(Chunk::Data(data)));
        }
        // The line end of the last size is also the first half of an end without trailers.
        let Some(end) = find(&self.buffer[line..], b"\r\n\r\n") else {
            return Ok(None);
        };
        let ended: Vec<u8> = self.buffer.drain(..line + end + 4).collect();
        let trailers = parsed(&String::from_utf8_lossy(&ended[line..]));
        Ok(Some(Chunk::End(trailers)))
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn parsed(lines: &str) -> Vec<(String, String)> {
    lines
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}
