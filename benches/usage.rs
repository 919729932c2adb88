//! What is measured with.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

/// CPU time so far.
pub fn cpu(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("usage is known");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64)
    };
    of(usage.user_time()) + of(usage.system_time())
}
