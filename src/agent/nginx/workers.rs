//! Workers of an nginx master, as the kernel tells of them: who serves, who drains, who hangs. A
//! worker that drains says so in its title, and so does one that is about to end.

use std::collections::{BTreeSet, VecDeque};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Configurations whose workers may drain beside the one that runs. Each worker holds the memory of
/// its whole configuration for as long as its last request takes.
pub const MOST_GENERATIONS: usize = 5;

/// Workers that reloads have sent away, the oldest first.
#[derive(Default)]
pub struct Generations(VecDeque<BTreeSet<i32>>);

impl Generations {
    /// How many still drain.
    pub fn count(&mut self, master: i32) -> usize {
        self.forget_ended(master);
        self.0.iter().map(BTreeSet::len).sum()
    }

    /// Workers that served before a reload. Should it have failed, they serve on, and are forgotten.
    pub fn retire(&mut self, workers: BTreeSet<i32>) {
        self.0.push_back(workers);
    }

    /// Before a reload: ends the oldest ones, so that no more drain after it than may. Gives how many
    /// were ended.
    pub fn make_room(&mut self, master: i32) -> usize {
        self.forget_ended(master);
        let mut ended = 0;
        while self.0.len() >= MOST_GENERATIONS {
            let oldest = self.0.pop_front().unwrap_or_default();
            // The master has sent them away, so it starts nobody in their place.
            let signal = |pid: &i32| kill(Pid::from_raw(*pid), Signal::SIGTERM).is_ok();
            ended += oldest.iter().filter(|pid| signal(pid)).count();
        }
        ended
    }

    fn forget_ended(&mut self, master: i32) {
        let draining = children(master, |title| title.contains(DRAINS));
        for generation in &mut self.0 {
            generation.retain(|pid| draining.contains(pid));
        }
        self.0.retain(|generation| !generation.is_empty());
    }
}

const DRAINS: &str = "shutting down";

/// Children of the master that take new connections.
pub fn serving_workers(master: i32) -> BTreeSet<i32> {
    children(master, |title| {
        title.contains("worker process") && !title.contains(DRAINS)
    })
}

fn children(master: i32, fits: impl Fn(&str) -> bool) -> BTreeSet<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(master) && fits(&title(pid)))
        .collect()
}

/// Whether a master waits for signals: then it has forked all its workers. The first of them may
/// answer before the last one is there, and who would take it for none would not wait for its end.
pub fn is_waiting(master: i32) -> bool {
    stat_field(master, 0).is_some_and(|state| state == "S")
}

/// Whether somebody has stopped a process (SIGSTOP), other than to look into it.
pub fn is_stopped(pid: i32) -> bool {
    stat_field(pid, 0).is_some_and(|state| state == "T")
}

/// How many files a worker may open. One that has just begun has not set its limit yet.
pub fn most_open_files(master: i32) -> Option<u64> {
    let limit = |pid: i32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits
            .lines()
            .find_map(|l| l.strip_prefix("Max open files"))?;
        let soft = line.split_whitespace().next()?;
        Some(soft.parse().unwrap_or(u64::MAX))
    };
    serving_workers(master).into_iter().filter_map(limit).max()
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

fn title(pid: i32) -> String {
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&title).into_owned()
}
