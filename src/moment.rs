//! Waiting for a moment that may never come, as an arm of a `select!` does.

use tokio::time::{Instant, sleep_until};

/// Ends at the moment; never where there is none.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
