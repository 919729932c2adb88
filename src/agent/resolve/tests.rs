use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::model::names::UpstreamName;
use crate::render::bundle::{FORMAT, Pool, ProxyKind};

fn bundle() -> Arc<Bundle> {
    let pool = Pool {
        endpoints: Vec::new(),
        name: Some(("db.example.com".parse().unwrap(), 5432)),
        section: None,
    };
    let bundle = Bundle {
        format: FORMAT,
        proxy: ProxyKind::Nginx,
        structure: BTreeMap::new(),
        pools: BTreeMap::from([(UpstreamName::new("default", "db", "5432", "http"), pool)]),
        origins: Vec::new().into(),
    };
    bundle.into()
}

fn addresses(bundle: &Bundle) -> Vec<String> {
    let endpoints = bundle.pools.values().flat_map(|pool| &pool.endpoints);
    endpoints.map(Endpoint::to_string).collect()
}

/// Answers in turn, the last one for ever.
fn resolver(
    script: Vec<Result<&'static str, io::ErrorKind>>,
    allow_local: bool,
) -> (Resolver, mpsc::UnboundedReceiver<NameProblem>) {
    let turn = AtomicUsize::new(0);
    let lookup: Lookup = Arc::new(move |_| {
        let now = turn.fetch_add(1, Ordering::SeqCst).min(script.len() - 1);
        let answer = match script[now] {
            Ok(list) => Ok(list.split(' ').map(|a| a.parse().unwrap()).collect()),
            Err(kind) => Err(kind.into()),
        };
        Box::pin(async move { answer })
    });
    let (sender, problems) = mpsc::unbounded_channel();
    let options = ResolveOptions {
        period: Duration::from_secs(5),
        allow_local,
        lookup,
    };
    (Resolver::start(options, sender), problems)
}

#[tokio::test(start_paused = true)]
async fn names_become_sorted_addresses_and_follow_changes() {
    let script = vec![Ok("10.0.0.2 10.0.0.1 10.0.0.2"), Ok("10.0.0.3")];
    let (mut resolver, _problems) = resolver(script, false);
    let filled = resolver.fill(&bundle()).await;
    assert_eq!(addresses(&filled), ["10.0.0.1:5432", "10.0.0.2:5432"]);
    resolver.changed().await;
    let filled = resolver.fill(&bundle()).await;
    assert_eq!(addresses(&filled), ["10.0.0.3:5432"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_lookup_keeps_the_answer_before_and_is_told_once() {
    let script = vec![
        Ok("10.0.0.1"),
        Err(io::ErrorKind::ConnectionRefused),
        Err(io::ErrorKind::ConnectionRefused),
        Ok("10.0.0.2"),
    ];
    let (mut resolver, mut problems) = resolver(script, false);
    resolver.fill(&bundle()).await;
    let problem = problems.recv().await.unwrap();
    assert!(problem.words.contains("the last addresses stay in use"));
    let filled = resolver.fill(&bundle()).await;
    assert_eq!(addresses(&filled), ["10.0.0.1:5432"]);
    resolver.changed().await;
    let filled = resolver.fill(&bundle()).await;
    assert_eq!(addresses(&filled), ["10.0.0.2:5432"]);
    assert!(problems.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn answers_that_mean_this_machine_are_refused_and_told() {
    let all = "127.0.0.1 ::1 169.254.169.254 0.0.0.0 224.0.0.1 fe80::1 ::ffff:127.0.0.1 10.0.0.1";
    let (mut strict, mut problems) = resolver(vec![Ok(all)], false);
    let filled = strict.fill(&bundle()).await;
    assert_eq!(addresses(&filled), ["10.0.0.1:5432"]);
    let problem = problems.recv().await.unwrap();
    assert!(problem.words.contains("169.254.169.254"));
    let (mut local, _problems) = resolver(vec![Ok(all)], true);
    let filled = local.fill(&bundle()).await;
    assert_eq!(
        addresses(&filled),
        ["10.0.0.1:5432", "127.0.0.1:5432", "[::1]:5432"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_never_answers_does_not_hold_a_bundle_up() {
    let never: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let options = ResolveOptions {
        lookup: never,
        ..ResolveOptions::default()
    };
    let (sender, _problems) = mpsc::unbounded_channel();
    let mut resolver = Resolver::start(options, sender);
    let filled = resolver.fill(&bundle()).await;
    assert_eq!(addresses(&filled), [""; 0]);
}
