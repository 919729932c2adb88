//! One process of an installation leads: the one that holds a Lease. As client-go does it: read,
//! decide, and replace what was read, so that of two who try at the same moment one is refused (whoever
//! holds it replaces what was written last, and reads only where that is refused); and whether the holder is gone is judged by our own clock, from the moment that its last renewal was
//! seen.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::INSTANCE_LABEL;
use crate::render::wire::Installation;
use crate::telemetry::chain;

use super::anchor::{Owner, owners};

/// How long a Lease holds that is not renewed.
pub const DURATION: Duration = Duration::from_secs(6);
/// A holder that could not renew for so long does not lead any more.
const DEADLINE: Duration = Duration::from_secs(4);
/// Between two looks at it.
const RETRY: Duration = Duration::from_secs(1);
/// From the beginning of a renewal to that of the next.
const RENEW: Duration = Duration::from_secs(2);

/// The Lease of an installation's controllers.
pub fn name(installation: &Installation) -> String {
    format!("{installation}-controller")
}

pub struct Election {
    api: Api<Lease>,
    namespace: String,
    installation: Installation,
    identity: String,
    owner: Owner,
    /// The state of the Lease that was seen last, and when it was first seen.
    seen: Option<(Mark, Instant)>,
    /// What was written last, while nothing is known of anything newer.
    held: Option<Lease>,
}

/// How long this process may go on writing without asking anybody: whoever slept through its Lease does
/// not know yet that another leads. None before the first renewal.
pub type Term = Option<Instant>;

/// Asked right before each write: whether this process may still make it.
#[derive(Clone)]
pub struct Guard(Option<watch::Receiver<Term>>);

impl Guard {
    pub fn new(term: watch::Receiver<Term>) -> Self {
        Self(Some(term))
    }

    /// Of a process that has nobody to agree with.
    pub fn alone() -> Self {
        Self(None)
    }

    /// A process that was stopped for a while, as machines stop them, still takes itself for the leader.
    pub fn holds(&self) -> bool {
        let Some(term) = &self.0 else {
            return true;
        };
        term.borrow().is_some_and(|end| Instant::now() < end)
    }
}

/// What changes with each renewal.
type Mark = (Option<String>, Option<Timestamp>);

#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error(transparent)]
    Api(#[from] Box<kube::Error>),
    #[error("no answer in time")]
    Slow,
}

impl LeaseError {
    /// The API server's status code, where it answered.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Slow => None,
        }
    }
}

impl Election {
    pub fn new(
        client: Client,
        namespace: &str,
        installation: Installation,
        identity: String,
        owner: Owner,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            installation,
            identity,
            owner,
            seen: None,
            held: None,
        }
    }

    fn name(&self) -> String {
        name(&self.installation)
    }

    /// Takes part until `shutdown` ends, and then gives up what it holds, so that another need not
    /// wait. What is said by `leads` is false before it can be false in the cluster.
    pub async fn run(
        mut self,
        leads: watch::Sender<bool>,
        term: watch::Sender<Term>,
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::select! {
            () = shutdown => {}
            () = self.take_part(&leads, &term) => {}
        }
        let led = leads.send_replace(false);
        if led && let Err(error) = self.release().await {
            tracing::warn!(error = %chain(&error), "the Lease could not be given up");
        }
    }

    async fn take_part(&mut self, leads: &watch::Sender<bool>, term: &watch::Sender<Term>) {
        let mut renewed = Instant::now();
        loop {
            let begun = Instant::now();
            let leading = *leads.borrow();
            let patience = match leading {
                true => (renewed + DEADLINE).saturating_duration_since(begun),
                false => DEADLINE,
            };
            let held = match timeout(patience, self.try_once()).await {
                Ok(held) => held,
                Err(_) => Err(LeaseError::Slow),
            };
            let (now_leads, next) = match held {
                Ok(Some(since)) => {
                    renewed = since;
                    term.send_replace(Some(since + DEADLINE));
                    (true, since + RENEW)
                }
                Ok(None) => {
                    term.send_replace(None);
                    (false, Instant::now() + RETRY)
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the Lease cannot be read or written");
                    let still = leading && renewed.elapsed() < DEADLINE;
                    (still, Instant::now() + RETRY)
                }
            };
            leads.send_if_modified(|leads| {
                let changed = *leads != now_leads;
                *leads = now_leads;
                changed
            });
            if leading != now_leads {
                let identity = &self.identity;
                tracing::info!(identity, leads = now_leads, "leadership");
            }
            sleep_until(next).await;
        }
    }

    /// Renews or takes the Lease where it may; says since when it is ours, where it is.
    async fn try_once(&mut self) -> Result<Option<Instant>, LeaseError> {
        // Nobody else writes it meanwhile; to read it first would take twice as long.
        if let Some(held) = self.held.take() {
            match self.renew(held).await {
                // Somebody has written or deleted it all the same.
                Err(error) if matches!(error.code(), Some(404 | 409)) => {}
                renewed => return renewed.map(Some),
            }
        }
        let Some(lease) = self.api.get_opt(&self.name()).await.map_err(Box::new)? else {
            return self.create().await;
        };
        let holder = lease.spec.as_ref();
        let holder = holder.and_then(|spec| spec.holder_identity.clone());
        let holder = holder.filter(|holder| !holder.is_empty());
        if holder.as_deref() == Some(&self.identity) {
            return self.renew(lease).await.map(Some);
        }
        if holder.is_some() && self.runs(&lease, holder) {
            return Ok(None);
        }
        self.take(lease).await
    }

    /// Whether a Lease is one that another may still renew.
    fn runs(&mut self, lease: &Lease, holder: Option<String>) -> bool {
        let renewed = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.renew_time.as_ref());
        let mark = (holder, renewed.map(|time| time.0));
        let now = Instant::now();
        let seen = match &self.seen {
            Some((known, seen)) if *known == mark => *seen,
            _ => now,
        };
        self.seen = Some((mark, seen));
        now < seen + DURATION
    }

    async fn create(&mut self) -> Result<Option<Instant>, LeaseError> {
        let metadata = ObjectMeta {
            name: Some(self.name()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        };
        let fresh = self.ours(metadata, None, None);
        let since = Instant::now();
        let made = self.api.create(&PostParams::default(), &fresh).await;
        self.taken(since, made)
    }

    /// Takes what nobody holds any more.
    async fn take(&mut self, lease: Lease) -> Result<Option<Instant>, LeaseError> {
        let before = lease.spec.and_then(|spec| spec.lease_transitions);
        let transitions = Some(before.unwrap_or(0).saturating_add(1));
        let ours = self.ours(lease.metadata, None, transitions);
        let since = Instant::now();
        let by = PostParams::default();
        let written = self.api.replace(&self.name(), &by, &ours).await;
        self.taken(since, written)
    }

    /// Whoever comes second is told so by a conflict.
    fn taken(
        &mut self,
        since: Instant,
        written: kube::Result<Lease>,
    ) -> Result<Option<Instant>, LeaseError> {
        match written {
            Ok(held) => {
                self.held = Some(held);
                Ok(Some(since))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(Box::new(error).into()),
        }
    }

    /// Renews what is ours. A conflict alone takes nothing away: what stands is read again.
    async fn renew(&mut self, lease: Lease) -> Result<Instant, LeaseError> {
        let spec = lease.spec.unwrap_or_default();
        let ours = self.ours(lease.metadata, spec.acquire_time, spec.lease_transitions);
        let since = Instant::now();
        let by = PostParams::default();
        let written = self.api.replace(&self.name(), &by, &ours).await;
        self.held = Some(written.map_err(Box::new)?);
        Ok(since)
    }

    fn ours(
        &self,
        mut metadata: ObjectMeta,
        acquired: Option<MicroTime>,
        transitions: Option<i32>,
    ) -> Lease {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(INSTANCE_LABEL.to_owned(), self.installation.to_string());
        metadata.owner_references = owners(&self.owner);
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions.unwrap_or(0)),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn release(&self) -> Result<(), LeaseError> {
        let release = async {
            let lease = self.api.get(&self.name()).await?;
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            let released = Lease {
                spec: Some(LeaseSpec {
                    holder_identity: None,
                    ..spec
                }),
                ..lease
            };
            self.api
                .replace(&self.name(), &PostParams::default(), &released)
                .await?;
            Ok(())
        };
        match timeout(DEADLINE, release).await {
            Ok(done) => done.map_err(|error: kube::Error| Box::new(error).into()),
            Err(_) => Err(LeaseError::Slow),
        }
    }
}
