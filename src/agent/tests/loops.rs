//! What the loop decides, with a proxy that does as the test says.

use std::collections::VecDeque;
use std::path::Path;

use super::bundles::{nginx, with_endpoints};
use super::*;
use crate::agent::driver::Ended;
use crate::agent::words::Refusal;
use crate::render::bundle::ProxyKind;

/// Refuses bundles that hold "bad", fails as often as it is told, and ends when it is told.
#[derive(Default)]
struct Fake {
    failures: usize,
    ends: VecDeque<tokio::sync::oneshot::Receiver<()>>,
    acts: Option<mpsc::UnboundedSender<String>>,
}

impl Fake {
    fn act(&self, act: &str) {
        if let Some(acts) = &self.acts {
            let _ = acts.send(act.to_owned());
        }
    }

    fn bring_up(&mut self, act: &str) -> Result<(), DriverError> {
        self.act(act);
        if self.failures == 0 {
            return Ok(());
        }
        self.failures -= 1;
        Err(DriverError::Start {
            proxy: ProxyKind::Nginx,
            words: "no luck".into(),
        })
    }
}

impl Driver for Fake {
    fn takes_live(&self, plan: &Plan) -> bool {
        plan.parts.is_empty()
    }

    async fn check(&self, directory: &Path, _: &Bundle) -> Result<Verdict, DriverError> {
        let host = std::fs::read_to_string(directory.join("hosts/00.conf")).unwrap();
        if host.contains("bad") {
            return Ok(Verdict::Refused(Refusal {
                words: "it is bad".into(),
                place: None,
            }));
        }
        Ok(Verdict::Accepted)
    }

    async fn start(&mut self, _: &Bundle) -> Result<(), DriverError> {
        self.bring_up("start")
    }

    async fn reload(&mut self, _: &Bundle) -> Result<(), DriverError> {
        self.bring_up("reload")
    }

    async fn update(&mut self, plan: &Plan, _: &Bundle) -> Result<(), DriverError> {
        self.act(&format!("update {}", plan.summary(|_| "api".into())));
        Ok(())
    }

    async fn ended(&mut self) -> Ended {
        match self.ends.front_mut() {
            Some(end) => drop(end.await),
            None => std::future::pending().await,
        }
        self.ends.pop_front();
        Ended {
            status: "killed by signal 9".into(),
            words: None,
        }
    }

    async fn stop(&mut self, _: Duration) {
        self.act("stop");
    }
}

struct Given {
    running: Running,
    acts: mpsc::UnboundedReceiver<String>,
    current: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Given {
    fn new(mut fake: Fake) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(temporary.path()).unwrap();
        let (sender, acts) = mpsc::unbounded_channel();
        fake.acts = Some(sender);
        let current = directory.current();
        Self {
            running: Running::start(fake, directory),
            acts,
            current,
            _temporary: temporary,
        }
    }

    fn acts(&mut self) -> Vec<String> {
        let mut acts = Vec::new();
        while let Ok(act) = self.acts.try_recv() {
            acts.push(act);
        }
        acts
    }

    fn on_disk(&self) -> String {
        std::fs::read_to_string(self.current.join("hosts/00.conf")).unwrap()
    }
}

fn bundle(line: &str, last: &[u8]) -> Bundle {
    let listen = "127.0.0.1:1".parse().unwrap();
    let endpoints: Vec<SocketAddr> = last.iter().map(|l| ([10, 0, 0, *l], 80).into()).collect();
    with_endpoints(nginx(listen, None, line, "x"), &endpoints)
}

#[tokio::test(start_paused = true)]
async fn each_change_costs_as_little_as_it_can() {
    let mut given = Given::new(Fake::default());
    let running = &mut given.running;
    assert_eq!(running.load(&bundle("a", &[1])).await, LoadKind::Started);
    assert_eq!(running.load(&bundle("a", &[1])).await, LoadKind::Nothing);
    assert_eq!(running.load(&bundle("a", &[2])).await, LoadKind::Live);
    assert_eq!(running.load(&bundle("b", &[2])).await, LoadKind::Reloaded);
    assert_eq!(
        given.acts(),
        ["start", "update 2 endpoints of api", "reload"]
    );
    given.running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_latest_bundle_is_loaded() {
    let mut given = Given::new(Fake::default());
    for line in ["a", "b", "c"] {
        given.running.send(&bundle(line, &[]));
    }
    assert_eq!(given.running.next().await.kind, LoadKind::Started);
    assert!(given.on_disk().starts_with("c\n"));
    assert_eq!(given.acts(), ["start"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_structure_keeps_what_runs_but_not_its_endpoints() {
    let mut given = Given::new(Fake::default());
    given.running.load(&bundle("a", &[1])).await;
    let refused = given.running.load(&bundle("bad", &[2])).await;
    assert!(matches!(refused, LoadKind::Refused { .. }));
    let live = given.running.next().await;
    assert_eq!(live.kind, LoadKind::Live);
    assert_eq!(live.revision, bundle("a", &[1]).revision());
    assert!(given.on_disk().starts_with("a\n"));
    assert_eq!(given.acts(), ["start", "update 2 endpoints of api"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_goes_back_on_disk_and_is_tried_again() {
    let mut given = Given::new(Fake::default());
    given.running.load(&bundle("a", &[])).await;
    given.running.stop().await;

    let fake = Fake {
        failures: 2,
        ..Fake::default()
    };
    let mut given = Given::new(fake);
    let failed = given.running.load(&bundle("a", &[])).await;
    let words = "nginx did not start: no luck".to_owned();
    assert_eq!(failed, LoadKind::Failed { words });
    given.running.until(LoadKind::Started).await;
    assert_eq!(given.acts(), ["start", "stop", "start", "stop", "start"]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_ends_is_started_with_the_last_good_bundle() {
    let (end, ends) = tokio::sync::oneshot::channel();
    let fake = Fake {
        ends: VecDeque::from([ends]),
        ..Fake::default()
    };
    let mut given = Given::new(fake);
    given.running.load(&bundle("a", &[])).await;
    let refused = given.running.load(&bundle("bad", &[])).await;
    assert!(matches!(refused, LoadKind::Refused { .. }));
    end.send(()).unwrap();
    let ended = given.running.next().await;
    assert!(matches!(ended.kind, LoadKind::Ended { .. }));
    given.running.until(LoadKind::Started).await;
    assert!(given.on_disk().starts_with("a\n"));
}
