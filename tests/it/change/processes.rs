//! Processes that run in a directory: a proxy and its workers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// Processes whose working directory is below this one.
pub fn of(directory: &Path) -> BTreeSet<i32> {
    let within = |pid: &i32| {
        let cwd = std::fs::read_link(format!("/proc/{pid}/cwd"));
        cwd.is_ok_and(|cwd| cwd.starts_with(directory))
    };
    all().filter(within).collect()
}

/// The one of them that another process has started: us, or `vigie run`.
pub fn master(directory: &Path) -> Option<i32> {
    let all = of(directory);
    let is_master = |pid: &i32| parent(*pid).is_some_and(|parent| !all.contains(&parent));
    all.iter().copied().find(is_master)
}

/// All that a process has started, and what these have.
pub fn below(ancestor: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::from([ancestor]);
    loop {
        let more = all().filter(|pid| parent(*pid).is_some_and(|p| found.contains(&p)));
        let more: Vec<i32> = more.filter(|pid| !found.contains(pid)).collect();
        if more.is_empty() {
            found.remove(&ancestor);
            return found;
        }
        found.extend(more);
    }
}

pub fn end_at_once(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
}

fn all() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// None for one that has ended, also where nobody has waited for it yet.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    match fields.next()? {
        "Z" => None,
        _ => fields.next()?.parse().ok(),
    }
}

/// Looks again and again, until it is so or time is up.
pub async fn eventually(patience: Duration, mut is_so: impl AsyncFnMut() -> bool) -> bool {
    const GLANCE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + patience;
    while !is_so().await {
        if Instant::now() > deadline {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

pub fn is_alive(pid: i32) -> bool {
    parent(pid).is_some()
}
