//! What the benchmarks share.

use std::path::PathBuf;

use jiff::civil::date;
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
