use proptest::prelude::*;

use super::*;
use crate::operator::status::addresses::Address;
use crate::snapshot::ObjectName;

fn name(number: usize) -> ObjectName {
    ObjectName::new("shop", format!("{number:05}"))
}

fn job(number: usize, rank: Rank) -> Job {
    Job {
        target: Target::RouteHealth(name(number)),
        rank,
        write: Write::Delete { uid: None },
        base: Some("1".to_owned()),
        turn: None,
    }
}

fn address_job(number: usize) -> Job {
    let addresses: Vec<Address> = vec!["10.0.0.1".parse().expect("an address")];
    Job {
        target: Target::Ingress(name(number)),
        write: Write::Addresses(addresses),
        ..job(number, Rank::Object)
    }
}

fn queue(now: Instant) -> Queue {
    Queue::new(&Settings::default(), now)
}

/// All that may begin now, and is done at once.
fn drain(queue: &mut Queue, now: Instant) -> Vec<(Rank, Target)> {
    let mut begun = Vec::new();
    while let Some(next) = queue.next(now) {
        if let Next::Write(job) = next {
            begun.push((job.rank, job.target.clone()));
            let result = Ok(());
            queue.done(Done::Written { job, result }, now);
        }
    }
    begun
}

fn failure(code: u16) -> WriteError {
    let status = kube::core::Status::failure("no", "Reason").with_code(code);
    kube::Error::Api(Box::new(status)).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_matters_more_is_never_written_later(ranks in prop::collection::vec(0..3usize, 1..300)) {
        let all = [Rank::NewGeneration, Rank::Flip, Rank::Object];
        let now = Instant::now();
        let mut queue = queue(now);
        let jobs = ranks.iter().enumerate().map(|(n, rank)| job(n, all[*rank]));
        queue.put(jobs.collect(), now);
        let begun = drain(&mut queue, now);
        prop_assert_eq!(begun.len(), ranks.len());
        prop_assert!(begun.is_sorted());
    }

    #[test]
    fn no_pace_is_above_the_budget(steps in prop::collection::vec(0..400u64, 1..20)) {
        let start = Instant::now();
        let mut queue = queue(start);
        let mut now = start;
        let mut written = 0;
        for (step, millis) in steps.iter().enumerate() {
            now += Duration::from_millis(*millis);
            let jobs = (0..120).map(|n| job(step * 120 + n, Rank::Object));
            queue.put(jobs.collect(), now);
            written += drain(&mut queue, now).len();
            let passed = now.duration_since(start).as_secs_f64();
            prop_assert!(written as f64 <= 500.0 + 100.0 * passed + 1.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_and_statuses_do_not_wait_for_each_other() {
    let now = Instant::now();
    let mut queue = queue(now);
    let statuses = (0..600).map(|n| job(n, Rank::NewGeneration));
    queue.put(statuses.chain([address_job(0)]).collect(), now);
    let begun = drain(&mut queue, now);
    assert_eq!(begun.len(), 501);
    assert!(matches!(begun.last(), Some((_, Target::Ingress(_)))));
    let wakes = queue.wakes(now).expect("the rest waits");
    assert!(wakes > now && wakes < now + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_not_written_again_before_it_is_seen() {
    let now = Instant::now();
    let mut queue = queue(now);
    queue.put(vec![job(1, Rank::Object)], now);
    assert_eq!(drain(&mut queue, now).len(), 1);
    queue.put(vec![job(1, Rank::Object)], now);
    assert_eq!(queue.len(), 0);
    let seen = Job {
        base: Some("2".to_owned()),
        ..job(1, Rank::Object)
    };
    queue.put(vec![seen], now);
    assert_eq!(drain(&mut queue, now).len(), 1, "somebody undid it");
}

#[tokio::test(start_paused = true)]
async fn one_object_is_written_by_one_hand() {
    let now = Instant::now();
    let mut queue = queue(now);
    let two = [job(1, Rank::NewGeneration), job(1, Rank::Object)];
    queue.put(two.to_vec(), now);
    assert!(queue.next(now).is_some());
    assert!(queue.next(now).is_none());
    assert_eq!(queue.wakes(now), None);
    queue.put(two.to_vec(), now);
    assert_eq!(queue.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_begun_at_once_than_there_are_hands() {
    let now = Instant::now();
    let mut queue = queue(now);
    let addresses = (0..20).map(address_job);
    let jobs = (0..20).map(|n| job(n, Rank::Object)).chain(addresses);
    queue.put(jobs.collect(), now);
    let begun: Vec<Target> = std::iter::from_fn(|| queue.next(now))
        .filter_map(|next| match next {
            Next::Write(job) => Some(job.target.clone()),
            Next::Tell(_) => None,
        })
        .collect();
    let is_status = |target: &&Target| matches!(target, Target::RouteHealth(_));
    assert_eq!(begun.len(), STATUS_HANDS + ADDRESS_HANDS);
    assert_eq!(begun.iter().filter(is_status).count(), STATUS_HANDS);
    assert_eq!(queue.wakes(now), None, "who is done wakes us");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_says_the_same_at_another_moment_is_not_written_twice() {
    let now = Instant::now();
    let mut queue = queue(now);
    let said_at = |second: i64| {
        let health = crate::api::route_health::RouteHealth::new("a", Default::default());
        let condition = crate::api::route_health::Condition {
            type_: "Healthy".to_owned(),
            status: crate::api::route_health::ConditionStatus::True,
            observed_generation: None,
            last_transition_time: Time(Timestamp::from_second(second).expect("a moment")),
            reason: "Healthy".to_owned(),
            message: String::new(),
        };
        let wanted = RouteHealthStatus {
            conditions: vec![condition],
            ..RouteHealthStatus::default()
        };
        Job {
            write: Write::Status {
                wanted: Box::new(wanted),
                standing: std::sync::Arc::new(health),
            },
            ..job(1, Rank::NewGeneration)
        }
    };
    queue.put(vec![said_at(1)], now);
    assert_eq!(drain(&mut queue, now).len(), 1);
    queue.put(vec![said_at(2)], now);
    assert_eq!(queue.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn figures_wait_and_are_told_together() {
    let start = Instant::now();
    let mut queue = queue(start);
    queue.put(vec![job(1, Rank::Count)], start);
    assert!(queue.next(start).is_none());
    let soon = start + Duration::from_secs(20);
    queue.put(vec![job(1, Rank::Count)], soon);
    assert!(queue.next(soon).is_none());
    assert_eq!(queue.wakes(soon), Some(start + COUNTS));
    assert!(queue.next(start + COUNTS).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_waits_longer_each_time_and_stops_nobody() {
    let start = Instant::now();
    let mut queue = queue(start);
    let mut now = start;
    let mut pauses = Vec::new();
    for _ in 0..4 {
        queue.put(vec![job(1, Rank::Object), job(2, Rank::Object)], now);
        while let Some(Next::Write(job)) = queue.next(now) {
            let fails = job.target == Target::RouteHealth(name(1));
            let result = if fails { Err(failure(503)) } else { Ok(()) };
            queue.done(Done::Written { job, result }, now);
        }
        queue.put(vec![job(1, Rank::Object)], now);
        let wakes = queue.wakes(now).expect("it is tried again");
        pauses.push(wakes.duration_since(now).as_millis());
        now = wakes;
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000]);
}

#[test]
fn answers_have_names() {
    let fates = [403, 404, 409, 422, 429, 500].map(|code| Fate::of(&failure(code)).as_str());
    let names = [
        "forbidden",
        "not_found",
        "conflict",
        "invalid",
        "throttled",
        "unavailable",
    ];
    assert_eq!(fates, names);
}

#[tokio::test(start_paused = true)]
async fn one_object_that_flaps_is_slowed_down_and_a_new_generation_is_not() {
    let now = Instant::now();
    let mut queue = queue(now);
    let status = |rank: Rank, version: usize| Job {
        write: Write::Status {
            wanted: Box::default(),
            standing: std::sync::Arc::new(crate::api::route_health::RouteHealth::new(
                "a",
                Default::default(),
            )),
        },
        base: Some(version.to_string()),
        ..job(1, rank)
    };
    let mut written = |rank: Rank, version: usize| {
        queue.put(vec![status(rank, version)], now);
        drain(&mut queue, now).len()
    };
    let flips: Vec<usize> = (0..5).map(|version| written(Rank::Flip, version)).collect();
    assert_eq!(flips, [1, 1, 1, 0, 0]);
    assert_eq!(written(Rank::NewGeneration, 9), 1);
}
