//! A program that a test runs as a process, with all that it says.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::timeout;

use super::PATIENCE;

/// Our program, with the arguments of a line.
pub fn vigie(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
    command.args(arguments.split_whitespace());
    command
}

/// It is killed when this is dropped.
pub struct Process {
    child: Child,
    /// What it has said on either way out, line by line.
    lines: watch::Receiver<Vec<String>>,
}

impl Process {
    /// Starts it in the network of this thread.
    pub fn start(command: Command) -> Self {
        let program = command.get_program().to_owned();
        let started = Self::try_start(command);
        started.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    pub(super) fn try_start(command: Command) -> io::Result<Self> {
        let mut command = tokio::process::Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (sender, lines) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read(stdout, sender.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read(stderr, sender));
        }
        Ok(Self { child, lines })
    }

    /// All that it has said until now.
    pub fn said(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// A line that it has said or says later; shows all of them where it never comes.
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.line_after(0, what, wanted).await
    }

    /// The same for what comes after so many lines.
    pub async fn line_after(
        &mut self,
        count: usize,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let find = |lines: &Vec<String>| {
            let mut lines = lines.iter().skip(count);
            lines.find(|line| wanted(line)).cloned()
        };
        let waiting = self.lines.wait_for(|lines| find(lines).is_some());
        let found = match timeout(PATIENCE, waiting).await {
            Ok(Ok(lines)) => find(&lines),
            _ => None,
        };
        found.unwrap_or_else(|| panic!("it never says {what}:\n{}", self.said().join("\n")))
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it at once. What it has started is not asked; in a pod see `Pod::end_all`.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            kill(Pid::from_raw(pid), signal).expect("it is ours");
        }
    }

    /// None when it has ended and was waited for.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("it is ours"),
            Err(_) => panic!("it never ends:\n{}", self.said().join("\n")),
        }
    }

    /// Waits for its end and for all of what it said, also by what it has started.
    pub async fn output(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.ended().await;
        let all = async { while self.lines.changed().await.is_ok() {} };
        let all = timeout(PATIENCE, all).await;
        all.unwrap_or_else(|_| panic!("something that it has started goes on"));
        (status, self.said())
    }
}

async fn read(output: impl AsyncRead + Unpin, lines: Arc<watch::Sender<Vec<String>>>) {
    let mut output = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = output.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        lines.send_modify(|lines| lines.push(line));
    }
}
