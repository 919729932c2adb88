//! Clients that send requests all the time and keep a list of every one that failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::tls::Tls;
use crate::support::client::{Http1, Request, Response, Target};

/// Between two requests of a client, so that the machine has time for the proxy.
const PAUSE: Duration = Duration::from_millis(3);

/// What one client does; each runs as often as it is named here.
const CLIENTS: [Client; 7] = [
    Client::new(false, false, false),
    Client::new(false, false, true),
    Client::new(false, true, false),
    Client::new(false, true, true),
    Client::new(true, false, false),
    Client::new(true, true, false),
    Client::new(true, true, true),
];

#[derive(Clone, Copy, Debug)]
struct Client {
    tls: bool,
    kept: bool,
    posts: bool,
}

impl Client {
    const fn new(tls: bool, kept: bool, posts: bool) -> Self {
        Self { tls, kept, posts }
    }
}

/// What became of all requests.
#[derive(Debug, Default)]
pub struct Log {
    pub answered: usize,
    /// Moment, client and what it saw.
    pub failed: Vec<String>,
}

pub struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Log>,
}

impl Load {
    /// Asks one host for `/`, by all clients at the same time.
    pub fn begin(host: &'static str, http: SocketAddr, https: SocketAddr) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in CLIENTS {
            let mut target = match client.tls {
                true => Target::tls(https, Tls::to(host)),
                false => Target::plain(http),
            };
            target.timeout = Duration::from_secs(10);
            let (ended, answered) = (ended.clone(), answered.clone());
            clients.spawn(run(client, host, target, ended, answered));
        }
        Self {
            ended,
            answered,
            clients,
        }
    }

    /// Until so many requests were answered well, or some have failed for too long to wait for it.
    pub async fn until_answered(&self, count: usize) {
        let reached = async {
            while self.answered.load(Ordering::Relaxed) < count {
                sleep(PAUSE).await;
            }
        };
        let _ = timeout(Duration::from_secs(60), reached).await;
    }

    pub async fn end(mut self) -> Log {
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Log::default();
        while let Some(log) = self.clients.join_next().await {
            let log = log.expect("no client panics");
            all.answered += log.answered;
            all.failed.extend(log.failed);
        }
        all
    }
}

async fn run(
    client: Client,
    host: &str,
    target: Target,
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Log {
    let began = Instant::now();
    let mut log = Log::default();
    let mut connection = None;
    let request = match client.posts {
        true => Request::post(host, "/", "x".repeat(5000)),
        false => Request::get(host, "/"),
    };
    while !ended.load(Ordering::Relaxed) {
        match ask(&mut connection, &target, &request).await {
            Ok(response) if is_good(client, &response) => {
                log.answered += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response) => {
                let text = format!("{} {}", response.status, response.text());
                log.failed
                    .push(format!("{:?} {client:?}: {text}", began.elapsed()));
            }
            Err(error) => {
                let words = format!("{:?} {client:?}: {error:#}", began.elapsed());
                log.failed.push(words);
                connection = None;
            }
        }
        if !client.kept {
            connection = None;
        }
        sleep(PAUSE).await;
    }
    log
}

/// By the connection that is open, or by a new one. One that the proxy has said to close is given up.
async fn ask(
    connection: &mut Option<Http1>,
    target: &Target,
    request: &Request,
) -> anyhow::Result<Response> {
    let mut kept = match connection.take() {
        Some(kept) => kept,
        None => Http1::connect(target).await?,
    };
    let response = kept.send(request).await?;
    let closes = response
        .values("connection")
        .any(|value| value.eq_ignore_ascii_case("close"));
    if !closes {
        *connection = Some(kept);
    }
    Ok(response)
}

fn is_good(client: Client, response: &Response) -> bool {
    let seen = response.report();
    let body = if client.posts { 5000 } else { 0 };
    response.status == 200 && seen.is_some_and(|report| report.body_bytes == body)
}
