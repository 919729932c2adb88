//! `vigie run` as a process of its own: what it says, and what it and its proxy take.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vigie::render::ProxyKind;

/// Ten thousand routes are read, checked and proven on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct Vigie {
    child: Child,
    /// The proxy's first process.
    proxy: u32,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub loads: Receiver<Load>,
    temporary: tempfile::TempDir,
}

/// A line of `vigie run` about a load.
pub struct Load {
    /// `live`, `reload` and so on; the words about it where nothing was loaded.
    pub how: String,
    pub took: Duration,
}

/// CPU time so far.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub vigie: Duration,
    /// The proxy's checks of new files, which have ended.
    pub checks: Duration,
    pub proxy: Duration,
}

impl Vigie {
    pub fn start(proxy: ProxyKind, folder: &Path) -> Self {
        let (http, https) = (free(), free());
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_vigie"))
            .arg("run")
            .arg(folder)
            .args(["--proxy", proxy.as_str(), "--output", "json"])
            .args(["--http", &http.to_string(), "--https", &https.to_string()])
            .args(["--access-log", "/dev/null"])
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("vigie starts");
        let (sender, loads) = mpsc::channel();
        let said = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                // Tables of thousands of routes are not read.
                if let Some(load) = load(&line) {
                    let _ = sender.send(load);
                }
            }
        });
        let mut vigie = Self {
            child,
            proxy: 0,
            http,
            https,
            loads,
            temporary,
        };
        vigie.loaded();
        let children = children(vigie.child.id());
        vigie.proxy = *children.first().expect("a proxy runs");
        vigie
    }

    /// The next load that changed something.
    pub fn loaded(&self) -> Load {
        loop {
            let load = self.loads.recv_timeout(PATIENCE).expect("a load");
            match load.how.as_str() {
                "nothing" => {}
                "live" | "reload" | "started" => return load,
                words => println!("not loaded, and tried again: {words}"),
            }
        }
    }

    /// The directory of the proxy's files.
    pub fn state(&self) -> PathBuf {
        let entries = fs::read_dir(self.temporary.path()).expect("a directory");
        let found = entries.flatten().map(|entry| entry.path());
        let mut found = found.filter(|path| path.join("current").exists());
        found.next().expect("vigie runs")
    }

    pub fn proxy(&self) -> Pid {
        Pid::from_raw(self.proxy as i32)
    }

    pub fn cpu(&self) -> Cpu {
        let own = ticks(self.child.id());
        let master = ticks(self.proxy);
        let workers: u64 = children(self.proxy).iter().map(|pid| ticks(*pid)[0]).sum();
        // USER_HZ is 100 on Linux.
        let time = |ticks: u64| Duration::from_millis(ticks * 10);
        Cpu {
            vigie: time(own[0]),
            checks: time(own[1]),
            proxy: time(master[0] + master[1] + workers),
        }
    }

    /// Memory of Vigie and of its proxy's processes, in MB; pages that several share count once.
    pub fn memory(&self) -> (u64, u64) {
        let workers = children(self.proxy);
        let proxy = workers.iter().chain([&self.proxy]).map(|pid| shared(*pid));
        (shared(self.child.id()) >> 10, proxy.sum::<u64>() >> 10)
    }
}

impl Drop for Vigie {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

impl Cpu {
    pub fn since(self, before: Self) -> Self {
        Self {
            vigie: self.vigie - before.vigie,
            checks: self.checks - before.checks,
            proxy: self.proxy.saturating_sub(before.proxy),
        }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            vigie: self.vigie + other.vigie,
            checks: self.checks + other.checks,
            proxy: self.proxy + other.proxy,
        }
    }
}

fn load(line: &str) -> Option<Load> {
    let events = ["loaded", "refused", "failed", "ended"];
    let event = line.strip_prefix("{\"event\":\"")?.split_once('"')?.0;
    events.iter().find(|known| **known == event)?;
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let how = value["how"].as_str().or(value["words"].as_str());
    let took = value["milliseconds"].as_u64().unwrap_or_default();
    Some(Load {
        how: how.unwrap_or(event).to_owned(),
        took: Duration::from_millis(took),
    })
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid, 1) == Some(u64::from(parent)))
        .collect()
}

/// Ticks of a process, and of its children that have ended.
fn ticks(pid: u32) -> [u64; 2] {
    let field = |at| stat(pid, at).unwrap_or_default();
    [field(11) + field(12), field(13) + field(14)]
}

/// A number of /proc/PID/stat; they count from the state on.
fn stat(pid: u32, at: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(at)?.parse().ok()
}

/// In kB.
fn shared(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    size.unwrap_or_default()
}
