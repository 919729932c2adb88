//! Watches are not begun again at once where they end as soon as they begin. What lies between us and
//! the API server may cut each of them short; the watcher of the client takes that for the end of any
//! watch, and would ask for the next one without a pause.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Uri};
use tokio::time::{Instant, sleep_until};
use tower::Service;

/// From the beginning of a watch to that of the next one like it.
const LEAST: Duration = Duration::from_secs(1);

pub struct PacedWatches<S> {
    service: S,
    /// When each was begun last, or is to be.
    begun: BTreeMap<String, Instant>,
}

impl<S> PacedWatches<S> {
    pub fn new(service: S) -> Self {
        Self {
            service,
            begun: BTreeMap::new(),
        }
    }

    /// When a request may be sent.
    fn due(&mut self, uri: &Uri, now: Instant) -> Instant {
        let Some(watch) = watch_of(uri) else {
            return now;
        };
        let last = self.begun.get(&watch);
        let due = last.map_or(now, |last| now.max(*last + LEAST));
        self.begun.insert(watch, due);
        due
    }
}

/// Names a watch, whichever version it begins at; None for all other requests.
fn watch_of(uri: &Uri) -> Option<String> {
    let parts = uri.query()?.split('&');
    let parts = parts.filter(|part| !part.starts_with("resourceVersion="));
    let parts: Vec<&str> = parts.collect();
    let watches = parts.contains(&"watch=true");
    watches.then(|| format!("{}?{}", uri.path(), parts.join("&")))
}

impl<S, B> Service<Request<B>> for PacedWatches<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let due = self.due(request.uri(), Instant::now());
        // Nothing is sent before it is asked for its answer.
        let answer = self.service.call(request);
        Box::pin(async move {
            sleep_until(due).await;
            answer.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_begun_once_a_second_and_nothing_else_waits() {
        let start = Instant::now();
        let mut paced = PacedWatches::new(());
        let mut due = |uri: &str, at: Duration| {
            let uri: Uri = uri.parse().unwrap();
            paced.due(&uri, start + at) - start
        };
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        let watch = "/api/v1/pods?&watch=true&timeoutSeconds=150&resourceVersion=1";
        let later = "/api/v1/pods?&watch=true&timeoutSeconds=150&resourceVersion=2";
        assert_eq!(due(watch, none), none);
        assert_eq!(due(later, second / 10), second);
        assert_eq!(due(later, second / 5), 2 * second);
        assert_eq!(due(later, 5 * second), 5 * second);
        let other = "/api/v1/pods?&watch=true&labelSelector=a%3Db&resourceVersion=1";
        assert_eq!(due(other, 5 * second), 5 * second);
        assert_eq!(due("/api/v1/pods?limit=500", none), none);
        assert_eq!(due("/api/v1/pods?limit=500", none), none);
    }
}
