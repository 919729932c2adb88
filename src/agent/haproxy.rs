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

use super::directory::Directory;
use super::driver::{Driver, DriverError, Ended, Output, Verdict, status_words};
use super::process::{GLANCE, Process};
use super::words::Refusal;

/// Thousands of certificates take some seconds to come up.
const PROOF: Duration = Duration::from_secs(30);

/// A reply comes when the new worker has come up or failed, which a port in use delays by 2 s.
const REPLY: Duration = Duration::from_secs(60);

/// The variable of the global section that tells the revision.
pub const REVISION_VARIABLE: &str = "VIGIE_REVISION";

/// What the worker's socket answers once a bundle is loaded.
pub type ProofOf = fn(&Bundle) -> String;

pub struct Haproxy {
    pub binary: PathBuf,
    pub current: PathBuf,
    pub run: PathBuf,
    pub output: Output,
    pub proof_of: ProofOf,
    process: Option<Process>,
}

impl Haproxy {
    /// Name of the worker's socket below the bundle's directory.
    const ADMIN_SOCKET: &str = "admin.sock";
    const MASTER_SOCKET: &str = "master.sock";

    pub fn new(binary: PathBuf, directory: &Directory, output: Output, proof_of: ProofOf) -> Self {
        Self {
            binary,
            current: directory.current(),
            run: directory.run(),
            output,
            proof_of,
            process: None,
        }
    }

    /// One command by a connection of its own: kept ones stay with the old worker on a reload. The
    /// connection is not half-closed, which would end it before a reload has replied.
    async fn ask(&self, socket: &str, command: &str) -> Result<String, DriverError> {
        let socket = self.run.join(socket);
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

    async fn prove(&mut self, bundle: &Bundle) -> Result<(), String> {
        let expected = format!("{REVISION_VARIABLE}={}", (self.proof_of)(bundle));
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
            let ask = format!("show env {REVISION_VARIABLE}");
            let answer = self.ask(Self::ADMIN_SOCKET, &ask).await;
            if answer.is_ok_and(|answer| answer.trim() == expected) {
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
            .args(["-c", "-f", "haproxy.cfg"])
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
        for socket in [Self::ADMIN_SOCKET, Self::MASTER_SOCKET] {
            let _ = std::fs::remove_file(self.run.join(socket));
        }
        let mut command = Command::new(&self.binary);
        // `-C` is followed anew on each reload, unlike the working directory of now.
        command
            .args(["-W", "-f", "haproxy.cfg", "-S"])
            .arg(self.run.join(Self::MASTER_SOCKET))
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
        let reply = self.ask(Self::MASTER_SOCKET, "reload").await?;
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
        match &mut self.process {
            Some(process) => {
                let ended = process.ended().await;
                self.process = None;
                ended
            }
            None => std::future::pending().await,
        }
    }

    async fn stop(&mut self, grace: Duration) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGUSR1, grace).await;
        }
        for socket in [Self::ADMIN_SOCKET, Self::MASTER_SOCKET] {
            let _ = std::fs::remove_file(self.run.join(socket));
        }
    }
}
