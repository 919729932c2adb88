//! How each watch stands, by name: what readiness and status tell of it.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::diagnostics::Kind;
use crate::snapshot::ObjectName;

/// One watch: a kind, in one namespace or in all, or one object alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchName {
    pub kind: Kind,
    pub namespace: Option<String>,
    /// Of the only object that is watched.
    pub name: Option<String>,
}

impl WatchName {
    /// Whether an object of its kind is one that it tells of.
    pub(super) fn covers(&self, object: &ObjectName) -> bool {
        let here = self.namespace.as_ref();
        let only = self.name.as_ref();
        here.is_none_or(|namespace| *namespace == object.namespace)
            && only.is_none_or(|name| *name == object.name)
    }
}

impl fmt::Display for WatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// How a watch stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// The first list has not come yet.
    Waiting,
    Synced,
    /// The API server does not let us.
    Forbidden,
    /// The API server has no such kind.
    Absent,
    /// Anything else, in the words of the client or the API server. It is tried again for ever.
    Failing(String),
}

impl WatchState {
    /// The variant's name, for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Synced => "synced",
            Self::Forbidden => "forbidden",
            Self::Absent => "absent",
            Self::Failing(_) => "failing",
        }
    }
}

impl fmt::Display for WatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing(words) => write!(f, "failing: {words}"),
            other => f.write_str(other.as_str()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Nothing is handed over before its first list; without the others it goes on.
    pub required: bool,
    /// The first list has come. It stays true: what is known is not forgotten when a watch fails.
    pub listed: bool,
    pub state: WatchState,
    /// Objects that cannot be read, and why; they are taken as not there.
    pub unreadable: BTreeMap<ObjectName, String>,
}

/// All watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches(BTreeMap<WatchName, Watch>);

impl Watches {
    pub fn iter(&self) -> impl Iterator<Item = (&WatchName, &Watch)> {
        self.0.iter()
    }

    /// Whether every required watch has delivered its first list.
    pub fn complete(&self) -> bool {
        let mut watches = self.0.values();
        watches.all(|watch| watch.listed || !watch.required)
    }

    /// Whether nothing is waited for: each watch has delivered its first list or said why not.
    pub(super) fn answered(&self) -> bool {
        let mut watches = self.0.values();
        watches.all(|watch| watch.listed || watch.state != WatchState::Waiting)
    }

    /// The same of those of a kind that are required.
    pub(super) fn complete_for(&self, kind: Kind) -> bool {
        let mut watches = self.0.iter().filter(|(name, _)| name.kind == kind);
        watches.all(|(_, watch)| watch.listed || !watch.required)
    }

    /// Whether all watches of a kind have delivered their first lists.
    pub(super) fn listed(&self, kind: Kind) -> bool {
        let mut watches = self.0.iter().filter(|(name, _)| name.kind == kind);
        watches.all(|(_, watch)| watch.listed)
    }

    pub(super) fn add(&mut self, name: WatchName, required: bool) {
        let watch = Watch {
            required,
            listed: false,
            state: WatchState::Waiting,
            unreadable: BTreeMap::new(),
        };
        self.0.insert(name, watch);
    }

    pub(super) fn get_mut(&mut self, name: &WatchName) -> Option<&mut Watch> {
        self.0.get_mut(name)
    }
}

impl Watch {
    /// Its stream runs, or is tried again without any word of failure.
    pub(super) fn calm(&mut self) {
        self.state = if self.listed {
            WatchState::Synced
        } else {
            WatchState::Waiting
        };
    }
}
