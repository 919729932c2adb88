//! ExternalName pools, followed by both proxies as their names get other addresses.

use std::net::IpAddr;
use std::sync::Mutex;

use super::proxies::{endpoint, processes_of};
use super::rendered::{Served, to_name};
use super::*;
use crate::agent::resolve::Lookup;

/// A name server in the hand of a test: None is a failure.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Option<Vec<IpAddr>>>>);

impl Answers {
    fn set(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        *self.0.lock().unwrap() = Some(addresses);
    }

    fn fail(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn options(&self, allow_local: bool) -> ResolveOptions {
        let answers = self.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let answer = answers.0.lock().unwrap().clone();
            let answer = answer.ok_or_else(|| std::io::ErrorKind::ConnectionRefused.into());
            Box::pin(async move { answer })
        });
        ResolveOptions {
            period: Duration::from_millis(100),
            allow_local,
            lookup,
        }
    }
}

async fn eventually(served: &Served, expected: (u16, &str)) {
    let asked = async {
        loop {
            let (status, body) = served.get("/").await;
            if (status, body.as_str()) == expected || (status == expected.0 && status != 200) {
                return;
            }
        }
    };
    let asked = timeout(PATIENCE, asked).await;
    asked.unwrap_or_else(|_| panic!("never {expected:?}"));
}

#[tokio::test]
async fn another_address_of_a_name_is_taken_as_the_proxy_runs() {
    for line in ["nginx-1.28", "nginx-1.30", "haproxy-3.4"] {
        let answers = Answers::default();
        answers.set(&["127.77.31.1"]);
        let mut served = Served::new(line, AT_ONCE, answers.options(true)).await;
        let port = served.http.port();
        let at = |last: u8| SocketAddr::from(([127, 77, 31, last], port));
        let (_one, _two) = (endpoint(at(1), "one").await, endpoint(at(2), "two").await);
        let model = to_name("api.example", port);
        assert_eq!(served.load(&model).await.kind, LoadKind::Started);
        assert_eq!(served.get("/").await, (200, "one".into()));
        let processes = processes_of(&served.root);
        answers.set(&["127.77.31.2"]);
        assert_eq!(served.running.next().await.kind, LoadKind::Live);
        eventually(&served, (200, "two")).await;
        // Who cannot be asked changes nothing.
        answers.fail();
        let problem = timeout(PATIENCE, served.problems.recv()).await.unwrap();
        assert!(problem.unwrap().words.contains("last addresses stay"));
        assert_eq!(served.get("/").await, (200, "two".into()));
        answers.set(&["127.77.31.1"]);
        assert_eq!(served.running.next().await.kind, LoadKind::Live);
        eventually(&served, (200, "one")).await;
        assert_eq!(processes_of(&served.root), processes, "{line}");
        served.running.stop().await;
    }
}

#[tokio::test]
async fn a_name_that_means_this_machine_is_told_and_answered_503() {
    for line in ["nginx-1.28", "nginx-1.30", "haproxy-3.4"] {
        let answers = Answers::default();
        answers.set(&["127.77.32.1", "169.254.169.254"]);
        let mut served = Served::new(line, AT_ONCE, answers.options(false)).await;
        let port = served.http.port();
        let at = SocketAddr::from(([127, 77, 32, 1], port));
        let _endpoint = endpoint(at, "never").await;
        let load = served.load(&to_name("api.example", port)).await;
        assert_eq!(load.kind, LoadKind::Started);
        let problem = timeout(PATIENCE, served.problems.recv()).await.unwrap();
        let words = problem.unwrap().words;
        assert!(words.contains("127.77.32.1, 169.254.169.254"), "{words}");
        assert_eq!(served.get("/").await.0, 503);
        served.running.stop().await;
    }
}
