//! Sends the requests of a case and gathers what was not as expected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::check::{Seen, Surroundings, complaints};
use super::failure::{Failure, Proxy, Verdict, shown};
use super::plan::Plan;
use super::send::send;
use super::{Entry, Expectations, Wanted};
use crate::support::client::tls::Tls;
use crate::support::client::{Http1, Response, Target};

/// How often an expectation that may take its time is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A name that no case has, to be given the default certificate.
const STRANGER: &str = "stranger.invalid";

/// Runs every request against a proxy that listens on these two addresses.
pub async fn run_expectations(
    expectations: &Expectations,
    proxy: Proxy,
    http: SocketAddr,
    https: SocketAddr,
) -> Vec<Failure> {
    let mut run = Run {
        cookies: BTreeMap::new(),
        surroundings: Surroundings::default(),
    };
    let mut failures = Vec::new();
    for (index, entry) in expectations.requests.iter().enumerate() {
        if entry.only.is_some_and(|only| only != proxy) {
            continue;
        }
        let (title, verdict) = match entry.plan(&expectations.folder, http, https) {
            Ok(plan) => (plan.title.clone(), run.entry(entry, &plan, https).await),
            Err(error) => (String::new(), Err(Verdict::of(&error))),
        };
        if let Err(verdict) = verdict {
            failures.push(Failure {
                number: index + 1,
                proxy,
                title,
                because: entry.because.clone(),
                complaints: verdict.complaints,
                answer: verdict.answer,
            });
        }
    }
    failures
}

/// What is carried from one request of a case to the next.
struct Run {
    cookies: BTreeMap<String, String>,
    surroundings: Surroundings,
}

impl Run {
    /// All rounds of an entry: one, or as many as fit into the time it may take to come true.
    async fn entry(
        &mut self,
        entry: &Entry,
        plan: &Plan,
        https: SocketAddr,
    ) -> Result<(), Verdict> {
        let certificate = entry.expect.as_ref().and_then(|e| e.certificate.as_ref());
        if certificate.is_some_and(|wanted| wanted.default.is_some()) {
            let default = default_certificate(https).await;
            self.surroundings.default_certificate =
                Some(default.map_err(|error| Verdict::of(&error))?);
        }
        let patience = entry.eventually.map_or(Duration::ZERO, |time| time.0);
        let deadline = Instant::now() + patience;
        loop {
            let verdict = self.round(entry, plan).await;
            if verdict.is_ok() || Instant::now() >= deadline {
                return verdict;
            }
            sleep(POLL).await;
        }
    }

    /// Sends the request as often as it says and looks at every answer and at all together.
    async fn round(&mut self, entry: &Entry, plan: &Plan) -> Result<(), Verdict> {
        let repeat = entry.repeat.unwrap_or(1);
        if repeat > 1 {
            // Repetitions are compared with each other, not with what went before.
            self.surroundings.previous = None;
        }
        let answers = self.answers(entry, plan, repeat).await;
        let mut wrong = 0;
        let mut first = None;
        for answer in &answers {
            if let Err(verdict) = self.judge(entry.expect.as_ref(), answer) {
                wrong += 1;
                first.get_or_insert(verdict);
            }
        }
        if let Some(verdict) = &mut first
            && repeat > 1
        {
            let summary = format!("{wrong} of {repeat} answers were wrong; the first of them:");
            verdict.complaints.insert(0, summary);
        }
        let shares = shares(entry, &answers);
        if !shares.is_empty() {
            let verdict = first.get_or_insert(Verdict {
                complaints: Vec::new(),
                answer: None,
            });
            verdict.complaints.extend(shares);
        }
        first.map_or(Ok(()), Err)
    }

    /// One by one over one connection, or each over its own with so many at a time.
    async fn answers(
        &mut self,
        entry: &Entry,
        plan: &Plan,
        repeat: usize,
    ) -> Vec<anyhow::Result<Seen>> {
        let mut answers = Vec::new();
        if let Some(parallel) = entry.parallel {
            let mut flying = JoinSet::new();
            for _ in 0..repeat {
                if flying.len() >= parallel {
                    answers.extend(joined(&mut flying).await);
                }
                let plan = plan.clone();
                flying.spawn(async move { send(&plan, &mut None).await });
            }
            while let Some(answer) = joined(&mut flying).await {
                answers.push(answer);
            }
            return answers;
        }
        let mut kept = None;
        for _ in 0..repeat {
            let answer = match entry.cookies {
                true => send(&self.with_cookies(plan), &mut kept).await,
                false => send(plan, &mut kept).await,
            };
            if let Ok(seen) = &answer
                && entry.cookies
            {
                self.keep_cookies(&seen.response);
            }
            if !entry.keep_alive {
                kept = None;
            }
            answers.push(answer);
        }
        answers
    }

    fn judge(
        &mut self,
        wanted: Option<&Wanted>,
        answer: &anyhow::Result<Seen>,
    ) -> Result<(), Verdict> {
        let Some(wanted) = wanted else {
            return answer.as_ref().map(|_| ()).map_err(Verdict::of);
        };
        let seen = match (answer, &wanted.fails) {
            (Err(error), Some(fails)) if fails.is_in(&format!("{error:#}")) => return Ok(()),
            (Err(error), _) => return Err(Verdict::of(error)),
            (Ok(seen), _) => seen,
        };
        let mut complaints = complaints(wanted, seen, &self.surroundings);
        if let Some(fails) = &wanted.fails {
            complaints.push(format!("fails: expected {fails}, saw an answer"));
        }
        if let Some(report) = seen.response.report() {
            self.surroundings.previous = Some((report.address, report.connection));
        }
        if complaints.is_empty() {
            return Ok(());
        }
        Err(Verdict {
            complaints,
            answer: Some(shown(&seen.response)),
        })
    }

    fn with_cookies(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        let cookies = self.cookies.iter();
        let pairs: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !pairs.is_empty() {
            plan.request = plan.request.header("Cookie", &pairs.join("; "));
        }
        plan
    }

    fn keep_cookies(&mut self, response: &Response) {
        for cookie in response.values("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

async fn joined(flying: &mut JoinSet<anyhow::Result<Seen>>) -> Option<anyhow::Result<Seen>> {
    let joined = flying.join_next().await?;
    Some(joined.context("a request was aborted").flatten())
}

async fn default_certificate(https: SocketAddr) -> anyhow::Result<CertificateDer<'static>> {
    let target = Target::tls(https, Tls::to(STRANGER));
    let connection = Http1::connect(&target).await;
    let connection = connection.context("asking for the default certificate")?;
    let chain = connection.handshake().map(|tls| tls.chain.as_slice());
    let first = chain.and_then(<[_]>::first);
    first.cloned().context("there is no default certificate")
}

/// How the answers spread over backends and statuses, where the entry says how they should.
fn shares(entry: &Entry, answers: &[anyhow::Result<Seen>]) -> Vec<String> {
    let Some(wanted) = &entry.share else {
        return Vec::new();
    };
    let mut counts: BTreeMap<String, usize> = wanted.keys().map(|key| (key.clone(), 0)).collect();
    for seen in answers.iter().flatten() {
        let status = format!("status {}", seen.response.status);
        let backend = seen
            .response
            .report()
            .map(|report| report.address.to_string());
        let keys = [Some(status.clone()), backend.clone()];
        let mut keys: Vec<String> = keys.into_iter().flatten().collect();
        keys.retain(|key| wanted.contains_key(key));
        if keys.is_empty() {
            // An answer that nobody asked for is shown by what tells most about it.
            keys.push(backend.unwrap_or(status));
        }
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
    }
    let complaint = |(key, count): (&String, &usize)| match wanted.get(key) {
        Some(amount) if amount.contains(*count, answers.len()) => None,
        Some(amount) => Some(format!(
            "share of {key}: expected {amount}, saw {count} of {}",
            answers.len()
        )),
        None => Some(format!("share of {key}: expected none, saw {count}")),
    };
    counts.iter().filter_map(complaint).collect()
}
