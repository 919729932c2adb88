//! Watches of the API server that go on for ever: what fails is tried again after a pause that grows,
//! and a version that the API server has forgotten is followed by a new list, in whichever way it says
//! so. The watcher of the client begins anew only where the watch itself ends by that; an answer of 410
//! to its beginning it would ask for again without end.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

/// Between a failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What did not fail for this long runs again: longer than a pause and a connection that never comes
/// about take together. A watch that was taken up again says nothing before something changes.
pub const CALM: Duration = Duration::from_secs(45);

struct Watching<K: Debug + Send + 'static> {
    api: Api<K>,
    config: watcher::Config,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    failures: Failures,
    /// Before the next try.
    pause: Option<Duration>,
}

/// All that happens to the objects of an API, from a list on. It never ends.
pub fn watching<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watching = Watching {
        events: watcher(api.clone(), config.clone()).boxed(),
        api,
        config,
        failures: Failures::default(),
        pause: None,
    };
    stream::unfold(watching, Watching::next)
}

impl<K> Watching<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(mut self) -> Option<(watcher::Result<Event<K>>, Self)> {
        if let Some(pause) = self.pause.take() {
            sleep(spread(pause)).await;
        }
        let event = self.events.next().await?;
        if let Err(error) = &event {
            self.pause = Some(self.failures.pause(Instant::now()));
            if is_forgotten(error) {
                self.events = watcher(self.api.clone(), self.config.clone()).boxed();
            }
        }
        Some((event, self))
    }
}

fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// Up to half as long again, so that many who fail at the same moment do not come back at the same one.
fn spread(pause: Duration) -> Duration {
    let parts = u32::try_from(RandomState::new().hash_one(()) % 512).unwrap_or_default();
    pause + pause * parts / 1024
}

/// How long to wait after a failure: longer each time, and short again after a while without any.
/// That a list could begin means nothing: each try begins one.
#[derive(Debug, Default)]
pub struct Failures {
    last: Option<(Instant, Duration)>,
}

impl Failures {
    pub fn pause(&mut self, now: Instant) -> Duration {
        let pause = match self.last {
            Some((at, pause)) if now < at + CALM => (2 * pause).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.last = Some((now, pause));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_it_was_calm() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let mut at = start;
        let pauses: Vec<u128> = (0..9)
            .map(|_| {
                let pause = failures.pause(at);
                at += pause;
                pause.as_millis()
            })
            .collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(failures.pause(at + CALM), FIRST_PAUSE);
    }

    #[test]
    fn a_pause_is_spread_by_up_to_a_half() {
        let pause = Duration::from_secs(2);
        let all: Vec<Duration> = (0..100).map(|_| spread(pause)).collect();
        assert!(all.iter().all(|one| *one >= pause && *one <= pause * 3 / 2));
        assert!(all.iter().any(|one| *one != all[0]), "{all:?}");
    }
}
