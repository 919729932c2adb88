//! What the writer of status leaves in a real cluster, given builds of what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use vigie::api::route_health::{RouteHealth, RouteHealthStatus};
use vigie::operator::lease::{Guard, Term};
use vigie::operator::status::addresses::{Address, Publish, addresses};
use vigie::operator::status::{self, Fate, Inputs, Settings, StatusReport, Verb};
use vigie::operator::{Outcome, ProxyState};
use vigie::render::{Capabilities, ProxyKind};
use vigie::snapshot::{ObjectName, Snapshot};
use vigie::source::cluster as source;
use vigie::translate::{Options, translate};

use crate::cluster::{self, Cluster, until};

const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(3600);
const ADDRESS: &str = "10.77.0.80";

const SHOP: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: vigie
  rules:
  - host: shop.example.com
    http:
      paths: [{path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.77.1.2]}]
";

/// A writer beside a cluster: each snapshot is built, and one proxy runs every build.
struct Given<'c> {
    cluster: &'c Cluster,
    report: watch::Receiver<StatusReport>,
    leads: watch::Sender<bool>,
    /// How long it may lead.
    term: watch::Sender<Term>,
    addresses: watch::Sender<Option<Vec<Address>>>,
}

impl<'c> Given<'c> {
    async fn new(cluster: &'c Cluster, change: impl FnOnce(&mut Settings)) -> Self {
        cluster.define().await;
        cluster.apply(SHOP).await;
        Self::beside(cluster, change).await
    }

    async fn beside(cluster: &'c Cluster, change: impl FnOnce(&mut Settings)) -> Self {
        let namespaces = source::Namespaces::Only([cluster.namespace.clone()].into());
        let watched = source::Settings {
            namespaces,
            ..source::Settings::default()
        };
        let mut watching = source::watch(cluster.client.clone(), watched);
        let statuses = watching.statuses.clone();
        let (outcomes, outcomes_receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut snapshots = watching.snapshots().await.expect("snapshots");
            loop {
                let snapshot = snapshots.borrow_and_update().clone();
                if outcomes.send(Some(built(snapshot))).is_err()
                    || snapshots.changed().await.is_err()
                {
                    return;
                }
            }
        });
        let fixed = Some(vec![ADDRESS.parse().expect("an address")]);
        let (addresses, addresses_receiver) = watch::channel(fixed);
        let (leads, leads_receiver) = watch::channel(true);
        let (term, of_term) = watch::channel(Some(Instant::now() + LONG));
        let (report, report_receiver) = watch::channel(StatusReport::default());
        let mut settings = Settings {
            installation: cluster.namespace.clone(),
            ..Settings::default()
        };
        change(&mut settings);
        let inputs = Inputs {
            outcomes: outcomes_receiver,
            statuses,
            addresses: addresses_receiver,
            leads: leads_receiver,
            guard: Guard::new(of_term),
        };
        tokio::spawn(status::run(
            cluster.client.clone(),
            settings,
            inputs,
            report,
        ));
        Self {
            cluster,
            report: report_receiver,
            leads,
            term,
            addresses,
        }
    }

    fn healths(&self) -> Api<RouteHealth> {
        self.cluster.api()
    }

    /// Waits until a RouteHealth tells these words of its health.
    async fn told(&self, name: &str, what: &str, words: &'static str) -> RouteHealth {
        until(&self.healths(), name, what, is(words)).await
    }

    fn ingresses(&self) -> Api<Ingress> {
        self.cluster.api()
    }

    async fn merge(&self, patch: Value) {
        let all = self.ingresses();
        let by = PatchParams::default();
        let done = all.patch("shop", &by, &Patch::Merge(patch)).await;
        done.expect("it is taken");
    }

    /// Waits until so many writes of a verb are done.
    async fn until_written(&mut self, verb: Verb, count: u64) {
        self.until_counted(verb, Fate::Done, count).await;
    }

    async fn until_counted(&mut self, verb: Verb, fate: Fate, count: u64) {
        let enough = |report: &StatusReport| report.count(verb, fate) >= count;
        let found = timeout(PATIENCE, self.report.wait_for(enough)).await;
        let shown = found.is_ok();
        drop(found);
        assert!(shown, "{verb:?}: {:#?}", *self.report.borrow());
    }

    /// All versions of what may be written, once nothing waits.
    async fn versions(&self) -> BTreeMap<String, Option<String>> {
        let all = ListParams::default();
        let healths = self.healths().list(&all).await.expect("a list");
        let ingresses = self.ingresses().list(&all).await.expect("a list");
        let healths = healths
            .items
            .into_iter()
            .map(|h| (h.name_any(), h.resource_version()));
        let ingresses = ingresses.items.into_iter();
        healths
            .chain(ingresses.map(|i| (i.name_any(), i.resource_version())))
            .collect()
    }

    async fn shown(&self, addresses: &[&str]) {
        let is = |ingress: &Ingress| {
            let status = ingress.status.as_ref();
            let balancer = status.and_then(|status| status.load_balancer.as_ref());
            let shown = balancer
                .and_then(|b| b.ingress.as_deref())
                .unwrap_or_default();
            let shown: Vec<&str> = shown.iter().filter_map(|i| i.ip.as_deref()).collect();
            shown == addresses
        };
        until(&self.ingresses(), "shop", "shown so", is).await;
    }

    async fn gone(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self
            .healths()
            .get_opt(name)
            .await
            .expect("an answer")
            .is_some()
        {
            assert!(Instant::now() < deadline, "{name} is still there");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn built(snapshot: Arc<Snapshot>) -> Outcome {
    let options = Options::of_class("vigie", date(2026, 11, 24));
    let translation = translate(&snapshot, &options);
    let names = snapshot.ingresses.keys().cloned();
    let since: BTreeMap<ObjectName, u64> = names.map(|name| (name, 1)).collect();
    let proxy = ProxyState {
        name: "proxy-a".to_owned(),
        capabilities: Capabilities::assumed(ProxyKind::Nginx),
        build: Some(1),
        refusal: None,
    };
    Outcome {
        snapshot,
        model: Arc::new(translation.model),
        diagnostics: translation.diagnostics.into(),
        since: Arc::new(since),
        proxies: [proxy].into(),
    }
}

fn healthy(status: Option<&RouteHealthStatus>) -> String {
    let condition = status.and_then(|status| status.conditions.first());
    condition.map_or_else(String::new, |c| {
        format!("{} {:?} {}", c.type_, c.status, c.reason)
    })
}

fn is(words: &'static str) -> impl Fn(&RouteHealth) -> bool {
    move |health| healthy(health.status.as_ref()) == words
}

#[test]
fn an_ingress_gets_a_route_health_with_its_status_and_then_nothing_is_written() {
    cluster::test(async |cluster| {
        let mut given = Given::new(&cluster, |_| {}).await;
        let made = given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        given.shown(&[ADDRESS]).await;
        let status = made.status.expect("a status");
        assert_eq!(status.target_generation, Some(1));
        assert_eq!(status.conditions.len(), 7);
        assert_eq!(status.routes[0].backend, "api:80");
        let owners = made.metadata.owner_references.expect("an owner");
        let ingress = given.ingresses().get("shop").await.expect("it is there");
        assert_eq!(Some(&owners[0].uid), ingress.metadata.uid.as_ref());

        given.until_written(Verb::Addresses, 1).await;
        let before = given.versions().await;
        let report = given.report.borrow().clone();
        // A build, addresses and a turn of leadership wake the writer; there is nothing to write.
        given.cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: [{port: 1}]}}").await;
        given.addresses.send_modify(|_| {});
        given.leads.send_replace(false);
        given.leads.send_replace(true);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(given.versions().await, before);
        assert_eq!(given.report.borrow().writes, report.writes);
    });
}

#[test]
fn a_leader_whose_term_is_over_writes_no_status() {
    cluster::test(async |cluster| {
        let mut given = Given::new(&cluster, |_| {}).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        given.until_written(Verb::Addresses, 1).await;
        // It has slept, and does not know yet that it does not lead any more.
        given.term.send_replace(Some(Instant::now()));
        let before = given.versions().await;
        let elsewhere = json!({"spec": {"defaultBackend":
            {"service": {"name": "api", "port": {"number": 80}}}, "rules": null}});
        given.merge(elsewhere).await;
        given.until_counted(Verb::Status, Fate::TermOver, 1).await;
        let after = given.versions().await;
        assert_eq!(before.get("shop.auto"), after.get("shop.auto"));
        given.term.send_replace(Some(Instant::now() + LONG));
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        let current = |health: &RouteHealth| {
            let status = health.status.as_ref();
            status.is_some_and(|status| status.target_generation == Some(2))
        };
        until(&given.healths(), "shop.auto", "current", current).await;
    });
}

#[test]
fn the_health_follows_the_objects_and_events_tell_its_turns() {
    cluster::test(async |cluster| {
        let mut given = Given::new(&cluster, |_| {}).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        given
            .merge(
                json!({"spec": {"rules": [{"host": "shop.example.com", "http": {"paths": [
            {"path": "/api", "pathType": "Prefix",
                "backend": {"service": {"name": "pai", "port": {"number": 80}}}}]}}]}}),
            )
            .await;
        let broken = is("Healthy False ServiceNotFound");
        let health = until(&given.healths(), "shop.auto", "broken", broken).await;
        let status = health.status.expect("a status");
        assert_eq!(status.target_generation, Some(2));
        assert_eq!(status.routes[0].diagnoses[0].code, "RH201");
        given.until_written(Verb::Event, 1).await;
        let events: Api<Event> = given.cluster.api();
        let events = events.list(&ListParams::default()).await.expect("a list");
        let told: Vec<_> = events
            .items
            .iter()
            .map(|event| {
                let regarding = event.regarding.clone().unwrap_or_default();
                (regarding.kind, event.type_.clone(), event.reason.clone())
            })
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [(text("Ingress"), text("Warning"), text("ServiceNotFound"))]
        );

        // Nothing of what stood before is left.
        given.merge(json!({"spec": {"defaultBackend": {"service": {"name": "api", "port": {"number": 80}}},
            "rules": null}})).await;
        let health = given
            .told("shop.auto", "mended", "Healthy True Healthy")
            .await;
        let status = health.status.expect("a status");
        assert_eq!(status.routes.len(), 1);
        assert_eq!(status.routes[0].path_type, "DefaultBackend");
    });
}

#[test]
fn a_users_own_takes_the_place_of_the_generated_one_and_gives_it_back() {
    cluster::test(async |cluster| {
        let given = Given::new(&cluster, |_| {}).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        let own = "
apiVersion: vigie.dev/v1alpha1
kind: RouteHealth
metadata: {name: own}
spec: {targetRef: {name: shop}}
";
        given.cluster.apply(own).await;
        given.gone("shop.auto").await;
        given.told("own", "healthy", "Healthy True Healthy").await;
        let now = DeleteParams::default();
        given.healths().delete("own", &now).await.expect("it goes");
        given
            .told("shop.auto", "back", "Healthy True Healthy")
            .await;
    });
}

#[test]
fn a_generated_one_that_is_edited_becomes_its_users() {
    cluster::test(async |cluster| {
        let given = Given::new(&cluster, |_| {}).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        let edit = json!({"spec": {"ejection": {"mode": "Eject"}}});
        let (all, by) = (given.healths(), PatchParams::default());
        let edited = all.patch("shop.auto", &by, &Patch::Merge(edit)).await;
        edited.expect("it is taken");
        let released = |health: &RouteHealth| {
            health.labels().is_empty()
                && health.owner_references().is_empty()
                && health
                    .status
                    .as_ref()
                    .is_some_and(|s| s.observed_generation == Some(2))
        };
        until(&all, "shop.auto", "its user's", released).await;
        // It stays when the class moves away, and says why it tells nothing.
        given.move_away().await;
        given
            .told("shop.auto", "not ours", "Healthy False TargetNotOurs")
            .await;
    });
}

#[test]
fn what_we_wrote_goes_when_the_class_moves_away() {
    cluster::test(async |cluster| {
        let given = Given::new(&cluster, |_| {}).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        given.shown(&[ADDRESS]).await;
        given
            .addresses
            .send_replace(Some(vec!["10.77.0.81".parse().expect("an address")]));
        given.shown(&["10.77.0.81"]).await;
        given.move_away().await;
        given.gone("shop.auto").await;
        given.shown(&[]).await;
    });
}

#[test]
fn what_another_controller_wrote_stays_when_the_class_moves_away() {
    cluster::test(async |cluster| {
        let given = Given::new(&cluster, |_| {}).await;
        given.shown(&[ADDRESS]).await;
        given.move_away().await;
        given.shown(&[]).await;
        let other = json!({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}});
        let by = PatchParams {
            field_manager: Some("other".to_owned()),
            ..PatchParams::default()
        };
        let written = given
            .ingresses()
            .patch_status("shop", &by, &Patch::Merge(other))
            .await;
        written.expect("it is taken");
        given.cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: [{port: 1}]}}").await;
        sleep(Duration::from_millis(1000)).await;
        given.shown(&[ADDRESS]).await;
    });
}

/// Whatever the API server takes as an Ingress, it takes what we say of it.
#[test]
fn a_status_of_odd_routes_is_taken_too() {
    cluster::test(async |cluster| {
        let mut given = Given::new(&cluster, |_| {}).await;
        let api = json!({"service": {"name": "api", "port": {"name": "no-such-port"}}});
        let long = format!("/{}", "é".repeat(1500));
        let resource =
            json!({"resource": {"apiGroup": "k8s.example.com", "kind": "Bucket", "name": "x"}});
        let mut paths: Vec<Value> = (0..70)
            .map(|n| json!({"path": format!("/p{n}"), "pathType": "Prefix", "backend": api}))
            .collect();
        paths.push(json!({"path": long, "pathType": "Exact", "backend": api}));
        paths.push(json!({"path": "/a", "pathType": "Exact", "backend": resource}));
        paths.push(json!({"pathType": "ImplementationSpecific", "backend": api}));
        paths.push(json!({"path": "/twice", "pathType": "Prefix", "backend": api}));
        paths.push(json!({"path": "/twice", "pathType": "Prefix", "backend": resource}));
        let odd = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "odd"},
            "spec": {"ingressClassName": "vigie", "tls": [{"hosts": ["*.example.com"], "secretName": "none"}],
                "rules": [{"host": "*.example.com", "http": {"paths": paths}}, {"http": {"paths": paths}}]},
        });
        given.cluster.try_apply(&odd).await.expect("it is taken");
        let told =
            |health: &RouteHealth| health.status.as_ref().is_some_and(|s| s.routes.len() > 10);
        let health = until(&given.healths(), "odd.auto", "told", told).await;
        let status = health.status.expect("a status");
        let size = serde_json::to_string(&status).expect("it prints").len();
        assert!(size <= 128 * 1024 && status.routes_omitted > 70, "{size}");
        given.until_written(Verb::Event, 1).await;
        assert_eq!(given.report.borrow().last_error, None);
    });
}

#[test]
fn a_shadow_tells_of_health_and_shows_no_address() {
    cluster::test(async |cluster| {
        let given = Given::new(&cluster, |settings| settings.update_status = false).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
        sleep(Duration::from_millis(500)).await;
        given.shown(&[]).await;
        assert_eq!(given.report.borrow().count(Verb::Addresses, Fate::Done), 0);
    });
}

#[test]
fn who_does_not_lead_writes_nothing() {
    cluster::test(async |cluster| {
        cluster.define().await;
        let mut given = Given::beside(&cluster, |_| {}).await;
        given.leads.send_replace(false);
        given.cluster.apply(SHOP).await;
        sleep(Duration::from_millis(1000)).await;
        assert!(given.report.borrow().writes.is_empty());
        given.leads.send_replace(true);
        given.until_written(Verb::Create, 1).await;
        given
            .told("shop.auto", "healthy", "Healthy True Healthy")
            .await;
    });
}

#[test]
fn the_addresses_of_a_service_and_of_nodes_are_followed() {
    cluster::test(async |cluster| {
        let service = "
apiVersion: v1
kind: Service
metadata: {name: proxy}
spec: {type: LoadBalancer, ports: [{port: 80}]}
";
        cluster.apply(service).await;
        let name = ObjectName::new(&*cluster.namespace, "proxy");
        let mut shown = addresses(cluster.client.clone(), Publish::Service(name));
        assert_eq!(*shown.borrow(), None);
        let given = json!({"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
        let services: Api<Service> = cluster.api();
        let by = PatchParams::default();
        let patched = services
            .patch_status("proxy", &by, &Patch::Merge(given))
            .await;
        patched.expect("it is taken");
        let known = timeout(PATIENCE, shown.wait_for(Option::is_some)).await;
        let known = known.expect("it comes").expect("it lives").clone();
        assert_eq!(
            known,
            Some(vec!["1.2.3.4".parse::<Address>().expect("an address")])
        );

        let node = format!("node-{}", cluster.namespace);
        let mut shown = addresses(cluster.client.clone(), Publish::Nodes);
        let manifest = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
        cluster.try_apply(&manifest).await.expect("a node");
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        let ready = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": "",
                "lastHeartbeatTime": null, "lastTransitionTime": null}],
            "addresses": [{"type": "InternalIP", "address": "10.77.9.9"}],
        }});
        let patched = nodes.patch_status(&node, &by, &Patch::Merge(ready)).await;
        patched.expect("it is taken");
        let ours: Address = "10.77.9.9".parse().expect("an address");
        let has = |shown: &Option<Vec<Address>>| shown.iter().flatten().any(|a| *a == ours);
        drop(
            timeout(PATIENCE, shown.wait_for(has))
                .await
                .expect("it comes"),
        );
        nodes
            .delete(&node, &DeleteParams::default())
            .await
            .expect("it goes");
    });
}

impl Given<'_> {
    /// Gives the Ingress to another controller, whose class exists.
    async fn move_away(&self) {
        let class = format!("other-{}", self.cluster.namespace);
        let manifest = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": class}, "spec": {"controller": "example.com/other"},
        });
        let made = self.cluster.try_apply(&manifest).await;
        made.expect("a class");
        // Without its class an Ingress would be nobody's for a moment.
        sleep(Duration::from_millis(200)).await;
        self.merge(json!({"spec": {"ingressClassName": class}}))
            .await;
    }
}
