//! What a command runs on.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// For tools, which wait most of the time.
pub fn one_thread() -> anyhow::Result<Runtime> {
    build(Builder::new_current_thread())
}

/// For what serves; None is a thread for each core.
pub fn threads(number: Option<usize>) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(number) = number {
        builder.worker_threads(number);
    }
    build(builder)
}

fn build(mut builder: Builder) -> anyhow::Result<Runtime> {
    builder
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
