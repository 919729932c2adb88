//! Proxies that do not run what they are to run, and which of them have been stuck for so long that
//! nobody is to be held back for them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::proxies::Proxy;

/// How long a proxy may be behind without moving.
pub const STUCK: Duration = Duration::from_secs(30);

/// By the name of the pod.
#[derive(Default)]
pub struct Behind(BTreeMap<String, Place>);

/// What a proxy has run all the while.
struct Place {
    revision: Option<String>,
    since: Instant,
}

impl Behind {
    /// What is known of those that are behind now.
    pub fn noted<'p>(mut self, behind: impl Iterator<Item = &'p Proxy>, now: Instant) -> Self {
        let noted = behind.map(|proxy| {
            let before = self.0.remove(&proxy.pod);
            let same = before.filter(|before| before.revision == proxy.revision);
            let place = same.unwrap_or_else(|| Place {
                revision: proxy.revision.clone(),
                since: now,
            });
            (proxy.pod.clone(), place)
        });
        Self(noted.collect())
    }

    pub fn is_stuck(&self, proxy: &Proxy, now: Instant) -> bool {
        let place = self.0.get(&proxy.pod);
        place.is_some_and(|place| place.since + STUCK <= now)
    }

    /// When the next one will be.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let moments = self.0.values().map(|place| place.since + STUCK);
        moments.filter(|moment| *moment > now).min()
    }
}
