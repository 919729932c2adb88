//! Whether the proxies run an Ingress as it is.

use jiff::{SignedDuration, Timestamp};

use super::status::is_of;
use super::{ConditionType, Proxy, Seen, Subject, Verdict};
use crate::api::route_health::{Condition, ConditionStatus, RouteHealthStatus};
use crate::model::diagnostics::{Code, Diagnostic, FieldPath, ObjectRef, Origin, proxies};

/// How long a proxy may be behind before that is a failure.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What the proxies make of one Ingress.
pub struct Programmed {
    pub verdict: Verdict,
    /// What makes it False.
    pub finding: Option<Diagnostic>,
    /// How many run it as it is, of how many; None while all agree.
    pub running: Option<(usize, usize)>,
}

/// `standing` is the status that is to be replaced, where it is about this Ingress alone.
pub fn programmed(
    seen: &Seen<'_>,
    ingress: &ObjectRef,
    subject: &Subject<'_>,
    standing: Option<&RouteHealthStatus>,
) -> Programmed {
    let origin = Origin::new(ingress.clone(), FieldPath::default());
    let before = Before::of(standing, subject);
    let believed = before.was_true && seen.trust_until.is_some_and(|until| seen.now < until);
    // Who has just begun may not have heard of any proxy yet.
    if seen.proxies.is_empty() && !believed {
        return failed(proxies::no_proxies(origin), None);
    }
    let runs = |proxy: &&Proxy<'_>| match (proxy.build, subject.since) {
        (Some(build), Some(since)) => build >= since,
        _ => false,
    };
    let running = seen.proxies.iter().filter(runs).count();
    let mut behind: Vec<&Proxy<'_>> = seen.proxies.iter().filter(|proxy| !runs(proxy)).collect();
    behind.sort_by_key(|proxy| proxy.name);
    let Some(first) = behind.first() else {
        return Programmed {
            verdict: Verdict::good("Programmed"),
            finding: None,
            running: None,
        };
    };
    if believed {
        return Programmed {
            verdict: Verdict::good("Programmed"),
            finding: None,
            running: None,
        };
    }
    let figures = Some((running, seen.proxies.len()));
    let words = match seen.proxies.len() {
        1 => format!("{running} of 1 proxy"),
        all => format!("{running} of {all} proxies"),
    };
    if let Some((proxy, refusal)) = behind.iter().find_map(|p| Some((p, p.refusal?))) {
        let finding = proxies::proxy_refuses(origin, &words, proxy.name, refusal);
        return failed(finding, figures);
    }
    if running > 0 && before.is_late(seen.now) {
        let finding = proxies::partially_programmed(origin, &words, first.name);
        return failed(finding, figures);
    }
    let message = format!("{words} run this route as it is now.");
    Programmed {
        verdict: Verdict::unknown("Pending", &message),
        finding: None,
        running: figures,
    }
}

fn failed(finding: Diagnostic, running: Option<(usize, usize)>) -> Programmed {
    Programmed {
        verdict: Verdict::bad(&finding),
        finding: Some(finding),
        running,
    }
}

/// What was said of the Ingress as it is.
struct Before<'s> {
    was_true: bool,
    condition: Option<&'s Condition>,
}

impl<'s> Before<'s> {
    fn of(standing: Option<&'s RouteHealthStatus>, subject: &Subject<'_>) -> Self {
        let same = |status: &&RouteHealthStatus| is_of(status, Some(subject.ingress));
        let name = ConditionType::Programmed.as_str();
        let conditions = standing
            .filter(same)
            .into_iter()
            .flat_map(|status| &status.conditions);
        let condition = conditions.into_iter().find(|c| c.type_ == name);
        Self {
            was_true: condition.is_some_and(|c| c.status == ConditionStatus::True),
            condition,
        }
    }

    /// Whether it has not been True for longer than we are patient.
    fn is_late(&self, now: Timestamp) -> bool {
        self.condition.is_some_and(|condition| {
            let since = condition.last_transition_time.0;
            condition.reason == Code::RH305.reason()
                || condition.status == ConditionStatus::Unknown
                    && now.duration_since(since) >= PATIENCE
        })
    }
}
