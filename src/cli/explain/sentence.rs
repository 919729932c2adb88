//! An explanation in one sentence.

use super::Expected;
use crate::cli::report::printable;
use crate::explain::{Explanation, Forwarded, Outcome, Way};

/// What it comes to.
pub fn sentence(explanation: &Explanation, expected: &Expected) -> String {
    let text = match &explanation.then {
        Some(then) => of_outcome(then, expected, "By https this URL"),
        None => of_outcome(explanation, expected, "This URL"),
    };
    printable(&text)
}

fn of_outcome(explanation: &Explanation, expected: &Expected, subject: &str) -> String {
    let by = match &explanation.route {
        Some(route) => format!("by {}", route.origin.object),
        None => String::new(),
    };
    match &explanation.outcome {
        Outcome::Unreadable { .. } => "The proxy refuses this path: 400.".to_owned(),
        Outcome::NoRoute => "Nothing takes this URL: clients get 404 from the proxy.".to_owned(),
        Outcome::Forbidden => format!("{subject} is kept from this client {by}: 403."),
        Outcome::Refused { .. } => format!("{subject} is taken {by} and closed: 503."),
        Outcome::ToHttps { code, location } | Outcome::Redirected { code, location } => {
            format!("{subject} is redirected {by} to {location} ({code}).")
        }
        Outcome::Forwarded(forwarded) => reached(forwarded, expected, subject, &by),
    }
}

fn reached(forwarded: &Forwarded, expected: &Expected, subject: &str, by: &str) -> String {
    let label = |way: &Way| match &way.upstream {
        Some(upstream) => upstream.label.clone(),
        None => way.name.to_string(),
    };
    let is_good = |way: &Way| way.has_endpoint() || expected.contains_key(&way.name);
    let verb = match forwarded.ways.iter().all(Way::has_endpoint) {
        true => "reaches",
        false => "will reach",
    };
    let labels = |good: bool| {
        let ways = forwarded.ways.iter();
        let ways = ways.filter(|way| is_good(way) == good);
        ways.map(label).collect::<Vec<_>>().join(" or ")
    };
    match (labels(true), labels(false)) {
        (good, bad) if bad.is_empty() => format!("{subject} {verb} {good} {by}."),
        (good, bad) if good.is_empty() => {
            format!("{subject} leads to {bad} {by}, where no endpoint is ready: 503.")
        }
        (good, bad) => format!(
            "{subject} reaches {good} {by}; requests that go to {bad}, where no endpoint is ready, get 503."
        ),
    }
}
