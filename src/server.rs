//! What operations ask of a running process, over plain HTTP: `/healthz` (it lives), `/readyz` (it is of
//! use, or what it waits for), `/metrics` (OpenMetrics) and, where there is one, `/debug/model`, which is
//! for peers of the same pod alone.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::Metrics;

/// What has to be done before a process is of use, and whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub name: String,
    /// What is pending makes the process not ready.
    pub state: TaskState,
    /// In a few words, for people; may be empty.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    Done,
    Pending,
    /// It does not work, and what can be done without it is done.
    Degraded,
}

impl TaskState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Pending => "pending",
            Self::Degraded => "degraded",
        }
    }
}

type Ask<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// What is served. Whoever makes it says how things stand at the moment of the question.
#[derive(Clone)]
pub struct Pages {
    pub tasks: Ask<Vec<Task>>,
    pub metrics: Metrics,
    /// Called before metrics are printed, for those that are looked up rather than counted.
    pub refresh: Ask<()>,
    /// JSON without anything private.
    pub model: Option<Ask<String>>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for health and metrics")]
pub struct ServerError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Serves until it is dropped; the address is the one that is listened on, also where port 0 was asked
/// for.
pub async fn serve(
    address: SocketAddr,
    pages: Pages,
) -> Result<(SocketAddr, impl Future<Output = ()>), ServerError> {
    let failed = |source| ServerError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = router(pages).into_make_service_with_connect_info::<SocketAddr>();
    let serving = async move {
        // It has no end but that of the process.
        let _ = axum::serve(listener, router).await;
    };
    Ok((bound, serving))
}

fn router(pages: Pages) -> Router {
    let tasks = pages.tasks.clone();
    let mut router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready(tasks()) }));
    let Pages {
        metrics, refresh, ..
    } = pages;
    let text = move || async move {
        refresh();
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], metrics.text())
    };
    router = router.route("/metrics", get(text));
    if let Some(model) = pages.model {
        let json = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            shown(peer.ip(), &model)
        };
        router = router.route("/debug/model", get(json));
    }
    router
}

/// The model tells of every route of every namespace: whoever may look into the pod may see it, and not
/// whoever can reach its port. What `kubectl port-forward` carries comes from the pod itself.
fn shown(peer: IpAddr, model: &Ask<String>) -> Response {
    if peer.to_canonical().is_loopback() {
        return ([(header::CONTENT_TYPE, "application/json")], model()).into_response();
    }
    let words = format!(
        "/debug/model is for peers on a loopback address, and {peer} is none; reach it with kubectl \
         port-forward POD PORT, or with kubectl exec POD from inside\n"
    );
    (StatusCode::FORBIDDEN, words).into_response()
}

/// One line for each task; 503 while one is pending.
fn ready(tasks: Vec<Task>) -> impl IntoResponse {
    let mut text = String::new();
    for Task {
        name,
        state,
        detail,
    } in &tasks
    {
        let colon = if detail.is_empty() { "" } else { ": " };
        let _ = writeln!(text, "{} {name}{colon}{detail}", state.as_str());
    }
    let pending = tasks.iter().any(|task| task.state == TaskState::Pending);
    let status = match pending {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    (status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_shown_to_peers_of_the_same_pod_alone() {
        let model: Ask<String> = Arc::new(|| "{}".to_owned());
        let status = |peer: &str| shown(peer.parse().unwrap(), &model).status();
        for own in ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(status(own), StatusCode::OK, "{own}");
        }
        for other in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            assert_eq!(status(other), StatusCode::FORBIDDEN, "{other}");
        }
    }
}
