//! What the writing of status has come to, for metrics.

use std::collections::BTreeMap;

use super::write::WriteError;

/// Counts since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusReport {
    pub leads: bool,
    pub writes: BTreeMap<(Verb, Fate), u64>,
    /// Writes that wait for their turn.
    pub waiting: usize,
    /// The last failure, in the words of the client or the API server; None where nothing waits to be
    /// tried again.
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A generated RouteHealth.
    Create,
    /// A generated RouteHealth that has become its user's.
    Release,
    Delete,
    /// The status of a RouteHealth.
    Status,
    /// The addresses of an Ingress.
    Addresses,
    Event,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Done,
    Forbidden,
    NotFound,
    Conflict,
    /// Refused by the definition or an admission: a mistake of ours, most likely.
    Invalid,
    Throttled,
    /// The API server itself failed.
    Unavailable,
    /// There was no answer.
    Failed,
    /// There were too many Events.
    Dropped,
    /// It was not made: another may lead by now.
    TermOver,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Release => "release",
            Self::Delete => "delete",
            Self::Status => "status",
            Self::Addresses => "addresses",
            Self::Event => "event",
        }
    }
}

impl Fate {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::TermOver => "term_over",
        }
    }

    pub(super) fn of(error: &WriteError) -> Self {
        let status = match error {
            WriteError::Api(kube::Error::Api(status)) => status,
            WriteError::Api(_) | WriteError::Slow(_) => return Self::Failed,
            WriteError::TermOver => return Self::TermOver,
        };
        match status.code {
            403 | 401 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            429 => Self::Throttled,
            400..=499 => Self::Invalid,
            _ => Self::Unavailable,
        }
    }

    /// Whether the same write will hardly go better in a moment.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Forbidden | Self::NotFound | Self::Invalid)
    }
}

impl StatusReport {
    /// All writes with this verb and fate.
    pub fn count(&self, verb: Verb, fate: Fate) -> u64 {
        self.writes.get(&(verb, fate)).copied().unwrap_or_default()
    }

    pub(super) fn note(&mut self, verb: Verb, fate: Fate) {
        *self.writes.entry((verb, fate)).or_default() += 1;
    }
}
