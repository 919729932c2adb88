//! nginx as a child process: signals to its master, proof by the answer of a private socket and by
//! the titles of its workers, endpoints by our DNS.

mod said;
mod workers;

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
use crate::render::nginx::{REVISION_SOCKET, dns_zone, open_files, revision_answer};

use super::directory::Directory;
use super::dns::{Questions, Zone, Zones};
use super::driver::{Aside, Driver, DriverError, Ended, Output, Verdict};
use super::process::{self, GLANCE, Process};
use super::words::Refusal;
use said::failure;
pub use workers::MOST_GENERATIONS;
use workers::{Generations, is_stopped, is_waiting, most_open_files, serving_workers};

/// A configuration of ten thousand hosts, each with a Service of its own, takes 40 seconds to come up
/// on two busy cores; one that is given up too early would never be loaded.
const PROOF: Duration = Duration::from_secs(180);

/// nginx asks again every second; a name that it has not asked for by then is not in use.
const ASKED: Duration = Duration::from_secs(3);

/// What open requests get from an nginx that can only be started anew.
const PARTING: Duration = Duration::from_secs(1);

pub struct Nginx {
    binary: PathBuf,
    current: PathBuf,
    run: PathBuf,
    output: Output,
    zones: Zones,
    process: Option<Process>,
    generations: Generations,
    notes: Vec<String>,
    /// What its workers may open and should be able to, as told last.
    told: Option<(u64, u64)>,
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
            generations: Generations::default(),
            notes: Vec::new(),
            told: None,
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
            let master = process.pid();
            if let Some(status) = process.is_over() {
                let status = super::driver::status_words(status);
                // Its last words may come a moment after its end.
                let ended = process.ended().await;
                let words = failure(&process.said_since(since), master);
                self.process = None;
                return Err(words.or(ended.words).unwrap_or(status));
            }
            if let Some(words) = failure(&process.said_since(since), master) {
                return Err(words);
            }
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

    /// In place of a reload.
    async fn start_anew(&mut self, bundle: &Bundle, why: &str) -> Result<(), DriverError> {
        self.notes.push(format!("{why}, so nginx was started anew"));
        self.stop(PARTING).await;
        self.start(bundle).await
    }

    /// Says it once where the machine gives less than the configuration counts on.
    fn note_limits(&mut self, bundle: &Bundle) {
        let wanted = open_files(bundle);
        let given = self.process.as_ref().map(Process::pid);
        let given = given.and_then(most_open_files);
        let short = given.zip(wanted).filter(|(given, wanted)| given < wanted);
        if short == self.told {
            return;
        }
        self.told = short;
        if let Some((given, wanted)) = short {
            self.notes.push(format!(
                "each worker may open {given} files and should be able to open {wanted}: beyond that connections fail, so raise the hard limit (ulimit -Hn)"
            ));
        }
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
        self.note_limits(bundle);
        Ok(())
    }

    async fn reload(&mut self, bundle: &Bundle) -> Result<(), DriverError> {
        let proxy = ProxyKind::Nginx;
        let failed = |words: String| DriverError::Reload {
            proxy,
            words: Refusal::read(&words, bundle).words,
        };
        // It was killed in the middle of a reload; or somebody has removed the directory, and what
        // runs in it can neither be asked nor make sockets any more.
        let process = match &self.process {
            None => return self.start_anew(bundle, "it had ended").await,
            Some(_) if !self.revision_socket().exists() => {
                return self.start_anew(bundle, "its directory was removed").await;
            }
            Some(process) => process,
        };
        let ended = self.generations.make_room(process.pid());
        if ended > 0 {
            self.notes.push(format!(
                "{ended} of the oldest workers were ended with the requests that they had"
            ));
        }
        // Workers of both configurations ask until the old ones are gone.
        let before = self.zones.current();
        let zone = dns_zone(bundle);
        let changed = Self::changed_names(&before, &zone);
        let mut both = before;
        both.extend(zone);
        let asked = self.zones.publish(both);
        let old = serving_workers(process.pid());
        let since = process.said();
        let signalled = process.signal(Signal::SIGHUP);
        signalled.map_err(|source| DriverError::Signal { proxy, source })?;
        let proven = self.prove(bundle, &old, since).await;
        self.generations.retire(old);
        // Whichever of both runs after a failure finds its names.
        proven.map_err(failed)?;
        self.settle(asked, changed).await;
        self.zones.publish(dns_zone(bundle));
        self.note_limits(bundle);
        Ok(())
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
        let Some(master) = self.process.as_ref().map(Process::pid) else {
            return false;
        };
        if is_stopped(master) || serving_workers(master).into_iter().any(is_stopped) {
            return false;
        }
        match self.revision().await {
            Ok(_) => true,
            // Without its directory it serves on; the next reload starts it anew.
            Err(error) => is_missing(&error),
        }
    }

    fn aside(&mut self) -> Aside {
        let master = self.process.as_ref().map(Process::pid);
        Aside {
            draining: master.map_or(0, |master| self.generations.count(master)),
            notes: std::mem::take(&mut self.notes),
        }
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

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
