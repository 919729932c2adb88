//! A proxy's master process and everything that it starts. The master leads its own process group:
//! an interrupt of the terminal reaches only us, and workers that a killed master leaves behind are
//! found and ended (they would keep the ports). The kernel ends the master when we are gone.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::driver::{Ended, Output, Stream, status_words};

/// How often something is looked at that cannot be waited for.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// Levels below an error, as both proxies print them.
const QUIET: [&str; 6] = [
    "[warn]",
    "[notice]",
    "[info]",
    "[debug]",
    "[WARNING]",
    "[NOTICE]",
];

/// Kept of what the proxy said.
const KEPT_LINES: usize = 100;

pub(super) struct Process {
    child: Child,
    pid: Pid,
    said: watch::Receiver<Said>,
}

/// The last lines of the error log, counted so that a reader sees what is new.
#[derive(Default)]
struct Said {
    lines: VecDeque<String>,
    count: u64,
}

impl Process {
    /// Starts a master. The calling thread must outlive it: the kernel ties the end of the child to
    /// the thread that forked it, which is why this is not done on a thread for blocking work.
    pub fn start(mut command: Command, output: &Output) -> io::Result<Self> {
        let parent = nix::unistd::getpid();
        command
            .stdin(Stdio::null())
            .stdout(standard_output(&output.access)?)
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let tie = move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // We may have ended between fork and the line above.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(io::Error::from(Errno::ESRCH))
            }
        };
        // SAFETY: between fork and exec only system calls are made; nothing is allocated or locked.
        unsafe { command.pre_exec(tie) };
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| io::Error::from(Errno::ESRCH))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(pass_on(stdout, output.access.clone()));
        }
        let (sender, said) = watch::channel(Said::default());
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, sender, output.errors));
        }
        let pid = Pid::from_raw(id);
        Ok(Self { child, pid, said })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // A child that has ended and was not waited for still has its number, so this never meets
        // another process.
        kill(self.pid, signal).map_err(io::Error::from)
    }

    /// How many lines the proxy has said so far.
    pub fn said(&self) -> u64 {
        self.said.borrow().count
    }

    /// Lines said after the first `count`, as far as they are kept.
    pub fn said_since(&self, count: u64) -> Vec<String> {
        let said = self.said.borrow();
        let new = usize::try_from(said.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let skip = said.lines.len().saturating_sub(new);
        said.lines.iter().skip(skip).cloned().collect()
    }

    /// Whether the master has ended.
    pub fn is_over(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the master's end and ends what it left. May be dropped and called again.
    pub async fn ended(&mut self) -> Ended {
        let status = match self.child.wait().await {
            Ok(status) => status_words(status),
            Err(error) => error.to_string(),
        };
        self.end_group().await;
        // The reader of its last words may be behind; it ends with the last process of the group.
        let _ = timeout(Duration::from_secs(1), async {
            while self.said.changed().await.is_ok() {}
        })
        .await;
        let words = self.said_since(0).into_iter().rfind(|l| is_fatal(l));
        Ended { status, words }
    }

    /// Asks the master to end by `gentle`, after `grace` by SIGTERM, and in the end makes it end.
    pub async fn stop(&mut self, gentle: Signal, grace: Duration) {
        const PATIENCE: Duration = Duration::from_secs(3);
        for (signal, wait) in [(gentle, grace), (Signal::SIGTERM, PATIENCE)] {
            if wait.is_zero() {
                continue;
            }
            let _ = self.signal(signal);
            if timeout(wait, self.child.wait()).await.is_ok() {
                break;
            }
        }
        self.end_group().await;
        let _ = self.child.wait().await;
    }

    /// Ends every process of the group and waits until the last one is gone. Ended members are
    /// waited for by their master, or by init once the master is gone.
    async fn end_group(&self) {
        let give_up = Instant::now() + Duration::from_secs(3);
        while killpg(self.pid, Signal::SIGKILL) != Err(Errno::ESRCH) && Instant::now() < give_up {
            sleep(GLANCE).await;
        }
    }
}

/// Waits for the end of the process that runs, and forgets it; never ends while none runs. May be
/// dropped and called again.
pub(super) async fn ended(running: &mut Option<Process>) -> Ended {
    let Some(process) = running else {
        return std::future::pending().await;
    };
    let ended = process.ended().await;
    *running = None;
    ended
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also on a panic or a dropped runtime. Once the group is empty this finds nobody.
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}

pub(super) fn is_fatal(line: &str) -> bool {
    // Workers that may not have as many open files as they ask for go on with fewer.
    let fatal = ["[emerg]", "[alert]", "[crit]", "[ALERT]"];
    fatal.iter().any(|level| line.contains(level)) && !line.contains("setrlimit(RLIMIT_NOFILE")
}

/// HAProxy makes its output non-blocking and forgets that it appends. So it never gets a descriptor
/// of ours, and a file is written from its end on.
fn standard_output(access: &Stream) -> io::Result<Stdio> {
    match access {
        Stream::Null => Ok(Stdio::null()),
        Stream::Stdout | Stream::Stderr => Ok(Stdio::piped()),
        Stream::File(path) => {
            let mut options = OpenOptions::new();
            let mut file = options.append(true).create(true).open(path)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file.into())
        }
    }
}

/// Ends with the last process that holds the other end, or when nobody reads ours.
async fn pass_on(stdout: impl AsyncRead + Unpin, access: Stream) {
    let mut lines = BufReader::new(stdout).split(b'\n');
    let mut ours: Box<dyn AsyncWrite + Unpin + Send> = match access {
        Stream::Stdout => Box::new(tokio::io::stdout()),
        _ => Box::new(tokio::io::stderr()),
    };
    while let Ok(Some(mut line)) = lines.next_segment().await {
        // An old worker of HAProxy logs the end of each of its proxies; nobody's request.
        if line.starts_with(b"Proxy ") {
            continue;
        }
        line.push(b'\n');
        if ours.write_all(&line).await.is_err() || ours.flush().await.is_err() {
            return;
        }
    }
}

async fn listen(stderr: impl AsyncRead + Unpin, said: watch::Sender<Said>, pass_on: bool) {
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if pass_on && !QUIET.iter().any(|level| line.contains(level)) {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{line}");
        }
        said.send_modify(|said| {
            said.count += 1;
            said.lines.push_back(line);
            if said.lines.len() > KEPT_LINES {
                said.lines.pop_front();
            }
        });
    }
}
