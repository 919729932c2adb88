//! HAProxy as a child process in master-worker mode: changes by the runtime API, reloads by the
//! master's socket, whose reply carries the result; proof by the revision that the new worker's own
//! socket tells.

mod leaving;
mod live;
mod runtime;
mod send;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::plan::{Part, Plan};
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::haproxy::{
    ADMIN_SOCKET, CONFIGURATION, REVISION_QUESTION, SERVER_STATE, STATUS_SOCKET, revision_shown,
};

use super::directory::Directory;
use super::driver::{Driver, DriverError, Ended, Output, Verdict, status_words};
use super::process::{self, GLANCE, Process};
use super::words::Refusal;
use leaving::{Leaving, Removal, removals};
use live::{Steps, steps};
use runtime::{Command as Ask, Done, Runtime, RuntimeError};

/// Thousands of certificates take some seconds to come up.
const PROOF: Duration = Duration::from_secs(30);

/// A reply comes when the new worker has come up or failed, which a port in use delays by 2 s.
const REPLY: Duration = Duration::from_secs(60);

/// A busy worker answers later than an idle one; this one hangs.
const ANSWER: Duration = Duration::from_secs(3);

/// A request walks through all rules in less, also on a busy machine.
const UNDER_WAY: Duration = Duration::from_millis(10);

pub struct Haproxy {
    binary: PathBuf,
    current: PathBuf,
    run: PathBuf,
    output: Output,
    process: Option<Process>,
    /// The worker that has proven to run the current bundle.
    worker: Option<i32>,
    /// To that worker; made anew after each reload.
    runtime: Option<Runtime>,
    leaving: Leaving,
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
            worker: None,
            runtime: None,
            leaving: Leaving::default(),
        }
    }

    /// One command to the master, by a connection of its own. It is not half-closed, which would end
    /// it before a reload has replied.
    async fn ask_master(&self, command: &str) -> Result<String, DriverError> {
        let socket = self.master_socket();
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

    /// Sockets stay after the end of a process that could not remove them, and what was known of its
    /// servers says nothing about another one's.
    fn remove_leftovers(&mut self) {
        self.forget_worker();
        self.worker = None;
        for file in [ADMIN_SOCKET, STATUS_SOCKET, SERVER_STATE] {
            let _ = std::fs::remove_file(self.current.join(file));
        }
        let _ = std::fs::remove_file(self.master_socket());
    }

    /// The next worker has what is in the files, and nothing that is on its way out.
    fn forget_worker(&mut self) {
        self.leaving = Leaving::default();
        self.runtime = None;
    }

    /// The connection to the worker that runs, made anew where HAProxy has closed it: it ends those
    /// that were idle for an hour.
    async fn runtime(&mut self) -> Result<Runtime, RuntimeError> {
        if let Some(mut runtime) = self.runtime.take()
            && runtime.is_open().await
        {
            return Ok(runtime);
        }
        let runtime = Runtime::connect(&self.admin_socket()).await?;
        match self.worker {
            Some(worker) if worker != runtime.pid() => {
                let words = format!("process {} answers for {worker}", runtime.pid());
                Err(io::Error::other(words).into())
            }
            _ => Ok(runtime),
        }
    }

    /// `-f FILE` for each part of the configuration.
    fn configuration() -> impl Iterator<Item = &'static str> {
        CONFIGURATION.into_iter().flat_map(|file| ["-f", file])
    }

    /// Waits until a worker other than the one before answers with the new revision. A process that
    /// has ended stays, so that its end is noticed by whoever waits for it.
    async fn prove(&mut self, bundle: &Bundle) -> Result<(), String> {
        let deadline = Instant::now() + PROOF;
        loop {
            let Some(process) = &mut self.process else {
                return Err("it is not running".into());
            };
            if let Some(status) = process.is_over() {
                let ended = process.ended().await;
                let said = process.said_since(0).join("\n");
                return Err(match ended.words {
                    Some(_) => said,
                    None => status_words(status),
                });
            }
            if let Ok(runtime) = self.answering(bundle).await
                && Some(runtime.pid()) != self.worker
            {
                self.worker = Some(runtime.pid());
                self.runtime = Some(runtime);
                return Ok(());
            }
            if Instant::now() > deadline {
                let after = PROOF.as_secs();
                return Err(format!("the new revision is not answered after {after} s"));
            }
            sleep(GLANCE).await;
        }
    }

    /// A connection to a worker that says that it runs a bundle.
    async fn answering(&self, bundle: &Bundle) -> Result<Runtime, RuntimeError> {
        let mut runtime = Runtime::connect(&self.admin_socket()).await?;
        let ask = Ask::new(REVISION_QUESTION, &[], Done::Any);
        let revision = revision_shown(bundle).unwrap_or_default();
        match runtime.ask(&ask).await? {
            answer if answer.contains(&format!("value=\"{revision}\"")) => Ok(runtime),
            answer => Err(io::Error::other(answer).into()),
        }
    }

    async fn apply(&mut self, steps: &Steps) -> Result<(), RuntimeError> {
        let mut runtime = self.runtime().await?;
        for certificate in &steps.certificates {
            send::set_certificate(&mut runtime, certificate).await?;
        }
        for group in &steps.groups {
            send::run(&mut runtime, group).await?;
        }
        if !steps.removals.is_empty() {
            sleep(UNDER_WAY).await;
        }
        for group in &steps.removals {
            send::run(&mut runtime, group).await?;
        }
        send::unlist(&mut runtime, &steps.unlisted).await?;
        let dropped = steps.dropped.iter();
        let dropped = dropped.map(|file| Ask::new("del ssl cert", &[file], Done::Says("deleted")));
        runtime.run(&dropped.collect::<Vec<_>>()).await?;
        send::run(&mut runtime, &steps.revision).await?;
        // Whatever has failed leaves no connection behind that could be out of step.
        self.runtime = Some(runtime);
        Ok(())
    }

    /// What the runtime API was told of servers outlives a reload, but for those that are on their way
    /// out: should one come back, it is to serve.
    async fn save_server_state(&mut self) {
        let file = self.current.join(SERVER_STATE);
        // Without it servers come up as their lines say, which is how they were made.
        let _ = std::fs::remove_file(&file);
        let Ok(mut runtime) = self.runtime().await else {
            return;
        };
        let ask = Ask::new("show servers state", &[], Done::Any);
        let Ok(state) = runtime.ask(&ask).await else {
            return;
        };
        let leaves = |line: &&str| {
            let mut words = line.split(' ');
            let (upstream, server) = (words.nth(1), words.nth(1));
            let is = |(u, s): &(crate::model::names::UpstreamName, String)| {
                upstream == Some(u.as_str()) && server == Some(s.as_str())
            };
            self.leaving.servers.iter().any(is)
        };
        let kept: Vec<&str> = state.lines().filter(|line| !leaves(line)).collect();
        let _ = std::fs::write(file, kept.join("\n") + "\n");
    }

    fn failed(&self, words: &str, bundle: &Bundle) -> DriverError {
        DriverError::Reload {
            proxy: ProxyKind::Haproxy,
            words: Refusal::read(words, bundle).words,
        }
    }
}

impl Driver for Haproxy {
    fn takes(&self, part: &Part) -> bool {
        live::takes(part)
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
        self.remove_leftovers();
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
        self.save_server_state().await;
        let reply = self.ask_master("reload").await?;
        if !reply.starts_with("Success=1") {
            return Err(self.failed(&reply, bundle));
        }
        self.forget_worker();
        let proven = self.prove(bundle).await;
        proven.map_err(|words| self.failed(&words, bundle))
    }

    async fn update(&mut self, plan: &Plan, old: &Bundle, new: &Bundle) -> Result<(), DriverError> {
        let steps = steps(plan, old, new, &self.leaving);
        self.apply(&steps)
            .await
            .map_err(|error| DriverError::Update {
                proxy: ProxyKind::Haproxy,
                source: Box::new(error),
            })?;
        self.leaving = steps.leaving;
        Ok(())
    }

    async fn tidy(&mut self) -> bool {
        let Ok(mut runtime) = self.runtime().await else {
            return !self.leaving.is_empty();
        };
        let retired = self.leaving.retire();
        let (removals, commands): (Vec<Removal>, Vec<Ask>) =
            removals(&self.leaving).into_iter().unzip();
        let commands: Vec<Ask> = retired.iter().cloned().chain(commands).collect();
        let Ok(replies) = runtime.exchange(&commands).await else {
            return !self.leaving.is_empty();
        };
        self.runtime = Some(runtime);
        let replies = replies.into_iter().skip(retired.len());
        for (removal, reply) in removals.iter().zip(replies) {
            if removal.is_done(&reply) {
                self.leaving.forget(removal);
            }
        }
        !self.leaving.is_empty()
    }

    /// By a connection of its own: what is asked is whether the worker takes one.
    async fn answers(&mut self) -> bool {
        let socket = self.admin_socket();
        matches!(timeout(ANSWER, Runtime::connect(&socket)).await, Ok(Ok(_)))
    }

    async fn ended(&mut self) -> Ended {
        process::ended(&mut self.process).await
    }

    async fn stop(&mut self, grace: Duration) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGUSR1, grace).await;
        }
        self.remove_leftovers();
    }
}
