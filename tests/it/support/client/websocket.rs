//! A WebSocket whose handshake is an ordinary request of ours, so that any header can go along.

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Http1, Request, Response, Target, Wire, within};

/// The sample key of RFC 6455: nothing here depends on it being random.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An open WebSocket, or the answer that refused it.
pub enum Handshaken {
    Open(Box<WebSocket>),
    Refused(Response),
}

pub struct WebSocket {
    /// The 101 that opened it.
    pub response: Response,
    socket: WebSocketStream<Box<dyn Wire>>,
    target: Target,
}

impl WebSocket {
    pub async fn connect(target: &Target, request: &Request) -> anyhow::Result<Handshaken> {
        let mut connection = Http1::connect(target).await?;
        let request = request
            .clone()
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY);
        let response = connection.send(&request).await?;
        if response.status != 101 {
            return Ok(Handshaken::Refused(response));
        }
        let accept = response.header("sec-websocket-accept");
        ensure!(
            accept == Some(&derive_accept_key(KEY.as_bytes())),
            "the upgrade was accepted with the wrong key: {accept:?}"
        );
        let reader = connection.reader;
        let wire = reader.half.unsplit(connection.writer);
        let socket =
            WebSocketStream::from_partially_read(wire, reader.buffer, Role::Client, None).await;
        Ok(Handshaken::Open(Box::new(WebSocket {
            response,
            socket,
            target: target.clone(),
        })))
    }

    /// Sends a text and returns the next one that comes.
    pub async fn echo(&mut self, text: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + self.target.timeout;
        let round_trip = async {
            self.socket.send(Message::text(text)).await?;
            loop {
                match self
                    .socket
                    .next()
                    .await
                    .context("the socket was closed")??
                {
                    Message::Text(text) => return Ok(text.to_string()),
                    Message::Close(why) => bail!("the socket was closed: {why:?}"),
                    _ => {}
                }
            }
        };
        within(deadline, "waiting for the echo of a WebSocket", round_trip).await
    }
}
