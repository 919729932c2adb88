//! A plan as commands of HAProxy's runtime API. Pure: what is sent, in which order, and why that order
//! loses no request; sending is `haproxy.rs`'s.
//!
//! What is pointed to comes before what points to it, and goes after it: certificates, backends and
//! features first, then routes, then hosts; hosts, routes and features of the old go in the opposite
//! order. So a request meets the old whole or the new whole, at every moment in between.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::leaving::{Leaving, state_of};
use super::runtime::{Command, Done, LARGEST_PAYLOAD};
use crate::model::Endpoint;
use crate::model::names::UpstreamName;
use crate::plan::{Change, Part, Plan, TableChange};
use crate::render::bundle::{Bundle, Content, FileName, Order, Pool, Section, endpoint_name};
use crate::render::haproxy::{CERTIFICATE_LIST, HOSTS_FILE, PROFILE, REVISION_FILE, ROUTES_FILE};

/// Commands in groups: each is sent when the one before has been done.
#[derive(Debug, Default)]
pub struct Steps {
    /// One certificate each: HAProxy has one transaction for all of them.
    pub certificates: Vec<Certificate>,
    pub groups: Vec<Vec<Step>>,
    /// What takes the old away. A request that has found something old looks for the rest of it until
    /// its rules are done, so these come a moment later.
    pub removals: Vec<Vec<Step>>,
    pub revision: Vec<Step>,
    /// Lines to be taken out of the certificate list, by file and name.
    pub unlisted: Vec<(FileName, String)>,
    /// Certificates that no line names any more.
    pub dropped: Vec<FileName>,
    /// What is out of service when all is done, and has to be removed once nobody uses it.
    pub leaving: Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Do(Command),
    /// A table in a new version, which takes the old one's place at once.
    Replace {
        file: FileName,
        lines: String,
    },
}

#[derive(Debug)]
pub struct Certificate {
    pub file: FileName,
    pub is_new: bool,
    /// Chain and key, every line whole.
    pub pem: crate::model::PrivatePem,
}

/// Whether HAProxy can take a part as it runs: pools and certificates. Everything else is read at its
/// start.
pub fn takes(part: &Part) -> bool {
    match part {
        Part::Pool { change, .. } => !matches!(change, Change::Changed(_)),
        Part::File { change, .. } => match change {
            Change::New(content) => matches!(content, Content::Private(_)),
            Change::Changed(_) => false,
            // Only certificates come and go with a host; a text that is gone was named by another.
            Change::Gone => true,
        },
        Part::Format(_) | Part::Proxy(_) => false,
    }
}

/// The commands of a plan whose parts HAProxy [takes]. `leaving` is what is still on its way out.
pub fn steps(plan: &Plan, old: &Bundle, new: &Bundle, leaving: &Leaving) -> Steps {
    let mut steps = Steps::default();
    certificates(plan, &mut steps);
    let mut pools = Pools {
        old,
        leaving: leaving.clone(),
        first: Vec::new(),
        last: Vec::new(),
    };
    pools.write(plan, new);
    let mut tables = Tables::default();
    for change in &plan.tables {
        tables.take(change, old, new, &mut steps.unlisted);
    }
    steps.groups = vec![
        pools.first,
        tables.features,
        tables.routes,
        tables.hosts,
        pools.last,
    ];
    steps.removals = vec![tables.old_hosts, tables.old_routes, tables.old_features];
    steps.groups.retain(|group| !group.is_empty());
    steps.removals.retain(|group| !group.is_empty());
    steps.revision = tables.revision;
    steps.leaving = pools.leaving;
    steps
}

fn certificates(plan: &Plan, steps: &mut Steps) {
    for part in &plan.parts {
        let Part::File { name, change } = part else {
            continue;
        };
        match change {
            Change::New(Content::Private(pem)) => steps.certificates.push(Certificate {
                file: name.clone(),
                is_new: true,
                pem: pem.clone(),
            }),
            Change::Gone => steps.dropped.push(name.clone()),
            _ => {}
        }
    }
    let rotated = plan.certificates.iter().map(|change| Certificate {
        file: change.file.clone(),
        is_new: false,
        pem: change.pem.clone(),
    });
    steps.certificates.extend(rotated);
}

/// Backends and servers.
struct Pools<'a> {
    old: &'a Bundle,
    leaving: Leaving,
    first: Vec<Step>,
    last: Vec<Step>,
}

impl Pools<'_> {
    fn write(&mut self, plan: &Plan, new: &Bundle) {
        for part in &plan.parts {
            if let Part::Pool { name, change } = part {
                match change {
                    Change::New(pool) | Change::Changed(pool) => self.backend(name, pool),
                    Change::Gone => self.no_backend(name),
                }
            }
        }
        for change in &plan.endpoints {
            let pool = new.pools.get(&change.upstream);
            if let Some(section) = pool.and_then(|pool| pool.section.as_ref()) {
                change
                    .added
                    .iter()
                    .for_each(|endpoint| self.server(&change.upstream, section, endpoint));
                change
                    .removed
                    .iter()
                    .for_each(|endpoint| self.no_server(&change.upstream, endpoint_name(endpoint)));
            }
        }
    }

    fn backend(&mut self, name: &UpstreamName, pool: &Pool) {
        let Some(section) = &pool.section else {
            return;
        };
        if let Some(servers) = self.leaving.use_again(name) {
            return self.back_in_use(name, pool, section, &servers);
        }
        // One that is on its way out is still there, with its servers.
        if !self.leaving.backends.remove(name) {
            let add = Command::new("add backend", &[name.as_str()], Done::Says("registered"));
            let add = add.followed_by(&format!(" from {PROFILE}"));
            self.first.push(Step::Do(add));
        }
        pool.endpoints
            .iter()
            .for_each(|endpoint| self.server(name, section, endpoint));
        let publish = Command::new("publish backend", &[name.as_str()], Done::Says("published"));
        self.first.push(Step::Do(publish));
    }

    /// It serves: only its servers may be others by now.
    fn back_in_use(
        &mut self,
        name: &UpstreamName,
        pool: &Pool,
        section: &Section,
        servers: &[String],
    ) {
        let mut gone: BTreeSet<&String> = servers.iter().collect();
        for endpoint in &pool.endpoints {
            if !gone.remove(&endpoint_name(endpoint)) {
                self.server(name, section, endpoint);
            }
        }
        for server in gone {
            self.no_server(name, server.clone());
        }
    }

    fn no_backend(&mut self, name: &UpstreamName) {
        let pool = self.old.pools.get(name);
        let Some(pool) = pool.filter(|pool| pool.section.is_some()) else {
            return;
        };
        let servers = pool.endpoints.iter().map(endpoint_name).collect();
        self.leaving.unuse(name.clone(), servers);
    }

    fn server(&mut self, upstream: &UpstreamName, section: &Section, endpoint: &Endpoint) {
        let server = endpoint_name(endpoint);
        let path = format!("{upstream}/{server}");
        if self.leaving.servers.remove(&(upstream.clone(), server)) {
            return self.first.push(set_state(&path, "ready"));
        }
        let words = [path.as_str(), &endpoint.to_string()];
        let add = Command::new("add server", &words, Done::Says("registered"));
        self.first.push(Step::Do(add.followed_by(&section.after)));
        self.first.push(set_state(&path, "ready"));
    }

    /// Requests under way go on; no new one comes.
    fn no_server(&mut self, upstream: &UpstreamName, server: String) {
        self.last
            .push(set_state(&format!("{upstream}/{server}"), "maint"));
        self.leaving.servers.insert((upstream.clone(), server));
    }
}

fn set_state(path: &str, state: &str) -> Step {
    Step::Do(state_of(path, state))
}

#[derive(Default)]
struct Tables {
    features: Vec<Step>,
    routes: Vec<Step>,
    hosts: Vec<Step>,
    old_hosts: Vec<Step>,
    old_routes: Vec<Step>,
    old_features: Vec<Step>,
    revision: Vec<Step>,
}

impl Tables {
    fn take(
        &mut self,
        change: &TableChange,
        old: &Bundle,
        new: &Bundle,
        unlisted: &mut Vec<(FileName, String)>,
    ) {
        let file = change.file.as_str();
        if file == CERTIFICATE_LIST {
            self.features
                .extend(add("add ssl crt-list", file, &change.new_lines()));
            let gone = change.gone().into_iter().map(key_and_value);
            unlisted.extend(gone.map(|(file, name)| (file.to_owned(), name.to_owned())));
            return;
        }
        let (first, last) = match change.order {
            Order::Any => by_key(change),
            Order::First => match (table(old, file), table(new, file)) {
                (Some(was), Some(is)) => in_order(change, was, is),
                _ => (Vec::new(), Vec::new()),
            },
        };
        let (new_lines, old_lines) = match file {
            HOSTS_FILE => (&mut self.hosts, &mut self.old_hosts),
            ROUTES_FILE => (&mut self.routes, &mut self.old_routes),
            REVISION_FILE => return self.revision.extend(first),
            _ => (&mut self.features, &mut self.old_features),
        };
        new_lines.extend(first);
        old_lines.extend(last);
    }
}

fn table<'a>(bundle: &'a Bundle, file: &str) -> Option<&'a str> {
    match bundle.structure.get(file)? {
        Content::Table(table) => Some(&table.text),
        _ => None,
    }
}

fn key_and_value(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

/// New and changed lines, each at once; then the lines that went.
fn by_key(change: &TableChange) -> (Vec<Step>, Vec<Step>) {
    let file = change.file.as_str();
    let gone: BTreeMap<&str, &str> = change.gone().into_iter().map(key_and_value).collect();
    let lines = change.new_lines();
    let (changed, added): (Vec<&str>, Vec<&str>) = lines
        .into_iter()
        .partition(|line| gone.contains_key(key_and_value(line).0));
    let mut first = add("add map", file, &added);
    let mut kept = HashSet::new();
    for line in changed {
        let (key, value) = key_and_value(line);
        kept.insert(key);
        let set = Command::new("set map", &[file, key, value], Done::Silent);
        first.push(Step::Do(set));
    }
    let gone = gone.keys().filter(|key| !kept.contains(*key));
    (first, gone.map(|key| delete(file, key)).collect())
}

/// Where lines are only added at the end and taken away, by line; otherwise the whole table in one
/// step: first with the new lines before the old ones, which other tables still lead to, then without
/// these.
fn in_order(change: &TableChange, was: &str, is: &str) -> (Vec<Step>, Vec<Step>) {
    let file = change.file.as_str();
    let (gone, added) = (change.gone(), change.new_lines());
    let gone_lines: HashSet<&str> = gone.iter().copied().collect();
    let kept = was.lines().filter(|line| !gone_lines.contains(line));
    let appended = kept.chain(added.iter().copied()).eq(is.lines());
    let mut keys: Vec<&str> = is.lines().chain(gone.iter().copied()).collect();
    keys.iter_mut()
        .for_each(|line| *line = key_and_value(line).0);
    let all: HashSet<&str> = keys.iter().copied().collect();
    if appended && all.len() == keys.len() {
        let gone = gone
            .into_iter()
            .map(|line| delete(file, key_and_value(line).0));
        return (add("add map", file, &added), gone.collect());
    }
    let replace = |lines: String| Step::Replace {
        file: file.to_owned(),
        lines,
    };
    if gone.is_empty() {
        return (vec![replace(is.to_owned())], Vec::new());
    }
    let both = format!("{is}{}\n", gone.join("\n"));
    (vec![replace(both)], vec![replace(is.to_owned())])
}

fn delete(file: &str, key: &str) -> Step {
    Step::Do(Command::new("del map", &[file, key], Done::Silent))
}

fn add(verb: &str, target: &str, lines: &[&str]) -> Vec<Step> {
    // A certificate list takes one line at a time.
    let (done, room) = match verb {
        "add ssl crt-list" => (Done::Says("Success!"), 0),
        _ => (Done::Silent, LARGEST_PAYLOAD),
    };
    let command = |payload| {
        let command = Command::new(verb, &[target], done);
        Step::Do(command.with_lines(payload))
    };
    payloads(lines.iter().copied(), room).map(command).collect()
}

/// Lines in as many payloads as they need; each has one line at least.
pub fn payloads<'a>(
    lines: impl Iterator<Item = &'a str>,
    room: usize,
) -> impl Iterator<Item = String> {
    let mut lines = lines.peekable();
    std::iter::from_fn(move || {
        let mut payload = String::new();
        while let Some(line) =
            lines.next_if(|line| payload.is_empty() || payload.len() + line.len() < room)
        {
            payload.push_str(line);
            payload.push('\n');
        }
        (!payload.is_empty()).then_some(payload)
    })
}
