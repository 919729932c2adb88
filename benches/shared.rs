//! What the benchmarks share.

use jiff::civil::date;
use vigie::translate::{Classes, Memory, Options};

/// What a build reads beside the snapshot.
pub fn options() -> Options {
    Options {
        classes: Classes {
            name: "vigie".into(),
            controllers: Vec::new(),
            semantics: None,
            without_class: false,
            reads_agic: false,
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
