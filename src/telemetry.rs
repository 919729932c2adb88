//! Logs and metrics of the long-running forms. Logs go to standard error, one event a line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Begins to log. What is logged is said by `VIGIE_LOG`, in the form of `tracing-subscriber`'s filters
/// (`vigie=debug`); without it, what is worth knowing of us and what is wrong elsewhere. The client of
/// the API server says nothing of its own: whoever asks tells what failed, once, and its warnings hold
/// the whole of an answer that it cannot read, which may be a Secret.
pub fn log(format: LogFormat) {
    let default =
        || EnvFilter::new("warn,kube_client::client=off,kube_runtime::watcher=off,vigie=info");
    let filter = EnvFilter::try_from_env("VIGIE_LOG").unwrap_or_else(|_| default());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // A second call is one of a test; the first holds.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// A message and its causes' messages, in one line. What the text before a cause says already is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// All metrics of this process. Whoever has some keeps its own handles to them.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Default for Metrics {
    /// Those that each process has.
    fn default() -> Self {
        let metrics = Self(Arc::default());
        metrics.register(|registry| {
            let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("build", "The version that runs", build);
        });
        metrics
    }
}

/// A count as a gauge has it; one that is too large is the largest.
pub fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Has a counter show what is counted elsewhere, and only ever grows there.
pub fn counted(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}

/// The same of a time, in seconds.
pub fn counted_time(counter: &Counter<f64, AtomicU64>, time: Duration) {
    let seconds = time.as_secs_f64().to_bits();
    counter.inner().store(seconds, Ordering::Relaxed);
}

impl Metrics {
    /// Adds metrics, each under `vigie_` and the name that is given; those of counters end in `_total`
    /// where they are printed.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        self.register_as("vigie", add);
    }

    /// The same under another word.
    pub fn register_as(&self, prefix: &str, add: impl FnOnce(&mut Registry)) {
        if let Ok(mut registry) = self.0.lock() {
            add(registry.sub_registry_with_prefix(prefix));
        }
    }

    /// All of them as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Ok(registry) = self.0.lock() {
            // Writing to a string cannot fail.
            let _ = encode(&mut text, &registry);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_grows_is_told_to_be_a_counter() {
        let (count, time) = (Counter::default(), Counter::<f64, AtomicU64>::default());
        let metrics = Metrics::default();
        metrics.register(|registry| {
            registry.register("loads", "Loads", count.clone());
            registry.register("load_seconds", "What they took", time.clone());
        });
        counted(&count, 7);
        counted_time(&time, Duration::from_millis(1500));
        let text = metrics.text();
        for line in [
            "# TYPE vigie_loads counter",
            "vigie_loads_total 7",
            "vigie_load_seconds_total 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }
}
