//! One watch: what the API says, read and pruned, as messages to the one task that owns all objects.

use std::fmt::Debug;
use std::pin::pin;

use futures_util::StreamExt;
use kube::core::Status;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::snapshot::ObjectName;
use crate::telemetry::chain;
use crate::watching::{CALM, Failures, watching};

use super::kept::{Read, Watched, name_of};
use super::watches::WatchState;

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
    let mut stream = pin!(watching(api, config));
    let mut failed = false;
    loop {
        let said = match timeout(CALM, stream.next()).await {
            Ok(Some(Ok(event))) => Some(said(event)),
            Ok(Some(Err(error))) => {
                failed = true;
                state_of(&error).map(Said::Failed)
            }
            // The stream itself never ends.
            Ok(None) => return,
            Err(_) => std::mem::take(&mut failed).then_some(Said::Calm),
        };
        if let Some(said) = said
            && messages.send(Message { watch, said }).await.is_err()
        {
            return;
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
}
