//! The signals that end a long-running form.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    received: watch::Sender<bool>,
}

impl Signals {
    /// From here on a signal is ours to answer.
    pub fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            received: watch::Sender::new(false),
        })
    }

    /// Whether one has come that was waited for.
    pub fn received(&self) -> watch::Receiver<bool> {
        self.received.subscribe()
    }

    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.received.send_replace(true);
    }
}
