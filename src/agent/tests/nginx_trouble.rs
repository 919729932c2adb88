//! What may happen to a machine: processes that are stopped, directories that are removed, disks that
//! are full, limits that are low. What runs goes on, and all comes back by itself.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::proxies::{NGINX, endpoint, get, master_of, workers_of};
use super::rendered::{Served, nginx_after, to, with_host};
use super::*;

async fn served_one(line: &str, third: u8) -> (Served, SocketAddr, JoinHandle<()>) {
    let mut served = Served::nginx(line).await;
    let at = SocketAddr::from(([127, 77, third, 1], served.http.port()));
    let task = endpoint(at, "one").await;
    assert_eq!(served.load(&to(&[at])).await.kind, LoadKind::Started);
    assert_eq!(served.get("/").await, (200, "one".into()));
    (served, at, task)
}

/// The words of the next load, which fails.
async fn failure(served: &mut Served) -> String {
    match served.running.next().await.kind {
        LoadKind::Failed { words } => words,
        other => unreachable!("{other:?}"),
    }
}

#[derive(Clone, Copy)]
enum Stopped {
    All,
    Master,
    Worker,
}

/// Stops it as a debugger would, and waits until it is started anew.
async fn stopped(of_it: Stopped) {
    let (mut served, _at, _endpoint) = served_one("nginx-1.30", 20).await;
    let (master, workers) = (master_of(&served.root), workers_of(&served.root));
    let stopped = match of_it {
        Stopped::All => workers.into_iter().chain([master]).collect(),
        Stopped::Master => vec![master],
        Stopped::Worker => vec![workers[0]],
    };
    for pid in stopped {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    let ended = served.running.next().await;
    let words = "it did not answer 3 times in a row".to_owned();
    assert_eq!(ended.kind, LoadKind::Ended { words });
    served.running.until(LoadKind::Started).await;
    assert_ne!(master_of(&served.root), master);
    assert_eq!(served.get("/").await, (200, "one".into()));
    served.running.stop().await;
}

#[tokio::test]
async fn an_nginx_that_is_stopped_in_part_or_as_a_whole_is_started_anew() {
    tokio::join!(
        stopped(Stopped::All),
        stopped(Stopped::Master),
        stopped(Stopped::Worker),
    );
}

#[tokio::test]
async fn a_master_that_is_killed_in_the_middle_of_a_reload_is_started_anew_at_once() {
    for line in NGINX {
        let (mut served, at, _endpoint) = served_one(line, 27).await;
        let (master, workers) = (master_of(&served.root), workers_of(&served.root));
        let wanted = served.bundle(&with_host(to(&[at]), "b.example"));
        served.running.send(&wanted);
        while workers_of(&served.root) == workers {
            tokio::task::yield_now().await;
        }
        kill(Pid::from_raw(master), Signal::SIGKILL).unwrap();
        let killed = Instant::now();
        loop {
            let load = served.running.next().await;
            let alone = workers_of(&served.root)
                .iter()
                .all(|pid| !workers.contains(pid));
            if load.kind.is_loaded() && load.revision == wanted.revision() && alone {
                break;
            }
        }
        // Long before it is missed.
        assert!(
            killed.elapsed() < HEARTBEAT * u32::from(MISSED),
            "{:?}",
            killed.elapsed()
        );
        assert_eq!(served.get("/").await, (200, "one".into()));
        served.running.stop().await;
    }
}

#[tokio::test]
async fn a_killed_worker_is_followed_by_another_and_nothing_is_started_anew() {
    for line in NGINX {
        let (mut served, at, _endpoint) = served_one(line, 21).await;
        let master = master_of(&served.root);
        for _ in 0..4 {
            let worker = workers_of(&served.root)[0];
            kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
            while workers_of(&served.root).contains(&worker) {
                tokio::task::yield_now().await;
            }
            assert_eq!(served.get("/").await, (200, "one".into()));
        }
        let load = served.load(&with_host(to(&[at]), "b.example")).await;
        assert_eq!(load.kind, LoadKind::Reloaded);
        assert_eq!(master_of(&served.root), master);
        served.running.stop().await;
    }
}

#[tokio::test]
async fn a_removed_directory_is_made_anew_by_the_next_reload() {
    for line in NGINX {
        let (mut served, at, _endpoint) = served_one(line, 22).await;
        std::fs::remove_dir_all(&served.root).unwrap();
        assert_eq!(served.get("/").await, (200, "one".into()));
        let load = served.load(&with_host(to(&[at]), "b.example")).await;
        assert_eq!(load.kind, LoadKind::Reloaded, "{load:?}");
        assert!(load.aside.notes[0].contains("was removed"), "{load:?}");
        assert_eq!(served.get("/").await, (200, "one".into()));
        let load = served.load(&with_host(to(&[at]), "c.example")).await;
        assert_eq!(load.kind, LoadKind::Reloaded);
        assert_eq!(load.aside.notes, [""; 0]);
        served.running.stop().await;
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_named_and_used_once_it_can() {
    let (mut served, at, _endpoint) = served_one("nginx-1.30", 23).await;
    std::fs::remove_dir_all(&served.root).unwrap();
    std::fs::write(&served.root, "in the way").unwrap();
    let wanted = with_host(to(&[at]), "b.example");
    served.running.send(&served.bundle(&wanted));
    let words = failure(&mut served).await;
    let root = served.root.display().to_string();
    assert!(words.contains("cannot create the directory"), "{words}");
    assert!(words.contains(&root), "{words}");
    // It is tried again; meanwhile what runs serves on, with new endpoints too.
    failure(&mut served).await;
    let other = SocketAddr::from(([127, 77, 24, 1], served.http.port()));
    let _other = endpoint(other, "two").await;
    assert_eq!(served.get("/").await, (200, "one".into()));
    std::fs::remove_file(&served.root).unwrap();
    served.running.until(LoadKind::Reloaded).await;
    served.load(&with_host(to(&[other]), "b.example")).await;
    while served.get("/").await.1 != "two" {}
    served.running.stop().await;
}

/// A small disk of its own, where we may make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "vigie"]);
        let status = mount.arg(directory.path()).status();
        status
            .is_ok_and(|status| status.success())
            .then_some(Self(directory))
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]);
        assert!(mount.arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_is_named_and_used_once_it_is_not() {
    let Some(disk) = SmallDisk::mount() else {
        // Only root may; the loop is the same as for a directory that cannot be.
        return;
    };
    let inside = tempfile::tempdir_in(disk.0.path()).unwrap();
    let resolve = ResolveOptions::default();
    let mut served = Served::within(inside, "nginx-1.30", AT_ONCE, resolve).await;
    let at = SocketAddr::from(([127, 77, 25, 1], served.http.port()));
    let _endpoint = endpoint(at, "one").await;
    assert_eq!(served.load(&to(&[at])).await.kind, LoadKind::Started);

    let filler = disk.0.path().join("filler");
    assert!(std::fs::write(&filler, vec![0; 1 << 20]).is_err());
    served
        .running
        .send(&served.bundle(&with_host(to(&[at]), "b.example")));
    let words = failure(&mut served).await;
    assert!(
        words.contains("cannot write") && words.contains("No space left"),
        "{words}"
    );
    assert!(
        words.contains(&served.root.display().to_string()),
        "{words}"
    );
    assert_eq!(get(served.http, "/").await.unwrap(), (200, "one".into()));
    std::fs::remove_file(&filler).unwrap();
    served.running.until(LoadKind::Reloaded).await;

    disk.remount("ro");
    served
        .running
        .send(&served.bundle(&with_host(to(&[at]), "c.example")));
    let words = failure(&mut served).await;
    assert!(words.contains("Read-only file system"), "{words}");
    assert_eq!(get(served.http, "/").await.unwrap(), (200, "one".into()));
    disk.remount("rw");
    served.running.until(LoadKind::Reloaded).await;
    served.running.stop().await;
}

#[tokio::test]
async fn a_limit_of_open_files_that_is_too_low_is_told_and_no_failure() {
    for line in NGINX {
        let programs = tempfile::tempdir().unwrap();
        // Root could raise it again.
        let lower = match nix::unistd::geteuid().is_root() {
            true => "ulimit -n 2000\nexec setpriv --bounding-set -sys_resource",
            false => "ulimit -n 2000\nexec",
        };
        let program = nginx_after(line, programs.path(), lower);
        let resolve = ResolveOptions::default();
        let mut served = Served::new(program.to_str().unwrap(), AT_ONCE, resolve).await;
        let at = SocketAddr::from(([127, 77, 26, 1], served.http.port()));
        let _endpoint = endpoint(at, "one").await;
        let started = served.load(&to(&[at])).await;
        assert_eq!(started.kind, LoadKind::Started);
        let [note] = started.aside.notes.as_slice() else {
            unreachable!("{started:?}");
        };
        assert!(
            note.contains("2000 files") && note.contains("ulimit -Hn"),
            "{note}"
        );
        assert_eq!(served.get("/").await, (200, "one".into()));
        let reloaded = served.load(&with_host(to(&[at]), "b.example")).await;
        assert_eq!(
            (reloaded.kind, reloaded.aside.notes),
            (LoadKind::Reloaded, vec![])
        );
        served.running.stop().await;
    }
}
