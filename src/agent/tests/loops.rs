//! What the loop decides, with a proxy that does as the test says.

use std::collections::VecDeque;
use std::path::Path;

use super::bundles::{nginx, with_endpoints};
use super::*;
use crate::agent::driver::Ended;
use crate::agent::words::Refusal;
use crate::plan::Part;
use crate::render::bundle::ProxyKind;

/// Refuses bundles that hold "bad", fails as often as it is told, hangs and ends when it is told.
#[derive(Default)]
struct Fake {
    failures: usize,
    failing_updates: usize,
    unanswered: usize,
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
    fn takes(&self, _: &Part) -> bool {
        false
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

    async fn update(&mut self, plan: &Plan, _: &Bundle, _: &Bundle) -> Result<(), DriverError> {
        self.act(&format!("update {}", plan.summary(|_| "api".into())));
        if self.failing_updates == 0 {
            return Ok(());
        }
        self.failing_updates -= 1;
        Err(DriverError::Update {
            proxy: ProxyKind::Nginx,
            source: "half done".into(),
        })
    }

    async fn tidy(&mut self) -> bool {
        false
    }

    async fn answers(&mut self) -> bool {
        let answers = self.unanswered == 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        answers
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
    fn new(fake: Fake) -> Self {
        Self::with(fake, AT_ONCE)
    }

    fn with(mut fake: Fake, pace: Pace) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(temporary.path()).unwrap();
        let (sender, acts) = mpsc::unbounded_channel();
        fake.acts = Some(sender);
        let current = directory.current();
        Self {
            running: Running::start_with(fake, directory, pace),
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

#[tokio::test(start_paused = true)]
async fn a_change_that_is_half_done_is_done_by_a_reload() {
    let fake = Fake {
        failing_updates: 1,
        ..Fake::default()
    };
    let mut given = Given::new(fake);
    given.running.load(&bundle("a", &[1])).await;
    given.running.send(&bundle("a", &[2]));
    let load = given.running.next().await;
    assert_eq!(load.kind, LoadKind::Reloaded);
    assert_eq!(
        load.reasons,
        ["nginx did not take a change as it runs: half done"]
    );
}

#[tokio::test(start_paused = true)]
async fn reloads_keep_their_distance_and_endpoints_do_not_wait() {
    let pace = Pace {
        between_reloads: Duration::from_secs(1),
        ..AT_ONCE
    };
    let mut given = Given::with(Fake::default(), pace);
    given.running.load(&bundle("a", &[1])).await;
    assert_eq!(
        given.running.load(&bundle("b", &[1])).await,
        LoadKind::Reloaded
    );
    let reloaded = Instant::now();
    given.running.send(&bundle("c", &[2]));
    let live = given.running.next().await;
    assert_eq!(live.kind, LoadKind::Live);
    assert_eq!(live.revision, bundle("b", &[2]).revision());
    assert_eq!(reloaded.elapsed(), Duration::ZERO);
    given.running.send(&bundle("d", &[2]));
    let both = given.running.next().await;
    assert_eq!(both.kind, LoadKind::Reloaded);
    assert_eq!(both.revision, bundle("d", &[2]).revision());
    assert!(reloaded.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        given.acts(),
        ["start", "reload", "update 2 endpoints of api", "reload"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_hangs_is_ended_and_started_anew() {
    let fake = Fake {
        unanswered: usize::from(MISSED),
        ..Fake::default()
    };
    let mut given = Given::new(fake);
    given.running.load(&bundle("a", &[])).await;
    let ended = given.running.next().await;
    let words = "it did not answer 3 times in a row".to_owned();
    assert_eq!(ended.kind, LoadKind::Ended { words });
    given.running.until(LoadKind::Started).await;
    assert_eq!(given.acts(), ["start", "stop", "start"]);
}
