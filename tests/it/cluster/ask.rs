//! Asking a proxy, until it answers as it should.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use super::{GLANCE, PATIENCE};
use crate::support::client::tls::Tls;
use crate::support::client::{Request, Response, Target, exchange};

/// Asks an address for a URL, whose host is asked for by name and looked up nowhere. Ports are those
/// that an agent's proxy listens on in a pod, unless the URL says another; any certificate is good.
pub async fn ask(address: IpAddr, url: &str) -> anyhow::Result<Response> {
    let (scheme, rest) = url.split_once("://").context("a URL has a scheme")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let usual = if scheme == "https" { "8443" } else { "8080" };
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, usual));
    let address = (address, port.parse().context("a port")?).into();
    let mut target = match scheme {
        "https" => Target::tls(address, Tls::to(host)),
        _ => Target::plain(address),
    };
    target.timeout = Duration::from_secs(2);
    exchange(&target, &Request::get(host, path)).await
}

/// Asks again and again until the answer is as it is wanted; shows the last one where none ever is.
pub async fn until_answer(
    address: IpAddr,
    url: &str,
    what: &str,
    wanted: impl Fn(&Response) -> bool,
) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = match ask(address, url).await {
            Ok(answer) if wanted(&answer) => return answer,
            Ok(answer) => format!("{} {}", answer.status, short(&answer.text())),
            Err(error) => format!("{error:#}"),
        };
        assert!(
            Instant::now() < deadline,
            "{address} never answers {url} with {what}: {seen}"
        );
        sleep(GLANCE).await;
    }
}

/// The same until a backend answers, known by its name.
pub async fn until_backend(address: IpAddr, url: &str, name: &str) -> Response {
    let is_it = |answer: &Response| answer.report().is_some_and(|seen| seen.backend == name);
    until_answer(address, url, name, is_it).await
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
