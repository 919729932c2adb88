//! HAProxy as a child process in master-worker mode: reloads by the master's socket, whose reply
//! carries the result; proof by the revision that the new worker's own socket tells.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::plan::Plan;
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::haproxy::{
    ADMIN_SOCKET, CONFIGURATION, REVISION_QUESTION, STATUS_SOCKET, revision_shown,
};

use super::directory::Directory;
use super::driver::{Driver, DriverError, Ended, Output, Verdict, status_words};
use super::process::{self, GLANCE, Process};
use super::words::Refusal;

/// Thousands of certificates take some seconds to come up.
const PROOF: Duration = Duration::from_secs(30);

/// A reply comes when the new worker has come up or failed, which a port in use delays by 2 s.
const REPLY: Duration = Duration::from_secs(60);

pub struct Haproxy {
    binary: PathBuf,
    current: PathBuf,
    run: PathBuf,
    output: Output,
    process: Option<Process>,
}

impl Haproxy {
    const MASTER_SOCKET: &str = "master.sock";

    pub fn new(binary: PathBuf, directory: &Directory, output: Output) -> Self {
        Self {
            binary,
            current: directory.current(),
            run: directory.run(),
            output,
            process: None,
        }
    }

    /// One command by a connection of its own: kept ones stay with the old worker on a reload. The
    /// connection is not half-closed, which would end it before a reload has replied.
    async fn ask(&self, socket: PathBuf, command: &str) -> Result<String, DriverError> {
        let ask = async {
            let mut stream = UnixStream::connect(&socket).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await?;
            Ok(reply)
        };
        let reply = timeout(REPLY, ask).await;
        reply
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| DriverError::Ask {
                proxy: ProxyKind::Haproxy,
                socket: socket.clone(),
                source,
            })
    }

    /// The worker's socket; the name is relative to the bundle, whose `run` is ours.
    fn admin_socket(&self) -> PathBuf {
        self.current.join(ADMIN_SOCKET)
    }

    fn master_socket(&self) -> PathBuf {
        self.run.join(Self::MASTER_SOCKET)
    }

    /// Sockets stay after the end of a process that could not remove them.
    fn remove_sockets(&self) {
        for socket in [ADMIN_SOCKET, STATUS_SOCKET] {
            let _ = std::fs::remove_file(self.current.join(socket));
        }
        let _ = std::fs::remove_file(self.master_socket());
    }

    /// `-f FILE` for each part of the configuration.
    fn configuration() -> impl Iterator<Item = &'static str> {
        CONFIGURATION.into_iter().flat_map(|file| ["-f", file])
    }

    async fn prove(&mut self, bundle: &Bundle) -> Result<(), String> {
        let revision = revision_shown(bundle).unwrap_or_default();
        let expected = format!("value=\"{revision}\"");
        let deadline = Instant::now() + PROOF;
        loop {
            let Some(process) = &mut self.process else {
                return Err("it is not running".into());
            };
            if let Some(status) = process.is_over() {
                let ended = process.ended().await;
                let said = process.said_since(0).join("\n");
                self.process = None;
                return Err(match ended.words {
                    Some(_) => said,
                    None => status_words(status),
                });
            }
            let answer = self.ask(self.admin_socket(), REVISION_QUESTION).await;
            if answer.is_ok_and(|answer| answer.contains(&expected)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let after = PROOF.as_secs();
                return Err(format!("the new revision is not answered after {after} s"));
            }
            sleep(GLANCE).await;
        }
    }

    fn failed(&self, words: &str, bundle: &Bundle) -> DriverError {
        DriverError::Reload {
            proxy: ProxyKind::Haproxy,
            words: Refusal::read(words, bundle).words,
        }
    }
}

impl Driver for Haproxy {
    /// Everything is in files, so far.
    fn takes_live(&self, _plan: &Plan) -> bool {
        false
    }

    async fn check(&self, directory: &Path, bundle: &Bundle) -> Result<Verdict, DriverError> {
        let output = Command::new(&self.binary)
            .arg("-c")
            .args(Self::configuration())
            .current_dir(directory)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| DriverError::Run {
                binary: self.binary.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(Verdict::Accepted);
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        Ok(Verdict::Refused(Refusal::read(&said, bundle)))
    }

    async fn start(&mut self, bundle: &Bundle) -> Result<(), DriverError> {
        self.remove_sockets();
        let mut command = Command::new(&self.binary);
        // `-C` is followed anew on each reload, unlike the working directory of now.
        command
            .arg("-W")
            .args(Self::configuration())
            .arg("-S")
            .arg(self.master_socket())
            .arg("-C")
            .arg(&self.current);
        let process = Process::start(command, &self.output);
        self.process = Some(process.map_err(|source| DriverError::Run {
            binary: self.binary.clone(),
            source,
        })?);
        let proven = self.prove(bundle).await;
        proven.map_err(|words| DriverError::Start {
            proxy: ProxyKind::Haproxy,
            words: Refusal::read(&words, bundle).words,
        })
    }

    async fn reload(&mut self, bundle: &Bundle) -> Result<(), DriverError> {
        let reply = self.ask(self.master_socket(), "reload").await?;
        if !reply.starts_with("Success=1") {
            return Err(self.failed(&reply, bundle));
        }
        let proven = self.prove(bundle).await;
        proven.map_err(|words| self.failed(&words, bundle))
    }

    async fn update(&mut self, _plan: &Plan, bundle: &Bundle) -> Result<(), DriverError> {
        self.reload(bundle).await
    }

    async fn ended(&mut self) -> Ended {
        process::ended(&mut self.process).await
    }

    async fn stop(&mut self, grace: Duration) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGUSR1, grace).await;
        }
        self.remove_sockets();
    }
}
