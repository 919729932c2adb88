//! The proxies that count: what their agents report, as long as their Leases are renewed and their pods
//! are neither gone nor going. Whether a Lease has run out is judged by our own clock, from the moment
//! that its last renewal was seen: nobody else's clock is believed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::part::REPORT;
use crate::api::report::{LEASE_SECONDS, RefusedReport, Report};
use crate::api::{INSTANCE_LABEL, PART_LABEL};
use crate::render::bundle::{ProxyKind, Revision};
use crate::render::capabilities::Capabilities;
use crate::render::wire::Installation;
use crate::watching::watching;

const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);

/// All proxies that are alive, by the name of their pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    pub alive: Vec<Proxy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub pod: String,
    pub capabilities: Capabilities,
    /// What it has proven to run.
    pub revision: Option<String>,
    pub refused: Option<RefusedReport>,
}

impl Proxies {
    pub fn of(&self, kind: ProxyKind) -> impl Iterator<Item = &Proxy> {
        let alive = self.alive.iter();
        alive.filter(move |proxy| proxy.capabilities.proxy == kind)
    }

    /// What each proxy of a kind runs.
    pub fn revisions(&self, kind: ProxyKind) -> impl Iterator<Item = Option<&str>> {
        self.of(kind).map(|proxy| proxy.revision.as_deref())
    }

    /// What the oldest proxy of a kind can do; None where there is none.
    pub fn oldest(&self, kind: ProxyKind) -> Option<Capabilities> {
        self.of(kind).map(|proxy| proxy.capabilities).min()
    }
}

impl Proxy {
    /// Whether it runs a revision, or has refused it: then it reads nothing of an older one any more.
    pub fn has_seen(&self, revision: &Revision) -> bool {
        let refused = self.refused.as_ref().map(|refused| &*refused.revision);
        let revision = Some(revision.as_str());
        self.revision.as_deref() == revision || refused == revision
    }
}

/// What the watches have said, by name.
#[derive(Debug, Default)]
struct Seen {
    reports: BTreeMap<String, Reported>,
    /// What a list of reports under way has named so far.
    listed: Option<BTreeMap<String, Reported>>,
    leases: BTreeMap<String, Renewed>,
    /// By UID, whether it is going. None where pods cannot be watched.
    pods: Option<BTreeMap<String, bool>>,
    listing: Option<BTreeMap<String, bool>>,
    /// What is known of pods may be old: their watch has failed since it last said something.
    pods_fail: bool,
}

#[derive(Debug)]
struct Reported {
    report: Report,
    /// The UID of the pod that owns the report.
    pod: Option<String>,
}

#[derive(Debug)]
struct Renewed {
    mark: String,
    seen: Instant,
}

/// Follows the proxies of an installation until nobody listens any more.
pub async fn follow(
    client: Client,
    namespace: String,
    installation: Installation,
    proxies: watch::Sender<Arc<Proxies>>,
) {
    let labels = format!("{INSTANCE_LABEL}={installation},{PART_LABEL}={REPORT}");
    let config = watcher::Config::default().labels(&labels);
    let reports: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<PartialObjectMeta<Pod>> = Api::namespaced(client, &namespace);
    let mut reports = pin!(watching(reports, config.clone()));
    let mut leases = pin!(watching(leases, config));
    let mut pods = pin!(watching(pods, watcher::Config::default()));
    let mut seen = Seen::default();
    loop {
        let now = Instant::now();
        let alive = Arc::new(seen.proxies(now));
        proxies.send_if_modified(|known| {
            let changed = *known != alive;
            *known = alive;
            changed
        });
        tokio::select! {
            () = proxies.closed() => return,
            () = sleep_until(seen.next_expiry(now)) => {}
            Some(event) = reports.next() => match event {
                Ok(event) => seen.take_report(event),
                Err(error) => warn("reports", &error),
            },
            Some(event) = leases.next() => match event {
                Ok(event) => seen.take_lease(event, Instant::now()),
                Err(error) => warn("leases", &error),
            },
            Some(event) = pods.next() => match event {
                Ok(event) => seen.take_pod(event),
                Err(error) => {
                    seen.pods_fail = true;
                    warn("pods", &error);
                }
            },
        }
    }
}

fn warn(what: &str, error: &watcher::Error) {
    tracing::warn!(error = %crate::telemetry::chain(error), "watching {what} of proxies failed");
}

impl Seen {
    fn take_report(&mut self, event: Event<ConfigMap>) {
        match event {
            // A list that is made anew takes nobody away before it has ended.
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitDone => {
                self.reports = self.listed.take().unwrap_or_default();
            }
            Event::InitApply(object) => {
                let name = object.name_any();
                let listed = self.listed.get_or_insert_default();
                listed.extend(reported(object).map(|reported| (name, reported)));
            }
            Event::Apply(object) => {
                let name = object.name_any();
                match reported(object) {
                    Some(reported) => self.reports.insert(name, reported),
                    None => self.reports.remove(&name),
                };
            }
            Event::Delete(object) => {
                self.reports.remove(&object.name_any());
            }
        }
    }

    fn take_lease(&mut self, event: Event<Lease>, now: Instant) {
        match event {
            Event::Init | Event::InitDone => {}
            Event::InitApply(object) | Event::Apply(object) => {
                let name = object.name_any();
                let renewed = object.spec.and_then(|spec| spec.renew_time);
                let mark = renewed.map_or_else(String::new, |time| time.0.to_string());
                let known = self.leases.get(&name);
                if known.is_none_or(|known| known.mark != mark) {
                    self.leases.insert(name, Renewed { mark, seen: now });
                }
            }
            Event::Delete(object) => {
                self.leases.remove(&object.name_any());
            }
        }
    }

    fn take_pod(&mut self, event: Event<PartialObjectMeta<Pod>>) {
        self.pods_fail = matches!(event, Event::Init) && self.pods_fail;
        let going = |pod: &PartialObjectMeta<Pod>| pod.metadata.deletion_timestamp.is_some();
        match event {
            Event::Init => self.listing = Some(BTreeMap::new()),
            Event::InitApply(pod) => {
                let going = going(&pod);
                let listing = self.listing.get_or_insert_default();
                listing.extend(pod.uid().map(|uid| (uid, going)));
            }
            Event::InitDone => self.pods = self.listing.take(),
            Event::Apply(pod) => {
                let going = going(&pod);
                let pods = self.pods.get_or_insert_default();
                pods.extend(pod.uid().map(|uid| (uid, going)));
            }
            Event::Delete(pod) => {
                if let (Some(pods), Some(uid)) = (&mut self.pods, pod.uid()) {
                    pods.remove(&uid);
                }
            }
        }
    }

    fn proxies(&self, now: Instant) -> Proxies {
        let alive = self.reports.iter().filter(|(name, reported)| {
            let lease = self.leases.get(*name);
            lease.is_some_and(|lease| now < lease.seen + LEASE) && !self.is_going(reported)
        });
        let proxy = |reported: &Reported| {
            let report = &reported.report;
            let mut kinds = ProxyKind::ALL.into_iter();
            let proxy = kinds.find(|kind| kind.as_str() == report.proxy)?;
            let version = report.version.parse().ok()?;
            Some(Proxy {
                pod: report.pod.clone(),
                capabilities: Capabilities { proxy, version },
                revision: report.revision.clone(),
                refused: report.refused.clone(),
            })
        };
        let mut alive: Vec<Proxy> = alive.filter_map(|(_, reported)| proxy(reported)).collect();
        alive.sort_by(|a, b| a.pod.cmp(&b.pod));
        Proxies { alive }
    }

    /// A pod that is not known is gone: it was there before its agent could report. Where pods cannot be
    /// watched, or not any more, it may be a new one, and the Lease speaks for it.
    fn is_going(&self, reported: &Reported) -> bool {
        let (Some(pods), Some(uid)) = (&self.pods, &reported.pod) else {
            return false;
        };
        pods.get(uid).map_or(!self.pods_fail, |going| *going)
    }

    fn next_expiry(&self, now: Instant) -> Instant {
        let expiries = self.leases.values().map(|lease| lease.seen + LEASE);
        let next = expiries.filter(|moment| *moment > now).min();
        next.unwrap_or(now + LEASE)
    }
}

fn reported(object: ConfigMap) -> Option<Reported> {
    let mut owners = object.owner_references().iter();
    let pod = owners.find(|owner| owner.kind == "Pod");
    let pod = pod.map(|owner| owner.uid.clone());
    let name = object.name_any();
    match Report::read(&object.data.unwrap_or_default()) {
        Ok(report) => Some(Reported { report, pod }),
        Err(error) => {
            tracing::warn!(report = %name, %error, "a report cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference, Time};
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn report(name: &str, revision: &str) -> Event<ConfigMap> {
        let report = Report {
            pod: format!("pod-{name}"),
            proxy: "nginx".into(),
            version: "1.30.6".into(),
            revision: Some(revision.into()),
            refused: None,
        };
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object.metadata.owner_references = Some(vec![OwnerReference {
            kind: "Pod".into(),
            uid: format!("uid-{name}"),
            ..OwnerReference::default()
        }]);
        object.data = Some(report.write());
        Event::Apply(object)
    }

    fn lease(name: &str, second: i64) -> Event<Lease> {
        let mut object = Lease::default();
        object.metadata.name = Some(name.into());
        let moment = Timestamp::from_second(second).unwrap();
        object.spec = Some(LeaseSpec {
            renew_time: Some(MicroTime(moment)),
            ..LeaseSpec::default()
        });
        Event::Apply(object)
    }

    fn pod(name: &str, going: bool) -> PartialObjectMeta<Pod> {
        let mut object: PartialObjectMeta<Pod> = PartialObjectMeta::default();
        object.metadata.uid = Some(format!("uid-{name}"));
        object.metadata.deletion_timestamp = going.then_some(Time(Timestamp::UNIX_EPOCH));
        object
    }

    fn alive(seen: &Seen, now: Instant) -> Vec<String> {
        let alive = seen.proxies(now).alive.into_iter();
        alive.map(|proxy| proxy.pod).collect()
    }

    #[test]
    fn a_proxy_counts_while_its_lease_is_renewed_by_our_own_clock() {
        let start = Instant::now();
        let mut seen = Seen::default();
        seen.take_report(report("a", "r1"));
        assert!(alive(&seen, start).is_empty(), "nobody has seen a Lease");
        // However old it says that it is.
        seen.take_lease(lease("a", 0), start);
        assert_eq!(alive(&seen, start), ["pod-a"]);
        seen.take_lease(lease("a", 0), start + LEASE / 2);
        assert!(alive(&seen, start + LEASE).is_empty(), "it is not renewed");
        seen.take_lease(lease("a", 10), start + LEASE);
        assert_eq!(alive(&seen, start + LEASE), ["pod-a"]);
    }

    #[test]
    fn a_proxy_whose_pod_is_going_or_gone_does_not_count() {
        let now = Instant::now();
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.take_report(report(name, "r1"));
            seen.take_lease(lease(name, 1), now);
        }
        assert_eq!(alive(&seen, now).len(), 2, "pods cannot be seen");
        seen.take_pod(Event::Init);
        seen.take_pod(Event::InitApply(pod("a", false)));
        seen.take_pod(Event::InitDone);
        assert_eq!(alive(&seen, now), ["pod-a"]);
        seen.take_pod(Event::Apply(pod("b", false)));
        seen.take_pod(Event::Apply(pod("a", true)));
        assert_eq!(alive(&seen, now), ["pod-b"]);
        seen.take_pod(Event::Delete(pod("b", false)));
        assert!(alive(&seen, now).is_empty());
    }

    #[test]
    fn a_proxy_of_a_new_pod_counts_while_pods_cannot_be_watched_any_more() {
        let now = Instant::now();
        let mut seen = Seen::default();
        seen.take_pod(Event::Init);
        seen.take_pod(Event::InitDone);
        seen.take_report(report("new", "r1"));
        seen.take_lease(lease("new", 1), now);
        assert!(alive(&seen, now).is_empty(), "its pod is gone");
        seen.pods_fail = true;
        assert_eq!(alive(&seen, now), ["pod-new"]);
        // Each try begins with a list that may fail again.
        seen.take_pod(Event::Init);
        assert_eq!(alive(&seen, now), ["pod-new"]);
        seen.take_pod(Event::InitDone);
        assert!(alive(&seen, now).is_empty(), "its pod is gone");
    }

    #[test]
    fn a_list_that_is_made_anew_takes_nobody_away_before_it_ends() {
        let now = Instant::now();
        let mut seen = Seen::default();
        for name in ["a", "b"] {
            seen.take_report(report(name, "r1"));
            seen.take_lease(lease(name, 1), now);
        }
        seen.take_report(Event::Init);
        let Event::Apply(listed) = report("a", "r2") else {
            unreachable!();
        };
        seen.take_report(Event::InitApply(listed));
        assert_eq!(alive(&seen, now), ["pod-a", "pod-b"]);
        seen.take_report(Event::InitDone);
        assert_eq!(alive(&seen, now), ["pod-a"]);
    }

    #[test]
    fn a_report_that_cannot_be_read_is_none() {
        let now = Instant::now();
        let mut seen = Seen::default();
        seen.take_lease(lease("a", 1), now);
        seen.take_report(report("a", "r1"));
        let mut broken = ConfigMap::default();
        broken.metadata.name = Some("a".into());
        seen.take_report(Event::Apply(broken));
        assert!(alive(&seen, now).is_empty());
    }
}
