//! A network of our own, in which every address of 10.77.0.0/16 is local, as those of 127.0.0.0/8 are.
//!
//! The API server refuses loopback addresses in EndpointSlices, and other addresses are not to be had on
//! a machine that we share. Of a namespace that only this process has, any thread can listen on any of
//! them, nothing leads outside, and it is gone with the last process in it.

use std::fs::File;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

static NETWORK: OnceLock<Result<File, String>> = OnceLock::new();

/// Does some work in a thread that is in this network, and so are all threads and processes that it
/// starts. The thread that calls stays where it is: other tests run in it later.
pub fn inside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let network = match NETWORK.get_or_init(|| in_a_thread(make)) {
        Ok(network) => network,
        Err(error) => panic!("{error}"),
    };
    in_a_thread(move || {
        setns(network, CloneFlags::CLONE_NEWNET).expect("who may make a namespace may enter it");
        work()
    })
}

/// A namespace belongs to a thread. The thread has the name of ours, which panics are told with.
fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let name = thread::current().name().unwrap_or("cluster").to_owned();
    let joined = thread::scope(|scope| {
        let thread = thread::Builder::new().name(name);
        let thread = thread.spawn_scoped(scope, work).expect("a thread");
        thread.join()
    });
    joined.unwrap_or_else(|panic| resume_unwind(panic))
}

fn make() -> Result<File, String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
        format!(
            "tests with a real API server need a network of their own, in which 10.77.0.0/16 is local, \
             and root to make it: run them as root ({error})"
        )
    })?;
    ip(&["link", "set", "lo", "up"])?;
    // On this device, a prefix makes all of its addresses local.
    ip(&["address", "add", "10.77.0.1/16", "dev", "lo"])?;
    File::open("/proc/thread-self/ns/net").map_err(|error| format!("our network: {error}"))
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let line = format!("ip {}", arguments.join(" "));
    let status = Command::new("ip").args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{line}: {status}")),
        Err(error) => Err(format!("{line}: {error} (package iproute2)")),
    }
}
