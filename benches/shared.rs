//! What the benchmarks share.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::date;
use nix::sys::resource::{UsageWho, getrusage};
use vigie::render::ProxyKind;
use vigie::standalone::find::find;
use vigie::translate::{Classes, Memory, Options};

/// What a build reads beside the snapshot.
pub fn options() -> Options {
    Options {
        classes: Classes {
            name: "vigie".into(),
            controllers: Vec::new(),
            semantics: None,
            without_class: false,
        },
        default_backend: None,
        default_certificate_secret: None,
        default_certificate: None,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        today: date(2026, 11, 24),
        memory: Memory::default(),
    }
}

/// An object of the API, written as JSON.
pub fn of<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("the estate's objects are well formed")
}

/// The proxy that `make proxies` got.
pub fn binary(proxy: ProxyKind) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = runtime.expect("a runtime").block_on(find(proxy, None));
    found.expect("make proxies gets it").binary
}

/// CPU time of this process so far.
pub fn cpu() -> Duration {
    cpu_of(UsageWho::RUSAGE_SELF)
}

pub fn cpu_of(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("usage is known");
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64)
    };
    of(usage.user_time()) + of(usage.system_time())
}
