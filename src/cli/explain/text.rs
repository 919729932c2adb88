//! An explanation as lines for people: a mark, a label, and what there is to say.

use std::fmt::Write as _;
use std::time::Duration;

use super::ask::{Agreement, Said};
use super::stages::Line;
use super::{Expected, made_by};
use crate::api::route_health::ConditionStatus;
use crate::cli::report::printable;
use crate::explain::{
    Access, Candidate, Explanation, Forwarded, HostState, Outcome, Place, RouteStep, Scheme,
    Verdict, Way,
};
use crate::model::diagnostics::Origin;
use crate::model::names::HostMatch;
use crate::model::{Endpoints, Model, Refusal, Share};

/// More endpoints than that are counted.
const ENDPOINTS: usize = 8;

#[derive(Clone, Copy)]
enum Mark {
    Good,
    Bad,
    /// Neither good nor bad.
    Plain,
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn step(&mut self, mark: Mark, label: &str, what: &str) {
        let mark = match mark {
            Mark::Good => " ok ",
            Mark::Bad => "FAIL",
            Mark::Plain => "    ",
        };
        let _ = writeln!(self.0, "{mark} {label:<10} {}", printable(what));
    }

    /// More about the step above.
    fn more(&mut self, what: &str) {
        let _ = writeln!(self.0, "{:16}{}", "", printable(what));
    }
}

/// The steps, each on its lines.
pub fn text(
    model: &Model,
    explanation: &Explanation,
    expected: &Expected,
    stages: &[Line],
    proxies: &[Said],
) -> String {
    let mut lines = Lines::default();
    let _ = writeln!(lines.0, "{}\n", printable(&explanation.url));
    steps(&mut lines, model, explanation, expected);
    for said in proxies {
        let mark = match said.agreement {
            Agreement::Agrees => Mark::Good,
            Agreement::Differs => Mark::Bad,
            Agreement::Unasked => Mark::Plain,
        };
        lines.step(mark, "Proxy", &said.words);
    }
    if !stages.is_empty() {
        lines.0.push('\n');
    }
    for stage in stages {
        let mark = match stage.status {
            ConditionStatus::True => Mark::Good,
            ConditionStatus::False => Mark::Bad,
            ConditionStatus::Unknown => Mark::Plain,
        };
        lines.step(mark, &format!("{:<14}", stage.label), &stage.words);
    }
    lines.0
}

fn steps(lines: &mut Lines, model: &Model, explanation: &Explanation, expected: &Expected) {
    listener(lines, explanation);
    path(lines, explanation);
    host(lines, explanation);
    route(lines, model, explanation);
    outcome(lines, explanation, expected);
    if let Some(then) = &explanation.then {
        let _ = writeln!(lines.0, "\nthen {}\n", printable(&then.url));
        steps(lines, model, then, expected);
    }
}

fn listener(lines: &mut Lines, explanation: &Explanation) {
    let client = &explanation.client;
    let mut what = client.scheme.to_string();
    if client.believed {
        what.push_str(", as a trusted proxy in front says");
    }
    if let Some(address) = client.address {
        let _ = write!(what, "; the client is {address}");
    }
    if client.scheme == Scheme::Https {
        let origins: Vec<String> = explanation.certificates.iter().map(origin).collect();
        match origins.as_slice() {
            [] => what.push_str("; the default certificate is served"),
            all => {
                let _ = write!(what, "; certificate of {}", all.join(" and "));
            }
        }
    }
    lines.step(Mark::Good, "Listener", &what);
}

fn path(lines: &mut Lines, explanation: &Explanation) {
    let path = &explanation.path;
    match (&path.looked_up, path.problem) {
        (Some(looked_up), _) if path.is_changed() => {
            let what = format!("{} is looked up as {looked_up}", path.sent);
            lines.step(Mark::Good, "Path", &what);
        }
        (Some(_), _) => lines.step(Mark::Good, "Path", &path.sent),
        (None, problem) => {
            let what = format!("{}: {}", path.sent, problem.unwrap_or_default());
            lines.step(Mark::Bad, "Path", &what);
        }
    }
}

fn host(lines: &mut Lines, explanation: &Explanation) {
    let host = &explanation.host;
    let what = match &host.taken {
        Some(HostMatch::Exact(name)) => format!("{name}, by its name"),
        Some(HostMatch::Wildcard(rest)) => format!("*.{rest}, for any one label before it"),
        Some(HostMatch::Any) => "rules without a host, since none names it".to_owned(),
        None => format!("no rule has {}, and none is without a host", host.asked),
    };
    let mark = match host.taken {
        Some(_) => Mark::Good,
        None if explanation.route.is_some() => Mark::Plain,
        None => Mark::Bad,
    };
    lines.step(mark, "Host", &what);
    for tried in &host.tried {
        match (tried.state, tried.host.as_str()) {
            (HostState::Behind, "*") => lines.more("rules without a host go after it"),
            (HostState::Behind, name) => {
                lines.more(&format!("{name} is there too and goes after it"))
            }
            _ => {}
        }
    }
    if !host.nearest.is_empty() {
        let names: Vec<String> = host.nearest.iter().map(ToString::to_string).collect();
        lines.more(&format!("rules have {}", names.join(", ")));
    }
}

fn route(lines: &mut Lines, model: &Model, explanation: &Explanation) {
    if explanation.path.looked_up.is_none() {
        return;
    }
    match &explanation.route {
        Some(route) => {
            lines.step(Mark::Good, "Route", &route_words(route));
            lines.more(&origin(&route.origin));
        }
        None => {
            let what = match &explanation.host.taken {
                Some(host) => format!("NoRouteMatches: no path of {host} takes it"),
                None => "NoRouteMatches: no host takes it".to_owned(),
            };
            lines.step(Mark::Bad, "Route", &what);
        }
    }
    if explanation.host.taken.is_some() || explanation.route.is_some() {
        explanation
            .candidates
            .iter()
            .for_each(|c| candidate(lines, c));
    }
    if explanation.others > 0 {
        lines.more(&format!("and {} more of this host", explanation.others));
    }
    if explanation.route.is_none() && model.fallback.is_none() {
        lines.more("there is no default backend");
    }
}

fn route_words(route: &RouteStep) -> String {
    match &route.host {
        Some(HostMatch::Any) => format!("{} ({})", route.path, route.kind),
        Some(host) => format!("{host}{} ({})", route.path, route.kind),
        None => "the default backend, since no route takes it".to_owned(),
    }
}

fn candidate(lines: &mut Lines, candidate: &Candidate) {
    let mark = match candidate.place {
        Place::Taken => "*",
        Place::Behind => "+",
        Place::Apart => "-",
    };
    lines.more(&format!(
        "{mark} {:<12} {:<20} {} ({})",
        candidate.kind,
        candidate.path,
        candidate.why,
        candidate.origin.object.path()
    ));
}

fn outcome(lines: &mut Lines, explanation: &Explanation, expected: &Expected) {
    if let Some(access) = explanation.route.as_ref().and_then(|r| r.access.as_ref())
        && !matches!(explanation.outcome, Outcome::ToHttps { .. })
    {
        access_step(lines, access, explanation);
    }
    match &explanation.outcome {
        Outcome::Unreadable { .. } => lines.step(Mark::Bad, "Answer", "400 from the proxy"),
        Outcome::NoRoute => lines.step(Mark::Bad, "Answer", "404 from the proxy"),
        Outcome::Forbidden => {}
        Outcome::ToHttps { code, location } => {
            lines.step(Mark::Good, "Https", &format!("{code} to {location}"));
        }
        Outcome::Redirected { code, location } => {
            lines.step(Mark::Good, "Redirect", &format!("{code} to {location}"));
        }
        Outcome::Refused { refusal } => {
            let why = match refusal {
                Refusal::BackendNotFound => "its backend does not exist",
                Refusal::GuardNotHonoured => "an annotation that guards it cannot be honoured",
            };
            lines.step(Mark::Bad, "Answer", &format!("503 from the proxy: {why}"));
        }
        Outcome::Forwarded(forwarded) => {
            forward(lines, explanation, forwarded);
            let ways = forwarded.ways.iter();
            ways.for_each(|each| way(lines, each, expected));
        }
    }
}

fn access_step(lines: &mut Lines, access: &Access, explanation: &Explanation) {
    let client = explanation.client.address;
    let client = client.map(|c| c.to_string()).unwrap_or_default();
    let (mark, what) = match (access.verdict, access.network) {
        (Verdict::Allowed, Some(network)) => {
            (Mark::Good, format!("{client} is allowed by {network}"))
        }
        (Verdict::Allowed, None) => (Mark::Good, format!("{client} is not denied")),
        (Verdict::Denied, Some(network)) => (
            Mark::Bad,
            format!("403 from the proxy: {client} is denied by {network}"),
        ),
        (Verdict::Denied, None) => (
            Mark::Bad,
            format!("403 from the proxy: {client} is not among those allowed"),
        ),
        (Verdict::Unknown, _) => (
            Mark::Plain,
            format!("{}; give --client IP to know", listed(access)),
        ),
    };
    lines.step(mark, "Access", &what);
}

fn listed(access: &Access) -> String {
    let list = |what: &str, all: &[ipnet::IpNet]| {
        let networks: Vec<String> = all
            .iter()
            .take(ENDPOINTS)
            .map(ToString::to_string)
            .collect();
        let more = match all.len() > ENDPOINTS {
            true => format!(" and {} more", all.len() - ENDPOINTS),
            false => String::new(),
        };
        (!all.is_empty()).then(|| format!("{what} {}{more}", networks.join(", ")))
    };
    let parts = [
        list("denies", &access.list.deny),
        list("allows", &access.list.allow),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn forward(lines: &mut Lines, explanation: &Explanation, forwarded: &Forwarded) {
    let how = match forwarded.rewritten {
        true => "rewritten to",
        false => "as it came:",
    };
    let mut what = format!("{how} {}, Host {}", forwarded.target, forwarded.host);
    if let Some(prefix) = &forwarded.prefix {
        let _ = write!(what, ", X-Forwarded-Prefix {prefix}");
    }
    lines.step(Mark::Good, "Forward", &what);
    if let Some(route) = &explanation.route {
        lines.more(&limits(route));
    }
    for rule in &forwarded.rules {
        let holds = if rule.holds { "holds" } else { "does not hold" };
        let what = format!("{} {holds} ({})", rule.rule, origin(&rule.origin));
        lines.step(Mark::Plain, "Canary", &what);
    }
}

fn limits(route: &RouteStep) -> String {
    let timeouts = &route.policy.timeouts;
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let body = match route.policy.body_limit.octets {
        None => "bodies of any size".to_owned(),
        Some(octets) => format!("bodies of up to {}", size(octets)),
    };
    format!(
        "time-outs: connect {}, read {}, send {}; {body}",
        seconds(timeouts.connect),
        seconds(timeouts.read),
        seconds(timeouts.send)
    )
}

fn size(octets: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units
        .iter()
        .find(|(unit, _)| octets > 0 && octets.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{} {name}", octets / unit),
        None => format!("{octets} octets"),
    }
}

fn way(lines: &mut Lines, way: &Way, expected: &Expected) {
    let Some(upstream) = &way.upstream else {
        return lines.step(
            Mark::Bad,
            "Upstream",
            "503 from the proxy: it does not exist",
        );
    };
    let mut what = format!("{} ({})", upstream.label, upstream.protocol.as_str());
    if way.parts < Share::WHOLE {
        let share = f64::from(way.parts) * 100.0 / f64::from(Share::WHOLE);
        let _ = write!(what, ", {share} % of such requests");
    }
    if let Some(canary) = &way.canary {
        let _ = write!(what, ", the canary of {}", canary.object);
    }
    lines.step(Mark::Good, "Upstream", &what);
    let (mark, what) = match expected.get(&way.name).filter(|_| !way.has_endpoint()) {
        Some(makers) => {
            let what = format!("none in these manifests; {}", made_by(makers));
            (Mark::Plain, what)
        }
        None => endpoints(&upstream.endpoints),
    };
    lines.step(mark, "Endpoints", &what);
}

fn endpoints(endpoints: &Endpoints) -> (Mark, String) {
    match endpoints {
        Endpoints::Name { name, port } => (
            Mark::Good,
            format!("whatever {name} resolves to, port {port}"),
        ),
        Endpoints::Addresses(all) if all.is_empty() => {
            (Mark::Bad, "none is ready: 503 from the proxy".to_owned())
        }
        Endpoints::Addresses(all) => {
            let shown: Vec<String> = all
                .iter()
                .take(ENDPOINTS)
                .map(ToString::to_string)
                .collect();
            let more = match all.len() > ENDPOINTS {
                true => format!(" and {} more", all.len() - ENDPOINTS),
                false => String::new(),
            };
            (Mark::Good, format!("{}{more}", shown.join(", ")))
        }
    }
}

fn origin(origin: &Origin) -> String {
    match origin.field.as_str() {
        "" => origin.object.to_string(),
        field => format!("{}, {field}", origin.object),
    }
}
