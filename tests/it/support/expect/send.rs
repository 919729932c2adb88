//! Sends one planned request, over the connection of the last one if it was kept.

use std::time::Duration;

use super::check::Seen;
use super::plan::{Kind, Plan};
use crate::support::client::{Handshaken, Http1, Http2, WebSocket};

/// How long a piece of a stream may take to come back before it counts as held up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that the next request may use again.
pub enum Kept {
    One(Http1),
    Two(Http2),
}

pub async fn send(plan: &Plan, kept: &mut Option<Kept>) -> anyhow::Result<Seen> {
    let Plan {
        target, request, ..
    } = plan;
    let mut at_once = None;
    let response = match &plan.kind {
        Kind::Http1 => {
            let mut connection = match kept.take() {
                Some(Kept::One(connection)) => connection,
                _ => Http1::connect(target).await?,
            };
            let response = connection.send(request).await?;
            *kept = Some(Kept::One(connection));
            response
        }
        Kind::Http2 => {
            let mut connection = match kept.take() {
                Some(Kept::Two(connection)) => connection,
                _ => Http2::connect(target).await?,
            };
            let response = connection.send(request).await?;
            *kept = Some(Kept::Two(connection));
            response
        }
        Kind::WebSocket(text) => match WebSocket::connect(target, request).await? {
            Handshaken::Refused(response) => response,
            Handshaken::Open(mut socket) => {
                let mut response = socket.response.clone();
                response.body = socket.echo(text).await?.into_bytes();
                response
            }
        },
        Kind::Stream(pieces) => {
            let mut connection = Http1::connect(target).await?;
            let streamed = connection.stream(request, pieces, PATIENCE).await?;
            at_once = Some(streamed.at_once);
            streamed.response
        }
    };
    Ok(Seen { response, at_once })
}
