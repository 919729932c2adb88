//! All that the watches have delivered, as the snapshot that will be handed over next. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use crate::model::diagnostics::Kind;
use crate::snapshot::pods::Pod;
use crate::snapshot::{Evidence, Object, ObjectName, Snapshot};

use super::EVIDENCE;
use super::index::{Change, Index};
use super::kept::{Read, name_of};
use super::secrets::Secrets;
use super::statuses::Statuses;
use super::stream::{Message, Said};
use super::watches::{WatchName, WatchState, Watches};

/// Objects that have not changed stay the same `Arc` from one snapshot to the next.
#[derive(Debug)]
pub struct Store {
    /// By the number of the watch.
    sources: Vec<Source>,
    secrets: Secrets,
    /// References have changed, or what is known of Secrets.
    unasked: bool,
    pub snapshot: Snapshot,
    pub statuses: Statuses,
    /// The statuses are others than when this was last taken back.
    pub statuses_changed: bool,
    pub watches: Watches,
}

#[derive(Debug)]
struct Source {
    name: WatchName,
    index: Index,
}

impl Source {
    fn covers(&self, name: &ObjectName) -> bool {
        self.name.covers(name)
    }
}

impl Store {
    /// For watches, and whether each is required; their numbers are their places.
    pub fn new(watches: Vec<(WatchName, bool)>, secrets: Secrets) -> Self {
        let mut table = Watches::default();
        let mut sources = Vec::new();
        for (name, required) in watches {
            table.add(name.clone(), required);
            let index = Index::default();
            sources.push(Source { name, index });
        }
        Self {
            sources,
            secrets,
            unasked: false,
            snapshot: Snapshot {
                evidence: Evidence::Hidden,
                ..Snapshot::default()
            },
            statuses: Statuses::default(),
            statuses_changed: false,
            watches: table,
        }
    }

    /// Takes what a watch says; whether the snapshot is another one by it.
    pub fn take(&mut self, message: Message) -> bool {
        let Message { watch, mut said } = message;
        self.note(watch, &said);
        self.note_status(&mut said);
        let more_is_seen = matches!(said, Said::ListEnds) && self.note_evidence();
        let changes = match said {
            Said::ListBegins => {
                self.list_begins(watch);
                Vec::new()
            }
            Said::ListEnds => self.list_ends(watch),
            Said::Listed(read) | Said::Changed(read) => {
                self.secrets_told(watch, &read.name);
                Vec::from_iter(self.put(watch, read))
            }
            Said::Gone(name) => {
                self.secrets_told(watch, &name);
                Vec::from_iter(self.sources[watch].index.remove(&name))
            }
            Said::LookedUp(name, found) => Vec::from_iter(self.looked_up(watch, &name, found)),
            Said::Failed(_) | Said::Calm => Vec::new(),
        };
        let changed = !changes.is_empty() || more_is_seen;
        for change in changes {
            self.apply(change);
        }
        self.note_unreadable(watch);
        changed
    }

    /// Secrets to look up by themselves, each with the number of its watch; each is given once.
    pub fn look_ups(&mut self) -> Vec<(usize, ObjectName)> {
        if !self.watches.complete_for(Kind::Secret) || !std::mem::take(&mut self.unasked) {
            return Vec::new();
        }
        let sources = &self.sources;
        let watch_of = |name: &ObjectName| {
            let covers = |s: &Source| s.name.kind == Kind::Secret && s.covers(name);
            sources.iter().position(covers)
        };
        // What lies in a namespace that is not watched is never there.
        let known = |name: &ObjectName| {
            watch_of(name).is_none_or(|watch| sources[watch].index.get(name).is_some())
        };
        let names = self.secrets.ask(known);
        let numbered = names.into_iter().map(|name| Some((watch_of(&name)?, name)));
        numbered.flatten().collect()
    }

    fn note(&mut self, watch: usize, said: &Said) {
        let Some(watch) = self.watches.get_mut(&self.sources[watch].name) else {
            return;
        };
        match said {
            Said::ListEnds => {
                watch.listed = true;
                watch.state = WatchState::Synced;
            }
            Said::Failed(state) => watch.state = state.clone(),
            Said::Changed(_) | Said::Gone(_) | Said::Calm => watch.calm(),
            Said::ListBegins | Said::Listed(_) | Said::LookedUp(..) => {}
        }
    }

    fn note_status(&mut self, said: &mut Said) {
        if let Said::Listed(read) | Said::Changed(read) = said
            && let Some(beside) = read.beside.take()
        {
            self.statuses_changed |= self.statuses.put(&read.name, beside);
        }
        if matches!(said, Said::ListEnds) {
            let known = self.watches.listed(Kind::RouteHealth);
            self.statuses_changed |= known != self.statuses.route_healths_known;
            self.statuses.route_healths_known = known;
        }
    }

    /// Whether pods and what makes them are all known now, and were not before.
    fn note_evidence(&mut self) -> bool {
        let before = self.snapshot.evidence;
        if EVIDENCE.iter().all(|kind| self.watches.listed(*kind)) {
            self.snapshot.evidence = Evidence::Cluster;
        }
        self.snapshot.evidence != before
    }

    fn forget_status(&mut self, gone: &Object) {
        let (kind, metadata) = match gone {
            Object::Ingress(object) => (Kind::Ingress, &object.metadata),
            Object::RouteHealth(object) => (Kind::RouteHealth, &object.metadata),
            _ => return,
        };
        self.statuses_changed |= self.statuses.remove(kind, &name_of(metadata));
    }

    fn note_unreadable(&mut self, watch: usize) {
        let Source { name, index } = &self.sources[watch];
        if let Some(watch) = self.watches.get_mut(name)
            && watch.unreadable != *index.unreadable()
        {
            watch.unreadable = index.unreadable().clone();
        }
    }

    fn list_begins(&mut self, watch: usize) {
        let source = &mut self.sources[watch];
        source.index.begin_list();
        if source.name.kind == Kind::Secret {
            self.secrets.list_begins(|name| source.covers(name));
        }
    }

    fn list_ends(&mut self, watch: usize) -> Vec<Change> {
        let source = &mut self.sources[watch];
        let changes = source.index.end_list();
        if source.name.kind == Kind::Secret {
            self.secrets.list_ends(|name| source.covers(name));
            self.unasked = true;
        }
        changes
    }

    fn secrets_told(&mut self, watch: usize, name: &ObjectName) {
        if self.sources[watch].name.kind == Kind::Secret {
            self.secrets.told(name);
        }
    }

    fn put(&mut self, watch: usize, mut read: Read) -> Option<Change> {
        if let Ok(Object::Pod(pod)) = &mut read.object {
            self.share_shape(pod);
        }
        let index = &mut self.sources[watch].index;
        match &read.object {
            Ok(Object::Secret(secret)) if !self.secrets.keeps(&read.name, secret) => {
                index.remove(&read.name)
            }
            _ => index.put(read),
        }
    }

    /// Pods of one revision are alike and have names that follow each other: they share what they are.
    fn share_shape(&self, pod: &mut Arc<Pod>) {
        let pods = &self.snapshot.pods;
        let before = pods.range(..&pod.name).next_back();
        let after = pods.range(&pod.name..).next();
        let mut beside = before.into_iter().chain(after);
        let alike = beside.find(|(_, other)| other.shape == pod.shape);
        if let Some((_, other)) = alike {
            Arc::make_mut(pod).shape = other.shape.clone();
        }
    }

    /// An answer that comes during a list may be older than the list.
    fn looked_up(
        &mut self,
        watch: usize,
        name: &ObjectName,
        found: Option<Read>,
    ) -> Option<Change> {
        if self.sources[watch].index.is_listing() || !self.secrets.answer(name) {
            return None;
        }
        self.put(watch, found?)
    }

    fn apply(&mut self, change: Change) {
        let released = match change.before.as_ref().or(change.after.as_ref()) {
            Some(Object::Ingress(_)) => {
                self.unasked = true;
                self.secrets.follow(&change)
            }
            _ => Vec::new(),
        };
        if let Some(before) = &change.before {
            self.snapshot.remove(before);
            if change.after.is_none() {
                self.forget_status(before);
            }
        }
        if let Some(after) = change.after {
            self.snapshot.add(after);
        }
        for name in released {
            self.release(&name);
        }
    }

    /// Drops a Secret that nothing refers to any more, as it would be dropped had it come now.
    fn release(&mut self, name: &ObjectName) {
        let of_secrets = self.sources.iter_mut();
        let mut of_secrets = of_secrets.filter(|s| s.name.kind == Kind::Secret && s.covers(name));
        let Some(source) = of_secrets.next() else {
            return;
        };
        let secrets = &self.secrets;
        let unwanted = |secret: &Secret| !secrets.keeps(name, secret);
        if let Some(Object::Secret(secret)) = source.index.get(name)
            && unwanted(secret)
            && let Some(Change {
                before: Some(object),
                ..
            }) = source.index.remove(name)
        {
            self.snapshot.remove(&object);
        }
    }
}

#[cfg(test)]
mod tests;
