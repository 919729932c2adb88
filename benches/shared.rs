//! What the benchmarks share.

use jiff::civil::date;
use vigie::translate::Options;

/// What a build reads beside the snapshot.
pub fn options() -> Options {
    Options::of_class("vigie", date(2026, 11, 24))
}

/// An object of the API, written as JSON.
pub fn of<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("the estate's objects are well formed")
}
