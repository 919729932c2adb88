//! One watch: what the API says, read and pruned, as messages to the one task that owns all objects.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::Status;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::snapshot::ObjectName;
use crate::telemetry::chain;

use super::kept::{Read, Watched, name_of};
use super::watches::WatchState;

/// Between a failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What did not fail for this long runs again: longer than a pause and a connection that never comes
/// about take together. A watch that was taken up again says nothing before something changes.
const CALM: Duration = Duration::from_secs(45);

/// What a watch says, and which one it is.
#[derive(Debug)]
pub struct Message {
    pub watch: usize,
    pub said: Said,
}

#[derive(Debug)]
pub enum Said {
    ListBegins,
    Listed(Read),
    ListEnds,
    Changed(Read),
    Gone(ObjectName),
    Failed(WatchState),
    /// It has not failed again for a while.
    Calm,
    /// The answer to a look-up; None where there is no such object.
    LookedUp(ObjectName, Option<Read>),
}

/// Follows all objects of an API until nobody listens any more. Failures are told, and tried again.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    watch: usize,
    messages: mpsc::Sender<Message>,
) where
    K: Watched + Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut stream = pin!(watcher(api, config));
    let mut failures = Failures::default();
    loop {
        let mut pause = None;
        let said = match timeout(CALM, stream.next()).await {
            Ok(Some(Ok(event))) => Some(said(event)),
            Ok(Some(Err(error))) => {
                pause = Some(failures.pause(Instant::now()));
                state_of(&error).map(Said::Failed)
            }
            // The stream itself never ends.
            Ok(None) => return,
            Err(_) => failures.forget().then_some(Said::Calm),
        };
        if let Some(said) = said
            && messages.send(Message { watch, said }).await.is_err()
        {
            return;
        }
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
}

fn said<K: Watched + Resource>(event: Event<K>) -> Said {
    match event {
        Event::Init => Said::ListBegins,
        Event::InitApply(object) => Said::Listed(object.kept()),
        Event::InitDone => Said::ListEnds,
        Event::Apply(object) => Said::Changed(object.kept()),
        Event::Delete(object) => Said::Gone(name_of(object.meta())),
    }
}

/// How long to wait after a failure: longer each time, and short again after a while without any.
/// That a list could begin means nothing: each try begins one.
#[derive(Debug, Default)]
struct Failures {
    last: Option<(Instant, Duration)>,
}

impl Failures {
    /// Says whether there was any.
    fn forget(&mut self) -> bool {
        self.last.take().is_some()
    }

    fn pause(&mut self, now: Instant) -> Duration {
        let pause = match self.last {
            Some((at, pause)) if now < at + CALM => (2 * pause).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.last = Some((now, pause));
        pause
    }
}

/// What an error means for the watch; None where it is a part of watching: a version that the API
/// server has forgotten is followed by a new list.
pub fn state_of(error: &watcher::Error) -> Option<WatchState> {
    let status: Option<&Status> = match error {
        watcher::Error::WatchError(status) => Some(status),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    };
    match status.map(|status| status.code) {
        Some(410) => None,
        Some(403) => Some(WatchState::Forbidden),
        Some(404) => Some(WatchState::Absent),
        _ => Some(WatchState::Failing(chain(error))),
    }
}

/// Looks up one object, for as long as it takes to get an answer.
pub async fn look_up<K>(api: Api<K>, name: ObjectName) -> Said
where
    K: Watched + Clone + DeserializeOwned + Debug,
{
    let mut failures = Failures::default();
    loop {
        match api.get_opt(&name.name).await {
            Ok(found) => return Said::LookedUp(name, found.map(Watched::kept)),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Said::LookedUp(name, None);
            }
            Err(_) => sleep(failures.pause(Instant::now())).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api_error(code: u16) -> watcher::Error {
        let status = Status::failure("no", "Reason").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_the_api_server_answers_becomes_a_named_state() {
        assert_eq!(state_of(&api_error(403)), Some(WatchState::Forbidden));
        assert_eq!(state_of(&api_error(404)), Some(WatchState::Absent));
        assert_eq!(state_of(&api_error(410)), None);
        let failing = state_of(&api_error(500));
        assert!(matches!(failing, Some(WatchState::Failing(words)) if words.contains("no")));
    }

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
}
