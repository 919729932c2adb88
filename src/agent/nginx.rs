//! nginx as a child process: signals to its master, proof by the answer of a private socket and by
//! the titles of its workers, endpoints by our DNS.

use std::collections::BTreeSet;
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
use crate::render::nginx::{REVISION_SOCKET, dns_zone, revision_answer};

use super::directory::Directory;
use super::dns::{Questions, Zone, Zones};
use super::driver::{Driver, DriverError, Ended, Output, Verdict};
use super::process::{self, GLANCE, Process};
use super::words::Refusal;

/// A configuration of ten thousand hosts takes some seconds to come up.
const PROOF: Duration = Duration::from_secs(30);

/// nginx asks again every second; a name that it has not asked for by then is not in use.
const ASKED: Duration = Duration::from_secs(3);

pub struct Nginx {
    binary: PathBuf,
    current: PathBuf,
    run: PathBuf,
    output: Output,
    zones: Zones,
    process: Option<Process>,
}

impl Nginx {
    pub fn new(binary: PathBuf, directory: &Directory, output: Output, zones: Zones) -> Self {
        Self {
            binary,
            current: directory.current(),
            run: directory.run(),
            output,
            zones,
            process: None,
        }
    }

    /// The working directory never goes away, unlike a generation; sockets in a configuration are
    /// relative to it, all else to the prefix.
    fn command(&self, prefix: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        let root = self.run.parent().unwrap_or(&self.run);
        command
            .current_dir(root)
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(prefix);
        // As root, workers would be another user, who cannot read keys.
        if nix::unistd::geteuid().is_root() {
            command.args(["-g", "user root;"]);
        }
        command
    }

    /// Waits until the new revision is answered and no worker of `old` takes new connections: old
    /// ones answer for up to 0.1 s after the first new answer.
    async fn prove(
        &mut self,
        bundle: &Bundle,
        old: &BTreeSet<i32>,
        since: u64,
    ) -> Result<(), String> {
        let expected = revision_answer(bundle);
        let deadline = Instant::now() + PROOF;
        let mut answered = false;
        loop {
            let Some(process) = &mut self.process else {
                return Err("it is not running".into());
            };
            if let Some(status) = process.is_over() {
                let status = super::driver::status_words(status);
                // Its last words may come a moment after its end.
                let ended = process.ended().await;
                self.process = None;
                return Err(ended.words.unwrap_or(status));
            }
            if let Some(words) = process.failure_since(since) {
                return Err(words);
            }
            let master = process.pid();
            let workers = serving_workers(master);
            answered = answered || self.revision().await.is_ok_and(|(r, _)| r == expected);
            let settled = answered && is_waiting(master);
            if settled && old.is_disjoint(&workers) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let waiting = match answered {
                    true => "workers of the old configuration still take connections",
                    false => "the new revision is not answered",
                };
                return Err(format!("{waiting} after {} s", PROOF.as_secs()));
            }
            sleep(GLANCE).await;
        }
    }

    /// The name is relative to the bundle, whose `run` is ours.
    fn revision_socket(&self) -> PathBuf {
        self.current.join(REVISION_SOCKET)
    }

    /// Waits until the answers that our DNS has given to these names are in use; before, a request
    /// would be a 502. Only the first worker asks: what it was sent before it took a connection, it
    /// has read before it takes the next one. Where it cannot be told apart (it was killed and has a
    /// successor), or a name is not asked for (no route uses it), the wait ends by itself.
    async fn settle(&self, asked: Questions, names: BTreeSet<String>) {
        let settled = async {
            asked.all(names).await;
            let master = self.process.as_ref().map(Process::pid);
            let Some(first) = master.and_then(|pid| serving_workers(pid).pop_first()) else {
                return;
            };
            let mut answers = 0;
            while answers < 2 {
                match self.revision().await {
                    Ok((_, worker)) if worker == first => answers += 1,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        let _ = timeout(ASKED, settled).await;
    }

    /// What the running configuration calls itself, and the worker that says so.
    async fn revision(&self) -> io::Result<(String, i32)> {
        let socket = self.revision_socket();
        let ask = async {
            let mut stream = UnixStream::connect(socket).await?;
            stream
                .write_all(b"GET / HTTP/1.0\r\nHost: vigie\r\n\r\n")
                .await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
            let (revision, worker) = body
                .and_then(|body| body.split_once(' '))
                .unwrap_or_default();
            Ok((revision.to_owned(), worker.parse().unwrap_or_default()))
        };
        timeout(Duration::from_secs(1), ask)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Names that are new, or answered otherwise than before.
    fn changed_names(old: &Zone, new: &Zone) -> BTreeSet<String> {
        let differs = |(name, addresses): &(&String, &Vec<std::net::IpAddr>)| {
            old.get(*name) != Some(addresses)
        };
        let names = new.iter().filter(differs);
        names.map(|(name, _)| name.clone()).collect()
    }
}

impl Driver for Nginx {
    /// Endpoints are asked for by DNS, and certificate files are named by variables, so that workers
    /// read them again when they change. All else is read on a reload.
    fn takes(&self, _part: &Part) -> bool {
        false
    }

    async fn check(&self, directory: &Path, bundle: &Bundle) -> Result<Verdict, DriverError> {
        let output = self
            .command(directory)
            .args(["-t", "-q"])
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
        let said = String::from_utf8_lossy(&output.stderr);
        Ok(Verdict::Refused(Refusal::read(&said, bundle)))
    }

    async fn start(&mut self, bundle: &Bundle) -> Result<(), DriverError> {
        // A socket of a killed master would refuse its successor.
        let _ = std::fs::remove_file(self.revision_socket());
        let zone = dns_zone(bundle);
        let names = zone.keys().cloned().collect();
        let asked = self.zones.publish(zone);
        let process = Process::start(self.command(&self.current), &self.output);
        self.process = Some(process.map_err(|source| DriverError::Run {
            binary: self.binary.clone(),
            source,
        })?);
        let proven = self.prove(bundle, &BTreeSet::new(), 0).await;
        proven.map_err(|words| DriverError::Start {
            proxy: ProxyKind::Nginx,
            words: Refusal::read(&words, bundle).words,
        })?;
        // Until its first answer an upstream is a 502.
        self.settle(asked, names).await;
        Ok(())
    }

    async fn reload(&mut self, bundle: &Bundle) -> Result<(), DriverError> {
        let proxy = ProxyKind::Nginx;
        let failed = |words: String| DriverError::Reload {
            proxy,
            words: Refusal::read(&words, bundle).words,
        };
        let Some(process) = &self.process else {
            return Err(failed("it is not running".into()));
        };
        // Workers of both configurations ask until the old ones are gone.
        let before = self.zones.current();
        let zone = dns_zone(bundle);
        let changed = Self::changed_names(&before, &zone);
        let mut both = before.clone();
        both.extend(zone);
        let asked = self.zones.publish(both);
        let old = serving_workers(process.pid());
        let since = process.said();
        let signalled = process.signal(Signal::SIGHUP);
        signalled.map_err(|source| DriverError::Signal { proxy, source })?;
        match self.prove(bundle, &old, since).await {
            Ok(()) => {
                self.settle(asked, changed).await;
                self.zones.publish(dns_zone(bundle));
                Ok(())
            }
            Err(words) => {
                self.zones.publish(before);
                Err(failed(words))
            }
        }
    }

    /// Ends when nginx has asked for every changed name. That it does not ask for one is no failure:
    /// an upstream that no route uses is in no file.
    async fn update(
        &mut self,
        _plan: &Plan,
        _old: &Bundle,
        new: &Bundle,
    ) -> Result<(), DriverError> {
        let zone = dns_zone(new);
        let changed = Self::changed_names(&self.zones.current(), &zone);
        let asked = self.zones.publish(zone);
        self.settle(asked, changed).await;
        Ok(())
    }

    async fn tidy(&mut self) -> bool {
        false
    }

    async fn answers(&mut self) -> bool {
        self.revision().await.is_ok()
    }

    async fn ended(&mut self) -> Ended {
        process::ended(&mut self.process).await
    }

    async fn stop(&mut self, grace: Duration) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGQUIT, grace).await;
        }
        let _ = std::fs::remove_file(self.revision_socket());
    }
}

/// Children of the master that take new connections. A worker that drains says so in its title, and
/// so does one that is about to end.
fn serving_workers(master: i32) -> BTreeSet<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(master) && is_serving(pid))
        .collect()
}

/// Whether a master waits for signals: then it has forked all its workers. The first of them may
/// answer before the last one is there, and who would take it for none would not wait for its end.
fn is_waiting(master: i32) -> bool {
    stat_field(master, 0).is_some_and(|state| state == "S")
}

fn parent_of(pid: i32) -> Option<i32> {
    stat_field(pid, 1)?.parse().ok()
}

/// A field after `pid (name)`: state, ppid and so on. The name may hold anything, so the last
/// parenthesis counts.
fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}

fn is_serving(pid: i32) -> bool {
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let title = String::from_utf8_lossy(&title);
    title.contains("worker process") && !title.contains("shutting down")
}
