//! How a failed expectation is told: the request, what was expected, what was seen, and the answer.

use std::fmt;

use serde::Deserialize;

use crate::support::client::Response;

/// How much of a body is shown in a failure.
const SHOWN_BODY: usize = 1000;

/// Which proxy is being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proxy {
    Nginx,
    Haproxy,
}

/// A request whose answers were not as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which request of the file, counted from one.
    pub number: usize,
    pub proxy: Proxy,
    pub title: String,
    pub because: Option<String>,
    pub complaints: Vec<String>,
    /// The answer they are about, to be read by a person.
    pub answer: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = format!("{:?}", self.proxy).to_lowercase();
        writeln!(f, "request {} to {proxy}: {}", self.number, self.title)?;
        if let Some(because) = &self.because {
            writeln!(f, "  because: {because}")?;
        }
        for complaint in &self.complaints {
            writeln!(f, "  - {complaint}")?;
        }
        for line in self.answer.iter().flat_map(|answer| answer.lines()) {
            writeln!(f, "    | {line}")?;
        }
        Ok(())
    }
}

/// What is wrong, and with which answer.
pub struct Verdict {
    pub complaints: Vec<String>,
    pub answer: Option<String>,
}

impl Verdict {
    pub fn of(error: &anyhow::Error) -> Verdict {
        Verdict {
            complaints: vec![format!("no answer: {error:#}")],
            answer: None,
        }
    }
}

/// An answer as a person wants to read it.
pub fn shown(response: &Response) -> String {
    let mut text = format!("{} {}\n", response.version, response.status);
    for (name, value) in response.headers.iter().chain(&response.trailers) {
        text += &format!("{name}: {value}\n");
    }
    let body = response.text();
    let cut = body.chars().count() > SHOWN_BODY;
    text.push('\n');
    text.extend(body.chars().take(SHOWN_BODY));
    text.push_str(if cut { " …" } else { "" });
    text
}
