use jiff::civil::date;
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::json;

use super::*;
use crate::api::report::RefusedReport;
use crate::operator::behind::STUCK;

const DAY: Date = date(2026, 1, 1);

fn builder() -> Builder {
    let options = Options::of_class("vigie", DAY);
    let placement = Placement {
        http: vec![([0, 0, 0, 0], 8080).into()],
        https: Vec::new(),
        https_redirect_port: None,
        resolvers: Vec::new(),
    };
    Builder::new(options, placement, &[ProxyKind::Nginx])
}

fn ingresses(names: &[&str]) -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    for name in names {
        let ingress: Ingress = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name, "uid": name},
            "spec": {"ingressClassName": "vigie", "rules": [{
                "host": format!("{name}.example"),
                "http": {"paths": [{"path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": "shop", "port": {"number": 80}}}}]},
            }]},
        }))
        .unwrap();
        snapshot.add_ingress(ingress);
    }
    Arc::new(snapshot)
}

/// Two proxies by what they run, and what the first refuses in words that lead nowhere.
fn two(first: &Revision, second: &Revision, refused: Option<&Revision>) -> Proxies {
    let proxy = |pod: &str, runs: &Revision, refused: Option<&Revision>| Proxy {
        pod: pod.to_owned(),
        capabilities: Capabilities::assumed(ProxyKind::Nginx),
        revision: Some(runs.to_string()),
        refused: refused.map(|refused| RefusedReport {
            revision: refused.to_string(),
            words: "no".to_owned(),
            object: None,
        }),
    };
    Proxies {
        alive: vec![
            proxy("first", first, refused),
            proxy("second", second, None),
        ],
    }
}

/// After a build that both run, the first has refused the next one, and what is new is held back.
fn held_back(now: Instant) -> (Builder, Revision, Arc<Snapshot>) {
    let mut builder = builder();
    let (before, after) = (ingresses(&["a"]), ingresses(&["a", "b", "c"]));
    let revision = |builder: &Builder| builder.revisions()[0].clone().unwrap();
    builder.build(&before, DAY);
    let good = revision(&builder);
    assert!(!builder.learn(&two(&good, &good, None), now));
    builder.build(&after, DAY);
    let refused = revision(&builder);
    assert!(builder.learn(&two(&good, &good, Some(&refused)), now));
    builder.build(&after, DAY);
    assert_eq!(revision(&builder), good, "nothing new is built");
    (builder, good, after)
}

#[test]
fn what_is_held_back_is_tried_although_another_proxy_never_moves() {
    let now = Instant::now();
    let (mut builder, good, snapshot) = held_back(now);
    assert!(builder.learn(&two(&good, &good, None), now));
    builder.build(&snapshot, DAY);
    let half = builder.revisions()[0].clone().unwrap();
    assert_ne!(half, good);

    // The second half waits for the other proxy, but not for ever.
    let proxies = two(&half, &good, None);
    assert!(!builder.learn(&proxies, now));
    assert_eq!(builder.wakes(now), Some(now + STUCK));
    assert!(builder.learn(&proxies, now + STUCK));
    builder.build(&snapshot, DAY);
    assert_eq!(builder.quarantine(), &Quarantine::default());
    assert_eq!(builder.wakes(now), None);
}

#[test]
fn a_proxy_that_moves_is_waited_for_anew() {
    let now = Instant::now();
    let (mut builder, good, snapshot) = held_back(now);
    assert!(builder.learn(&two(&good, &good, None), now));
    builder.build(&snapshot, DAY);
    let half = builder.revisions()[0].clone().unwrap();
    assert!(!builder.learn(&two(&half, &good, None), now));
    let other = ingresses(&["a", "b", "c", "x"]);
    builder.build(&other, DAY);
    let elsewhere = builder.revisions()[0].clone().unwrap();
    builder.build(&snapshot, DAY);
    let later = now + STUCK;
    assert!(!builder.learn(&two(&half, &elsewhere, None), later));
    assert!(builder.learn(&two(&half, &elsewhere, None), later + STUCK));
}

#[test]
fn nothing_is_tried_while_no_proxy_runs_the_latest_build() {
    let now = Instant::now();
    let (mut builder, good, snapshot) = held_back(now);
    assert!(builder.learn(&two(&good, &good, None), now));
    builder.build(&snapshot, DAY);
    for later in [now, now + STUCK, now + 2 * STUCK] {
        assert!(!builder.learn(&two(&good, &good, None), later));
    }
}
