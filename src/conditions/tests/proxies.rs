//! What the proxies run.

use serde_json::json;

use super::ConditionType::{Healthy, Programmed};
use super::*;

#[test]
fn programmed_is_what_every_proxy_runs() {
    let programmed = |proxies: &[(&'static str, Option<u64>, Option<&'static str>)]| {
        let mut given = Given::shop(&["/api"]);
        given.proxies = proxies.to_vec();
        let status = given.own();
        let summary = status.summary.expect("a summary");
        let healthy = told(&status.conditions, Healthy);
        let told = told(&status.conditions, Programmed);
        assert_eq!(told.starts_with("True"), healthy.starts_with("True"));
        (told, summary.proxies)
    };
    let (told, _) = programmed(&[]);
    assert_eq!(told, "False NoProxies: No proxy is running.");
    let (told, proxies) = programmed(&[("a", Some(4), None), ("b", Some(3), None)]);
    assert_eq!(
        told,
        "Unknown Pending: 1 of 2 proxies run this route as it is now."
    );
    assert_eq!(proxies, "1/2");
    let (told, _) = programmed(&[("a", None, None)]);
    assert_eq!(
        told,
        "Unknown Pending: 0 of 1 proxy run this route as it is now."
    );
    let (told, _) = programmed(&[("a", Some(4), None), ("b", Some(3), Some("bad line 7"))]);
    assert_eq!(
        told,
        "False ConfigRejected: 1 of 2 proxies run this route as it is now; b refuses the \
         configuration: bad line 7"
    );
    // What it refuses now is another one's doing: it runs this route as it is.
    let (told, _) = programmed(&[("a", Some(4), Some("bad line 7"))]);
    assert_eq!(told, "True Programmed: All proxies run this route.");
}

#[test]
fn a_proxy_that_stays_behind_is_a_failure_after_a_while() {
    let mut given = Given::shop(&["/api"]);
    given.proxies = vec![("a", Some(4), None), ("b", Some(3), None)];
    given.stand();
    given.now += 29;
    assert!(told(&given.own().conditions, Programmed).starts_with("Unknown Pending"));
    given.now += 1;
    let late = "False PartiallyProgrammed: 1 of 2 proxies run this route as it is now; b does not.";
    assert_eq!(told(&given.own().conditions, Programmed), late);
    given.stand();
    assert_eq!(
        told(&given.own().conditions, Programmed),
        late,
        "it stays so"
    );
}

#[test]
fn who_has_just_begun_believes_what_stands() {
    let mut given = Given::shop(&["/api"]);
    given.stand();
    given.proxies = vec![("a", None, None)];
    given.trusts = true;
    assert!(told(&given.own().conditions, Programmed).starts_with("True"));
    given.trusts = false;
    assert!(told(&given.own().conditions, Programmed).starts_with("Unknown"));
    given.trusts = true;
    let mut newer = ingress("shop", &["/api"]);
    newer["metadata"]["generation"] = json!(4);
    given.ingress(newer);
    assert!(told(&given.own().conditions, Programmed).starts_with("Unknown"));
}
