//! Backends and servers that a bundle has no more: out of service first, away when nobody uses them.
//! Pure, as `live.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::runtime::{Command, Done};
use crate::model::names::UpstreamName;

/// What has no use any more, and goes in two steps: out of service, then away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Backends that no route leads to. They serve on: a request may be on its way to them.
    unused: BTreeMap<UpstreamName, Unused>,
    /// Out of service, and may still have connections.
    pub servers: BTreeSet<(UpstreamName, String)>,
    pub backends: BTreeSet<UpstreamName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Unused {
    servers: Vec<String>,
    /// It was already unused when things were tidied last.
    for_long: bool,
}

impl Leaving {
    pub fn is_empty(&self) -> bool {
        self.unused.is_empty() && self.servers.is_empty() && self.backends.is_empty()
    }

    /// A backend that no route leads to from now on.
    pub fn unuse(&mut self, name: UpstreamName, servers: Vec<String>) {
        let unused = Unused {
            servers,
            for_long: false,
        };
        self.unused.insert(name, unused);
    }

    /// The servers of a backend that serves although it is unused, and is no longer.
    pub fn use_again(&mut self, name: &UpstreamName) -> Option<Vec<String>> {
        self.unused.remove(name).map(|unused| unused.servers)
    }

    /// Takes out of service what has been unused for a whole round.
    pub fn retire(&mut self) -> Vec<Command> {
        let unused = std::mem::take(&mut self.unused);
        let (old, new): (BTreeMap<_, _>, _) = unused.into_iter().partition(|(_, u)| u.for_long);
        self.unused = new;
        self.unused.values_mut().for_each(|u| u.for_long = true);
        let mut commands = Vec::new();
        for (name, unused) in old {
            let words = [name.as_str()];
            commands.push(Command::new("unpublish backend", &words, Done::Any));
            for server in unused.servers {
                commands.push(state_of(&format!("{name}/{server}"), "maint"));
                self.servers.insert((name.clone(), server));
            }
            self.backends.insert(name);
        }
        commands
    }

    pub fn forget(&mut self, removal: &Removal) {
        match removal {
            Removal::Server(server) => drop(self.servers.remove(server)),
            Removal::Backend(name) => drop(self.backends.remove(name)),
        }
    }
}

pub fn state_of(path: &str, state: &str) -> Command {
    Command::new("set server", &[path, "state", state], Done::Silent)
}

/// Tries to remove what is on its way out: backends when their servers are gone. A server that still
/// has connections is kept; whatever is refused is tried again later.
pub fn removals(leaving: &Leaving) -> Vec<(Removal, Command)> {
    let servers = leaving.servers.iter().map(|server| {
        let path = format!("{}/{}", server.0, server.1);
        let command = Command::new("del server", &[&path], Done::Any);
        (Removal::Server(server.clone()), command)
    });
    let backends = leaving.backends.iter().map(|name| {
        let command = Command::new("del backend", &[name.as_str()], Done::Any);
        (Removal::Backend(name.clone()), command)
    });
    servers.chain(backends).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    Server((UpstreamName, String)),
    Backend(UpstreamName),
}

impl Removal {
    /// Whether HAProxy says that it is gone. What other commands have said may stand before it, so
    /// that the last line counts.
    pub fn is_done(&self, reply: &str) -> bool {
        let last = reply.trim_end().lines().next_back().unwrap_or_default();
        let says = |words: &&str| last.ends_with(words);
        match self {
            Self::Server(_) => ["Server deleted.", "No such server.", "No such backend."]
                .iter()
                .any(says),
            Self::Backend(_) => ["Backend deleted.", "No such backend."].iter().any(says),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> UpstreamName {
        UpstreamName::new("default", "api", "80", "")
    }

    #[test]
    fn only_the_last_line_tells_whether_something_is_gone() {
        let backend = Removal::Backend(name());
        assert!(
            backend.is_done("[6]: Server a/b is going DOWN.\nServer deleted.\nBackend deleted.\n")
        );
        assert!(backend.is_done("[3]: No such backend.\n"));
        assert!(!backend.is_done("[6]: Server a/b is going DOWN.\nServer deleted.\n"));
        let server = Removal::Server((name(), "b".into()));
        assert!(server.is_done("[6]: Server deleted.\n"));
        let kept = "[3]: Server deleted.\nServer still has connections attached to it, cannot remove it.\n";
        assert!(!server.is_done(kept));
    }

    #[test]
    fn a_backend_serves_for_a_whole_round_before_it_is_taken_out_of_service() {
        let mut leaving = Leaving::default();
        leaving.unuse(name(), vec!["b".into()]);
        assert!(leaving.retire().is_empty() && removals(&leaving).is_empty());
        assert_eq!(leaving.retire().len(), 2);
        assert_eq!(removals(&leaving).len(), 2);
        leaving.unuse(name(), vec!["b".into()]);
        assert_eq!(leaving.use_again(&name()), Some(vec!["b".into()]));
    }
}
