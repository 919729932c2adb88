//! A network of our own, in which every address of 10.77.0.0/16 is local, as those of 127.0.0.0/8 are.
//!
//! The API server refuses loopback addresses in EndpointSlices, and other addresses are not to be had on
//! a machine that we share. Of a namespace that only this process has, any thread can listen on any of
//! them, nothing leads outside, and it is gone with the last process in it.
//!
//! Pods are further namespaces, each with one address of 10.78.0.0/16, joined to this one by a bridge.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// Where a pod sends what is not for a pod.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

static NETWORK: OnceLock<Result<File, String>> = OnceLock::new();

/// Does some work in a thread that is in this network, and so are all threads and processes that it
/// starts. The thread that calls stays where it is: other tests run in it later.
pub fn inside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let network = match NETWORK.get_or_init(|| in_a_thread(make)) {
        Ok(network) => network,
        Err(error) => panic!("{error}"),
    };
    enter(network, work)
}

/// The same for any network.
pub fn enter<T: Send>(network: &File, work: impl FnOnce() -> T + Send) -> T {
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
    let network = new().map_err(|error| {
        format!(
            "tests with a real API server need a network of their own, in which 10.77.0.0/16 is local, \
             and root to make it: run them as root ({error})"
        )
    })?;
    // On this device, a prefix makes all of its addresses local.
    ip("address add 10.77.0.1/16 dev lo")?;
    // Without an address of its own it has the lowest of its lines', and so another one whenever a pod
    // comes or goes; then all others send what they answer to the one that they remember.
    ip("link add pods address 02:00:0a:4e:00:01 type bridge")?;
    ip(&format!("address add {GATEWAY}/16 dev pods"))?;
    ip("link set pods up")?;
    Ok(network)
}

/// A network of a pod, which ends with its last process when the file is closed. The link is the far
/// end of its line, which is to be deleted by whoever made it.
pub fn make_pod(link: &str, address: Ipv4Addr) -> Result<File, String> {
    let network = in_a_thread(new)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
    ip(&format!(
        "link add {link} type veth peer name eth0 netns {path}"
    ))?;
    ip(&format!("link set {link} master pods up"))?;
    enter(&network, || {
        ip(&format!("address add {address}/16 dev eth0"))?;
        ip("link set eth0 up")?;
        ip(&format!("route add default via {GATEWAY}"))
    })?;
    Ok(network)
}

/// Moves this thread into a new network.
fn new() -> Result<File, String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string())?;
    ip("link set lo up")?;
    File::open("/proc/thread-self/ns/net").map_err(|error| error.to_string())
}

/// Runs ip in the network of this thread.
pub fn ip(arguments: &str) -> Result<(), String> {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let words = String::from_utf8_lossy(&done.stderr);
            Err(format!("ip {arguments}: {}", words.trim()))
        }
        Err(error) => Err(format!("ip {arguments}: {error} (package iproute2)")),
    }
}
