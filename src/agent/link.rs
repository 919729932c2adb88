//! Between the agent that reads the cluster and the loader that owns the proxy, where they are two
//! processes, as in a pod they are two containers: publications go one way and reports the other, over a
//! Unix socket. The loader has no rights in the cluster, so whoever gets hold of the proxy gets none.
//!
//! Each line is a JSON object. The agent sends objects that are new, and after them what stands:
//!
//! ```text
//! {"shard":{"name":"vigie-nginx-91ab…","private":true,"data":{…}}}
//! {"endpoints":{"name":"vigie-nginx-endpoints-0f","data":{…}}}
//! {"stands":{"index":{…},"shards":["vigie-nginx-91ab…"],"endpoints":["vigie-nginx-endpoints-0f"]}}
//! ```
//!
//! The loader answers with the data of a report (see [`api::report`](crate::api::report)), once at first
//! and whenever it has changed. Both are of one version: they come from one image.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api::report::Report;
use crate::model::PrivatePem;
use crate::render::wire::{Plain, Shard};
use crate::telemetry::chain;

use super::follow::Followed;
use super::mirror::Mirror;

/// No report is longer, in octets: what it quotes of a proxy is cut to less.
const LONGEST_REPORT: u64 = 1 << 20;
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// What goes to the loader. It may hold keys, so it has no debug output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Frame {
    Shard {
        name: String,
        private: bool,
        data: Plain,
    },
    Endpoints {
        name: String,
        data: Plain,
    },
    Stands {
        index: Plain,
        shards: Vec<String>,
        endpoints: Vec<String>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot listen on {socket}")]
    Listen { socket: PathBuf, source: io::Error },
    #[error("the other side has hung up")]
    HungUp,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("cannot read what is handed over")]
    Parse(#[from] serde_json::Error),
    #[error("{0} is said to stand and was not handed over")]
    Missing(String),
    #[error("a report is longer than {LONGEST_REPORT} octets")]
    Long,
}

/// Listens in the place of whoever listened before.
pub fn listen(socket: &Path) -> Result<UnixListener, LinkError> {
    let failed = |source| {
        let socket = socket.to_path_buf();
        LinkError::Listen { socket, source }
    };
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    UnixListener::bind(socket).map_err(failed)
}

/// The agent's side: hands each mirror over to the loader, and takes its reports; a loader that is gone
/// runs nothing. The newest that connects is the one: there is one proxy.
pub async fn hand_over(
    listener: UnixListener,
    mirrors: watch::Receiver<Option<Mirror>>,
    reports: watch::Sender<Option<Report>>,
) {
    let mut loader = None;
    loop {
        let serving = async {
            match loader.take() {
                Some(stream) => serve_loader(stream, mirrors.clone(), &reports).await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            Err(error) = serving => {
                tracing::warn!(error = %chain(&error), "the loader is gone");
                None
            }
        };
        reports.send_modify(|report| {
            if let Some(report) = report {
                (report.revision, report.refused) = (None, None);
            }
        });
        match accepted {
            Some(Ok((stream, _))) => loader = Some(stream),
            Some(Err(error)) => {
                tracing::warn!(%error, "a loader cannot connect");
                sleep(PAUSE).await;
            }
            None => {}
        }
    }
}

/// Ends when the loader is gone or sends what is no report.
async fn serve_loader(
    stream: UnixStream,
    mut mirrors: watch::Receiver<Option<Mirror>>,
    reports: &watch::Sender<Option<Report>>,
) -> Result<(), LinkError> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let sending = async {
        let mut sent = Mirror::default();
        loop {
            let newest = mirrors.borrow_and_update().clone();
            if let Some(mirror) = newest {
                for frame in frames(&sent, &mirror) {
                    write_line(&mut writing, &frame).await?;
                }
                sent = mirror;
            }
            if mirrors.changed().await.is_err() {
                return Err(LinkError::HungUp);
            }
        }
    };
    let receiving = async {
        loop {
            let data: Plain = serde_json::from_slice(&read_line(&mut reading).await?)?;
            match Report::read(&data) {
                Ok(report) => {
                    reports.send_replace(Some(report));
                }
                Err(error) => tracing::warn!(%error, "what the loader reports"),
            }
        }
    };
    tokio::select! {
        ended = sending => ended,
        ended = receiving => ended,
    }
}

/// What a loader lacks that has been sent this much.
fn frames(sent: &Mirror, now: &Mirror) -> Vec<Frame> {
    let shards = now.shards.iter();
    let shards = shards.filter(|(name, _)| !sent.shards.contains_key(*name));
    let shards = shards.map(|(name, shard)| Frame::shard(name, shard));
    let endpoints = now.endpoints.iter().filter(|(name, data)| {
        let known = sent.endpoints.get(*name);
        known.is_none_or(|known| !Arc::ptr_eq(known, data))
    });
    let endpoints = endpoints.map(|(name, data)| Frame::Endpoints {
        name: name.clone(),
        data: Plain::clone(data),
    });
    let stands = Frame::Stands {
        index: Plain::clone(&now.index),
        shards: now.shards.keys().cloned().collect(),
        endpoints: now.endpoints.keys().cloned().collect(),
    };
    shards.chain(endpoints).chain([stands]).collect()
}

impl Frame {
    fn shard(name: &str, shard: &Shard) -> Self {
        let (private, data) = match shard {
            Shard::Plain(data) => (false, data.clone()),
            Shard::Private(data) => {
                let reveal =
                    |(key, text): (&String, &PrivatePem)| (key.clone(), text.reveal().to_owned());
                (true, data.iter().map(reveal).collect())
            }
        };
        Self::Shard {
            name: name.to_owned(),
            private,
            data,
        }
    }
}

/// The loader's side: hands on what is handed over, and sends reports. Goes on for ever, also while there
/// is nobody to connect to.
pub async fn take_over(
    socket: PathBuf,
    mirrors: watch::Sender<Option<Mirror>>,
    reports: watch::Receiver<Option<Report>>,
    followed: watch::Sender<Followed>,
) {
    loop {
        let Err(error) = connected(&socket, &mirrors, reports.clone(), &followed).await;
        let words = chain(&error);
        let told = followed.send_if_modified(|followed| {
            let problem = Some(words.clone());
            let changed = followed.problem != problem;
            followed.problem = problem;
            changed
        });
        if told {
            tracing::warn!(error = %words, "nothing is handed over");
        }
        sleep(PAUSE).await;
    }
}

async fn connected(
    socket: &Path,
    mirrors: &watch::Sender<Option<Mirror>>,
    mut reports: watch::Receiver<Option<Report>>,
    followed: &watch::Sender<Followed>,
) -> Result<std::convert::Infallible, LinkError> {
    let (reading, mut writing) = UnixStream::connect(socket).await?.into_split();
    let mut reading = BufReader::new(reading);
    let receiving = async {
        let mut received = Received::default();
        loop {
            let mut line = Vec::new();
            if reading.read_until(b'\n', &mut line).await? == 0 {
                return Err(LinkError::HungUp);
            }
            if let Some(mirror) = received.take(serde_json::from_slice(&line)?)? {
                mirrors.send_replace(Some(mirror));
                followed.send_replace(Followed {
                    listed: true,
                    published: true,
                    problem: None,
                });
            }
        }
    };
    let sending = async {
        loop {
            let report = reports.borrow_and_update().clone();
            if let Some(report) = report {
                write_line(&mut writing, &report.write()).await?;
            }
            if reports.changed().await.is_err() {
                return Err(LinkError::HungUp);
            }
        }
    };
    tokio::select! {
        ended = receiving => ended,
        ended = sending => ended,
    }
}

/// What has been handed over so far on one connection.
#[derive(Default)]
struct Received {
    shards: BTreeMap<String, Arc<Shard>>,
    endpoints: BTreeMap<String, Arc<Plain>>,
}

impl Received {
    fn take(&mut self, frame: Frame) -> Result<Option<Mirror>, LinkError> {
        match frame {
            Frame::Shard {
                name,
                private,
                data,
            } => {
                let hide = |(key, text)| (key, PrivatePem::new(text));
                let shard = match private {
                    true => Shard::Private(data.into_iter().map(hide).collect()),
                    false => Shard::Plain(data),
                };
                self.shards.insert(name, Arc::new(shard));
                Ok(None)
            }
            Frame::Endpoints { name, data } => {
                self.endpoints.insert(name, Arc::new(data));
                Ok(None)
            }
            Frame::Stands {
                index,
                shards,
                endpoints,
            } => {
                self.shards = standing(&self.shards, shards)?;
                self.endpoints = standing(&self.endpoints, endpoints)?;
                Ok(Some(Mirror {
                    index: Arc::new(index),
                    shards: self.shards.clone(),
                    endpoints: self.endpoints.clone(),
                }))
            }
        }
    }
}

fn standing<T>(
    known: &BTreeMap<String, Arc<T>>,
    names: Vec<String>,
) -> Result<BTreeMap<String, Arc<T>>, LinkError> {
    let of_name = |name: String| match known.get(&name) {
        Some(object) => Ok((name, object.clone())),
        None => Err(LinkError::Missing(name)),
    };
    names.into_iter().map(of_name).collect()
}

async fn write_line(
    writing: &mut (impl AsyncWrite + Unpin),
    object: &impl Serialize,
) -> Result<(), LinkError> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    Ok(writing.write_all(&line).await?)
}

/// A line of somebody who is not to be trusted with our memory.
async fn read_line(reading: &mut (impl AsyncBufRead + Unpin)) -> Result<Vec<u8>, LinkError> {
    let mut line = Vec::new();
    let mut limited = reading.take(LONGEST_REPORT);
    let read = limited.read_until(b'\n', &mut line).await?;
    match (read, line.ends_with(b"\n")) {
        (0, _) => Err(LinkError::HungUp),
        (_, false) if line.len() as u64 == LONGEST_REPORT => Err(LinkError::Long),
        _ => Ok(line),
    }
}
