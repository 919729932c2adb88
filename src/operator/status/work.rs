//! What there is to write: what should stand, compared with what stands. Pure; all that is not there is
//! the order and the pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::addresses::Address;
use super::events::{Turn, turn};
use super::{Settings, manager};
use crate::api::route_health::{RouteHealth, RouteHealthStatus, RouteStatus};
use crate::api::{GENERATED_LABEL, INSTANCE_LABEL};
use crate::conditions::generated::{self, Author, author};
use crate::conditions::{Claim, Proxy, Seen, Subject, ingress_ref, statuses};
use crate::diagnose::diagnose;
use crate::model::diagnostics::{Kind, ObjectRef};
use crate::operator::Outcome;
use crate::snapshot::{Evidence, ObjectName};
use crate::source::cluster::{IngressSeen, Statuses};
use crate::translate::tallies;

/// How old an Ingress that no controller serves must be before it is told so.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// All that is known at one moment.
pub struct View {
    pub outcome: Outcome,
    pub statuses: Arc<Statuses>,
    /// None while it is not known.
    pub addresses: Option<Vec<Address>>,
    pub now: Timestamp,
    /// See [`Seen::trust_until`].
    pub trust_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct Work {
    pub jobs: Vec<Job>,
    /// Time alone will bring more.
    pub again: bool,
}

/// The object that is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    RouteHealth(ObjectName),
    Ingress(ObjectName),
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The status of a generation that was not spoken of yet.
    NewGeneration,
    /// A condition or its reason is another one.
    Flip,
    /// Objects that come, go or change hands.
    Object,
    /// Figures and words.
    Count,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub target: Target,
    pub rank: Rank,
    pub write: Write,
    /// The version of the object that this was compared with; None where there was none.
    pub base: Option<String>,
    /// What to tell when it is written.
    pub turn: Option<Turn>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Create(Box<RouteHealth>),
    /// Labels and owner of a generated RouteHealth go.
    Release(Arc<RouteHealth>),
    Delete {
        uid: Option<String>,
    },
    Status {
        wanted: Box<RouteHealthStatus>,
        standing: Arc<RouteHealth>,
    },
    /// None of them clears what we wrote.
    Addresses(Vec<Address>),
}

/// Everything that there is to write.
pub fn work(view: &View, settings: &Settings) -> Work {
    let subjects: BTreeMap<ObjectRef, Subject<'_>> = view
        .outcome
        .snapshot
        .ingresses
        .iter()
        .map(|(name, ingress)| {
            let since = view.outcome.since.get(name).copied();
            let subject = Subject { ingress, since };
            (ingress_ref(&name.namespace, &name.name), subject)
        })
        .collect();
    let proxies = view.outcome.proxies.iter();
    let proxies = proxies.map(|proxy| Proxy {
        name: &proxy.name,
        build: proxy.build,
        refusal: proxy.refusal.as_deref(),
    });
    let tallies = tallies(&view.outcome.snapshot, &view.outcome.model);
    let behind = diagnose(&view.outcome.snapshot, &view.outcome.model, &tallies);
    let seen = Seen {
        model: &view.outcome.model,
        diagnostics: &view.outcome.diagnostics,
        ingresses: subjects,
        tallies,
        behind,
        sees_pods: view.outcome.snapshot.evidence != Evidence::Hidden,
        proxies: proxies.collect(),
        now: view.now,
        trust_until: view.trust_until,
    };
    let mut desk = Desk {
        view,
        settings,
        seen: &seen,
        work: Work::default(),
    };
    if view.statuses.route_healths_known {
        desk.route_healths();
    }
    desk.addresses();
    desk.work
}

/// Whether an Ingress is to have a generated RouteHealth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Yes,
    No,
    /// Not known yet: what there is stays, and nothing is made.
    Later,
}

struct Desk<'v> {
    view: &'v View,
    settings: &'v Settings,
    seen: &'v Seen<'v>,
    work: Work,
}

impl<'v> Desk<'v> {
    fn route_healths(&mut self) {
        let all = &self.view.statuses.route_healths;
        let mut authors = BTreeMap::new();
        let (mut users, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (name, health) in all.iter() {
            let author = author(health, &self.settings.installation);
            match author {
                Author::User | Author::UserNow => users.extend(self.targets(name, health)),
                Author::Others => others.extend(self.targets(name, health)),
                Author::Us => {}
            }
            authors.insert(name, author);
        }
        let mut wishes: BTreeMap<ObjectName, Wish> = BTreeMap::new();
        for name in self.view.outcome.snapshot.ingresses.keys() {
            let wish = match users.contains(name) {
                true => Wish::No,
                false => self.wish(name, others.contains(name)),
            };
            wishes.insert(name.clone(), wish);
            let own = ObjectName::new(&*name.namespace, generated::name(&name.name));
            if wish == Wish::Yes && !all.contains_key(&own) {
                self.create(name, own);
            }
        }
        let mut spoken = BTreeMap::new();
        let mut released = BTreeSet::new();
        for (name, health) in all
            .iter()
            .filter(|(_, h)| h.metadata.deletion_timestamp.is_none())
        {
            match authors.get(name) {
                Some(Author::Others) | None => continue,
                Some(Author::Us) if self.is_unwanted(name, health, &wishes) => {
                    self.delete(name, health);
                    continue;
                }
                Some(Author::UserNow) => {
                    self.release(name, health);
                    released.insert(name);
                }
                Some(Author::Us | Author::User) => {}
            }
            let object = ObjectRef::new(Kind::RouteHealth, &name.namespace, &name.name);
            spoken.insert(object, health.as_ref());
        }
        for (object, status) in statuses(self.seen, &spoken) {
            let name = ObjectName::new(&*object.namespace, &*object.name);
            // One that changes hands has its status when it has: both writes would be in each other's way.
            if let Some(health) = all.get(&name).filter(|_| !released.contains(&name)) {
                self.status(name, health, status);
            }
        }
    }

    /// The Ingresses that a RouteHealth is about.
    fn targets(&self, name: &ObjectName, health: &RouteHealth) -> Vec<ObjectName> {
        if let Some(target) = &health.spec.target_ref {
            return vec![ObjectName::new(&*name.namespace, &*target.name)];
        }
        let Some(selector) = &health.spec.target_selector else {
            return Vec::new();
        };
        let ingresses = &self.view.outcome.snapshot.ingresses;
        let here = ingresses.range(ObjectName::new(&*name.namespace, "")..);
        let here = here.take_while(|(ingress, _)| ingress.namespace == name.namespace);
        let selected = here.filter(|(_, ingress)| {
            let labels = ingress.metadata.labels.as_ref();
            let wanted = &selector.match_labels;
            let has = |(key, value)| labels.and_then(|all| all.get(key)) == Some(value);
            !wanted.is_empty() && wanted.iter().all(has)
        });
        selected.map(|(name, _)| name.clone()).collect()
    }

    fn wish(&mut self, name: &ObjectName, others_speak: bool) -> Wish {
        if !self.settings.generate || others_speak {
            return Wish::No;
        }
        let snapshot = &self.view.outcome.snapshot;
        let (Some(ingress), Some(seen)) = (
            snapshot.ingresses.get(name),
            self.view.statuses.ingresses.get(name),
        ) else {
            return Wish::Later;
        };
        if seen.is_deleted || seen.uid.is_none() || seen.uid != ingress.metadata.uid {
            return Wish::Later;
        }
        match self.seen.claim(&ingress_ref(&name.namespace, &name.name)) {
            Claim::Ours => Wish::Yes,
            Claim::Others => Wish::No,
            Claim::Nobodys if !self.settings.diagnose_unclaimed || self.is_anothers(seen) => {
                Wish::No
            }
            Claim::Nobodys => {
                let created = ingress.metadata.creation_timestamp.as_ref();
                let age = created.map(|created| self.view.now.duration_since(created.0));
                match age.is_none_or(|age| age >= GRACE) {
                    true => Wish::Yes,
                    false => {
                        self.work.again = true;
                        Wish::Later
                    }
                }
            }
        }
    }

    /// Whether some other controller has written addresses.
    fn is_anothers(&self, seen: &IngressSeen) -> bool {
        !seen.addresses.is_empty()
            && !seen
                .managers
                .contains(&manager(&self.settings.installation))
    }

    fn is_unwanted(
        &self,
        name: &ObjectName,
        health: &RouteHealth,
        wishes: &BTreeMap<ObjectName, Wish>,
    ) -> bool {
        let target = health.spec.target_ref.as_ref().map(|target| &*target.name);
        let ingress = ObjectName::new(&*name.namespace, target.unwrap_or_default());
        let misnamed = name.name != generated::name(&ingress.name);
        match wishes.get(&ingress) {
            Some(wish) => *wish == Wish::No || misnamed,
            // Gone; or so new that no build knows it.
            None => !self.view.statuses.ingresses.contains_key(&ingress),
        }
    }

    fn create(&mut self, ingress: &ObjectName, name: ObjectName) {
        let uid = self.view.statuses.ingresses.get(ingress);
        let uid = uid.and_then(|seen| seen.uid.clone()).unwrap_or_default();
        let mut health = RouteHealth::new(&name.name, generated::spec(&ingress.name));
        let labels = [
            (GENERATED_LABEL, "true"),
            (INSTANCE_LABEL, &self.settings.installation),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        health.metadata.labels = Some(labels.into());
        health.metadata.namespace = Some(name.namespace.clone());
        health.metadata.owner_references = Some(vec![super::owner(&ingress.name, uid)]);
        let write = Write::Create(Box::new(health));
        self.object(name, write, None);
    }

    fn release(&mut self, name: &ObjectName, health: &Arc<RouteHealth>) {
        let write = Write::Release(health.clone());
        self.object(
            name.clone(),
            write,
            health.metadata.resource_version.clone(),
        );
    }

    fn delete(&mut self, name: &ObjectName, health: &RouteHealth) {
        let metadata = &health.metadata;
        let uid = metadata.uid.clone();
        let write = Write::Delete { uid };
        self.object(name.clone(), write, metadata.resource_version.clone());
    }

    fn object(&mut self, name: ObjectName, write: Write, base: Option<String>) {
        self.work.jobs.push(Job {
            target: Target::RouteHealth(name),
            rank: Rank::Object,
            write,
            base,
            turn: None,
        });
    }

    fn status(&mut self, name: ObjectName, health: &Arc<RouteHealth>, wanted: RouteHealthStatus) {
        let waits = |status: &RouteHealthStatus| {
            let mut all = status.conditions.iter();
            all.any(|c| c.type_ == "Programmed" && c.reason == "Pending")
        };
        self.work.again |= waits(&wanted);
        let standing = health.status.as_ref();
        if standing == Some(&wanted) {
            return;
        }
        let turn = turn(&name, health, &wanted, &self.view.statuses);
        self.work.jobs.push(Job {
            target: Target::RouteHealth(name),
            rank: rank(standing, &wanted),
            write: Write::Status {
                wanted: Box::new(wanted),
                standing: health.clone(),
            },
            base: health.metadata.resource_version.clone(),
            turn,
        });
    }

    fn addresses(&mut self) {
        let (true, Some(ours)) = (self.settings.update_status, &self.view.addresses) else {
            return;
        };
        let statuses = &self.view.statuses;
        let known = &self.view.outcome.snapshot.ingresses;
        for (name, seen) in statuses.ingresses.iter() {
            if seen.is_deleted || !known.contains_key(name) {
                continue;
            }
            let is_mine = seen
                .managers
                .contains(&manager(&self.settings.installation));
            let claim = self.seen.claim(&ingress_ref(&name.namespace, &name.name));
            let wanted = match claim {
                Claim::Ours => ours.as_slice(),
                Claim::Nobodys | Claim::Others => &[],
            };
            let standing: Option<BTreeSet<Address>> =
                seen.addresses.iter().map(Address::of_ingress).collect();
            let same = standing.is_some_and(|standing| standing.iter().eq(wanted));
            if same || (wanted.is_empty() && !is_mine) {
                continue;
            }
            self.work.jobs.push(Job {
                target: Target::Ingress(name.clone()),
                rank: Rank::Object,
                write: Write::Addresses(wanted.to_vec()),
                base: seen.resource_version.clone(),
                turn: None,
            });
        }
    }
}

fn rank(standing: Option<&RouteHealthStatus>, wanted: &RouteHealthStatus) -> Rank {
    let Some(standing) = standing else {
        return Rank::NewGeneration;
    };
    let generations = |status: &RouteHealthStatus| {
        let RouteHealthStatus {
            target_generation,
            observed_generation,
            target_annotations,
            ..
        } = status;
        (
            *target_generation,
            *observed_generation,
            target_annotations.clone(),
        )
    };
    if generations(standing) != generations(wanted) {
        return Rank::NewGeneration;
    }
    match shape(standing) == shape(wanted) {
        true => Rank::Count,
        false => Rank::Flip,
    }
}

/// What of a status is more than figures and words.
fn shape(status: &RouteHealthStatus) -> impl PartialEq + '_ {
    let of = |conditions: &[crate::api::route_health::Condition]| -> Vec<String> {
        let one = |c: &crate::api::route_health::Condition| {
            format!("{} {:?} {}", c.type_, c.status, c.reason)
        };
        conditions.iter().map(one).collect()
    };
    let row = |row: &RouteStatus| {
        let name = [&*row.ingress, &*row.host, &*row.path, &*row.path_type];
        (name.map(str::to_owned), of(&row.conditions))
    };
    let rows: Vec<_> = status.routes.iter().map(row).collect();
    (of(&status.conditions), rows)
}

#[cfg(test)]
mod tests;
