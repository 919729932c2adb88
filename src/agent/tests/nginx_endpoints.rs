//! Endpoints and certificates of a running nginx change without a reload.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::proxies::{NGINX, endpoint, get, processes_of, workers_of};
use super::rendered::{Served, to, with_host};
use super::*;
use crate::render::Placement;
use crate::render::nginx::tests::builders::{upstream, upstream_name};

/// Answers, on every address of a family, the one that it was reached by.
async fn mirror(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = stream.local_addr().unwrap().ip().to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// Asks until an answer fits, and gives it.
async fn eventually(address: SocketAddr, fits: impl Fn(&(u16, String)) -> bool) -> (u16, String) {
    timeout(PATIENCE, async {
        loop {
            match get(address, "/").await {
                Ok(answer) if fits(&answer) => return answer,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .expect("the answer never comes")
}

#[tokio::test]
async fn the_last_endpoint_goes_and_comes_back_without_a_reload() {
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let port = served.http.port();
        let one = SocketAddr::from(([127, 77, 9, 1], port));
        let _one = endpoint(one, "one").await;
        // Nobody has asked before: the very first request meets an upstream without endpoints.
        let mut none = to(&[]);
        let up = none.upstreams.get_mut(&upstream_name("up")).unwrap();
        up.port = Some(port);
        assert_eq!(served.load(&none).await.kind, LoadKind::Started);
        assert_eq!(served.get("/").await.0, 503);
        let workers = processes_of(&served.root);
        for _ in 0..2 {
            assert_eq!(served.load(&to(&[one])).await.kind, LoadKind::Live);
            // Once the load is told, no request fails.
            assert_eq!(served.get("/").await, (200, "one".into()));
            assert_eq!(served.load(&none).await.kind, LoadKind::Live);
            let (_, body) = eventually(served.http, |(status, _)| *status == 503).await;
            assert!(body.contains("no endpoint is ready"), "{body}");
        }
        assert_eq!(processes_of(&served.root), workers);
        served.running.stop().await;
    }
}

#[tokio::test]
async fn endpoints_with_ipv6_addresses_alone_change_without_a_reload() {
    let port = mirror("::1").await;
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let real = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
        let gone = SocketAddr::from(([0xff0e, 0, 0, 0, 0, 0, 0, 2], port));
        assert_eq!(served.load(&to(&[real])).await.kind, LoadKind::Started);
        assert_eq!(served.get("/").await, (200, "::1".into()));
        assert_eq!(served.load(&to(&[gone])).await.kind, LoadKind::Live);
        eventually(served.http, |(status, _)| *status == 502).await;
        assert_eq!(served.load(&to(&[real])).await.kind, LoadKind::Live);
        eventually(served.http, |(status, _)| *status == 200).await;
        // Its family is not known while there is none; nobody is told that an endpoint is broken.
        served.load(&to(&[])).await;
        eventually(served.http, |(status, _)| *status == 503).await;
        served.load(&to(&[real])).await;
        assert_eq!(served.get("/").await, (200, "::1".into()));
        served.running.stop().await;
    }
}

#[tokio::test]
async fn thousands_of_endpoints_of_one_upstream_are_all_used() {
    const COUNT: u16 = 2000;
    let port = mirror("0.0.0.0").await;
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let at = |second: u8, n: u16| {
            SocketAddr::from(([127, second, (n >> 8) as u8, (n & 255) as u8 + 1], port))
        };
        // An address ends in 1 to 255.
        let all = |second: u8| -> Vec<SocketAddr> {
            let numbers = (0..).filter(|n: &u16| n & 255 != 255);
            numbers.take(COUNT.into()).map(|n| at(second, n)).collect()
        };
        assert_eq!(served.load(&to(&all(91))).await.kind, LoadKind::Started);
        assert_eq!(served.get("/").await.0, 200);
        // All others at once: for a moment the zone holds both.
        let wanted = all(92);
        assert_eq!(served.load(&to(&wanted)).await.kind, LoadKind::Live);
        let mut missing: BTreeSet<String> = wanted.iter().map(|a| a.ip().to_string()).collect();
        let asked = async {
            while !missing.is_empty() {
                let (status, address) = served.get("/").await;
                assert_eq!(status, 200);
                missing.remove(&address);
            }
        };
        let asked = timeout(PATIENCE, asked).await;
        asked.unwrap_or_else(|_| panic!("{} are never used", missing.len()));
        served.running.stop().await;
    }
}

#[tokio::test]
async fn more_upstreams_get_more_resolvers_as_they_come() {
    let port = mirror("0.0.0.0").await;
    let each = Placement::UPSTREAMS_PER_RESOLVER;
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let endpoint = |last: u8| SocketAddr::from(([127, 93, 0, last], port));
        let with = |count: usize, last: u8| {
            let mut model = to(&[endpoint(last)]);
            for n in 0..count {
                let service = format!("s{n}");
                let of = upstream(&[&endpoint(last).to_string()]);
                model.upstreams.insert(upstream_name(&service), of);
            }
            model
        };
        assert_eq!(served.load(&with(1, 1)).await.kind, LoadKind::Started);
        for _ in 0..2 {
            let any = "127.0.0.1:0".parse().unwrap();
            served.dns.listen(any).await.unwrap();
        }
        assert_eq!(
            served.load(&with(3 * each, 1)).await.kind,
            LoadKind::Reloaded
        );
        assert_eq!(served.get("/").await, (200, "127.93.0.1".into()));
        let begun = Instant::now();
        assert_eq!(served.load(&with(3 * each, 2)).await.kind, LoadKind::Live);
        eventually(served.http, |(_, body)| body == "127.93.0.2").await;
        // A question that is lost is asked again after five seconds only.
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        served.running.stop().await;
    }
}

#[tokio::test]
async fn endpoints_go_on_changing_after_a_reload_and_a_killed_worker() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let port = mirror("0.0.0.0").await;
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let at = |last: u8| SocketAddr::from(([127, 94, 0, last], port));
        served.load(&to(&[at(1)])).await;
        let reloaded = served.load(&with_host(to(&[at(2)]), "b.example")).await;
        assert_eq!(reloaded.kind, LoadKind::Reloaded);
        assert_eq!(served.get("/").await, (200, "127.94.0.2".into()));
        // One of the workers asks for all of them; whichever dies, another one does.
        for last in 3..7 {
            let workers = workers_of(&served.root);
            let worker = workers[usize::from(last) % workers.len()];
            kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
            let live = served.load(&with_host(to(&[at(last)]), "b.example")).await;
            assert_eq!(live.kind, LoadKind::Live);
            let expected = format!("127.94.0.{last}");
            eventually(served.http, |(_, body)| *body == expected).await;
        }
        served.running.stop().await;
    }
}
