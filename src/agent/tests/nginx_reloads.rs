//! What a reload of nginx costs its clients, and what becomes of the workers before it.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bundles::nginx;
use super::proxies::{NGINX, endpoint, get, workers_of};
use super::rendered::{Served, to, with_host};
use super::*;
use crate::agent::nginx::MOST_GENERATIONS;

/// Counts requests on kept connections until it is told to stop; a lost one is a panic.
fn keep_asking(address: SocketAddr, stop: watch::Receiver<bool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut count = 0;
        'connections: while !*stop.borrow() {
            let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            loop {
                let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
                stream.get_mut().write_all(request).await.unwrap();
                let (mut last, mut length, mut head) = (false, 0, String::new());
                while !head.ends_with("\r\n\r\n") {
                    let read = stream.read_line(&mut head).await.unwrap();
                    assert!(read > 0, "a request was lost after {count} others");
                }
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                for line in head.to_ascii_lowercase().lines() {
                    last |= line == "connection: close";
                    let value = line.strip_prefix("content-length: ");
                    length = value.and_then(|v| v.parse().ok()).unwrap_or(length);
                }
                stream.read_exact(&mut vec![0; length]).await.unwrap();
                count += 1;
                if last || *stop.borrow() {
                    continue 'connections;
                }
            }
        }
        count
    })
}

#[tokio::test]
async fn a_storm_of_changes_costs_one_reload_a_second_and_no_request() {
    for line in NGINX {
        let resolve = ResolveOptions::default();
        let mut served = Served::new(line, Pace::default(), resolve).await;
        let at = SocketAddr::from(([127, 77, 10, 1], served.http.port()));
        let _endpoint = endpoint(at, "x").await;
        assert_eq!(served.load(&to(&[at])).await.kind, LoadKind::Started);
        assert_eq!(served.get("/").await.0, 200);
        let (stop, stopped) = watch::channel(false);
        let clients: Vec<_> = (0..4)
            .map(|_| keep_asking(served.http, stopped.clone()))
            .collect();
        let begun = Instant::now();
        let mut reloads = 0;
        let mut sent = 0;
        let mut last = None;
        // A change whenever the loop has taken notice of the one before, and 20 ms apart.
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while reloads < 4 {
            tokio::select! {
                _ = ticks.tick() => {
                    sent += 1;
                    let model = with_host(to(&[at]), &format!("h{sent}.example"));
                    let bundle = served.bundle(&model);
                    last = Some(bundle.revision());
                    served.running.send(&bundle);
                }
                load = served.running.next() => {
                    assert_eq!(load.kind, LoadKind::Reloaded, "{load:?}");
                    reloads += 1;
                }
            }
        }
        // The last one is not forgotten.
        while Some(served.running.next().await.revision) != last {
            reloads += 1;
        }
        assert!(
            begun.elapsed() >= Duration::from_secs(reloads),
            "{reloads} reloads"
        );
        assert!(sent > 10 * reloads, "{sent} changes in {reloads} reloads");
        stop.send_replace(true);
        for client in clients {
            assert!(client.await.unwrap() > 0);
        }
        served.running.stop().await;
    }
}

/// A request whose answer never ends.
async fn hold(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.read_exact(&mut [0; 17]).await.unwrap();
    stream
}

async fn never_ending(address: SocketAddr) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1";
            let _ = stream.write_all(head).await;
            all.push(stream);
        }
    });
}

#[tokio::test]
async fn workers_of_few_generations_drain_at_a_time() {
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let at = SocketAddr::from(([127, 77, 11, 1], served.http.port()));
        never_ending(at).await;
        served.load(&to(&[at])).await;
        let mut held = Vec::new();
        let mut notes = Vec::new();
        for n in 0..MOST_GENERATIONS + 2 {
            held.push(hold(served.http).await);
            let model = with_host(to(&[at]), &format!("h{n}.example"));
            let load = served.load(&model).await;
            assert_eq!(load.kind, LoadKind::Reloaded);
            assert!(load.aside.draining > 0);
            notes.extend(load.aside.notes);
        }
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("of the oldest workers were ended"));
        // The two oldest are cut off; all others go on, and so do new ones.
        for (n, stream) in held.iter_mut().enumerate() {
            let mut rest = Vec::new();
            if n < 2 {
                let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
                    .await
                    .unwrap();
            } else {
                let mut one = [0; 256];
                while stream.try_read(&mut one).is_ok_and(|read| read > 0) {}
                let error = stream.try_read(&mut one).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            }
        }
        hold(served.http).await;
        let bundle = with_host(to(&[at]), "last.example");
        drop(held);
        // With their clients they go by themselves.
        served.load(&bundle).await;
        let none = async {
            while workers_of(&served.root).iter().any(|pid| drains(*pid)) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, none).await.unwrap();
        served.running.stop().await;
    }
}

fn drains(pid: i32) -> bool {
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&title).contains("shutting down")
}

#[tokio::test]
async fn a_reload_is_told_only_when_no_old_worker_answers_any_more() {
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let bundle = |body: &str| nginx(served.http, None, "", body);
        served.running.send(&bundle("0"));
        assert_eq!(served.running.next().await.kind, LoadKind::Started);
        for n in 1..8 {
            let body = n.to_string();
            assert_eq!(
                served.running.load(&bundle(&body)).await,
                LoadKind::Reloaded
            );
            let asked: Vec<_> = (0..32)
                .map(|_| tokio::spawn(get(served.http, "/")))
                .collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap().unwrap(), (200, body.clone()));
            }
        }
        served.running.stop().await;
    }
}

#[tokio::test]
async fn workers_that_are_killed_in_the_middle_of_a_reload_do_not_fail_it() {
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let bundle = |body: &str| nginx(served.http, None, "", body);
        served.running.send(&bundle("0"));
        assert_eq!(served.running.next().await.kind, LoadKind::Started);
        for n in 1..8 {
            let body = n.to_string();
            let before = workers_of(&served.root);
            let new = bundle(&body);
            served.running.send(&new);
            let killed = loop {
                let all = workers_of(&served.root);
                if let Some(new) = all.iter().find(|pid| !before.contains(pid)) {
                    break [*new, before[n % before.len()]];
                }
                tokio::task::yield_now().await;
            };
            for pid in killed {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let load = served.running.next().await;
            assert_eq!(load.kind, LoadKind::Reloaded, "{load:?}");
            assert_eq!(served.get("/").await, (200, body));
        }
        served.running.stop().await;
    }
}

#[tokio::test]
async fn a_reload_that_fails_after_its_check_changes_nothing_and_is_tried_again() {
    for line in NGINX {
        let mut served = Served::nginx(line).await;
        let at = SocketAddr::from(([127, 77, 12, 1], served.http.port()));
        let _endpoint = endpoint(at, "x").await;
        served.load(&to(&[at])).await;
        let conf = |served: &Served| {
            let all = std::fs::read_dir(served.root.join("current/hosts")).unwrap();
            let all = all.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
            all.collect::<String>()
        };
        let before = conf(&served);
        let workers = workers_of(&served.root);
        // The check of nginx does not mind that an address is taken.
        let foreign = TcpListener::bind(free_address()).unwrap();
        let taken = foreign.local_addr().unwrap();
        served.also.push(taken);
        let failed = served.load(&to(&[at])).await;
        let LoadKind::Failed { words } = failed.kind else {
            unreachable!("{failed:?}");
        };
        assert!(words.contains(&taken.to_string()), "{words}");
        assert_eq!(conf(&served), before);
        assert_eq!(workers_of(&served.root), workers);
        assert_eq!(served.get("/").await, (200, "x".into()));
        drop(foreign);
        served.running.until(LoadKind::Reloaded).await;
        assert!(conf(&served).contains(&taken.to_string()));
        assert_eq!(get(taken, "/").await.unwrap(), (200, "x".into()));
        served.running.stop().await;
    }
}
