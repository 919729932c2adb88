//! Each test gives some objects, and reads the status of one RouteHealth.

mod holding;
mod proxies;

use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::api::route_health::Condition;
use crate::diagnose::diagnose;
use crate::snapshot::{Evidence, ObjectName, Snapshot};
use crate::translate::{Options, Translation, tallies, translate};

pub const NOW: i64 = 1_780_000_000;

/// A namespace with a Service `api` on port 80, which has endpoints by default.
pub struct Given {
    pub snapshot: Snapshot,
    pub proxies: Vec<(&'static str, Option<u64>, Option<&'static str>)>,
    pub since: Option<u64>,
    pub now: i64,
    pub trusts: bool,
}

/// One Ingress with one rule for each path, whose backends are the Service of the path's name.
pub fn ingress(name: &str, paths: &[&str]) -> Value {
    let path = |path: &&str| {
        json!({"path": path, "pathType": "Prefix",
            "backend": {"service": {"name": path.trim_start_matches('/'), "port": {"number": 80}}}})
    };
    json!({
        "metadata": {"namespace": "default", "name": name, "generation": 3, "uid": "u1"},
        "spec": {"ingressClassName": "vigie", "rules": [{
            "host": format!("{name}.example.com"),
            "http": {"paths": paths.iter().map(path).collect::<Vec<_>>()},
        }]},
    })
}

pub fn slice(service: &str, endpoints: Value) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": service,
            "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
    })
}

pub fn health(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
        "metadata": {"namespace": "default", "name": name, "generation": 7},
        "spec": spec,
    })
}

impl Given {
    pub fn new() -> Self {
        let mut given = Self {
            snapshot: Snapshot::default(),
            proxies: vec![("a", Some(5), None), ("b", Some(6), None)],
            since: Some(4),
            now: NOW,
            trusts: false,
        };
        given.service("api");
        let ready = json!([{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]);
        given.slice("api", ready);
        given
    }

    /// An Ingress `shop` with these paths, and a RouteHealth `own` about it.
    pub fn shop(paths: &[&str]) -> Self {
        let mut given = Self::new();
        given.ingress(ingress("shop", paths));
        given.health(health("own", json!({"targetRef": {"name": "shop"}})));
        given
    }

    pub fn ingress(&mut self, ingress: Value) {
        let ingress = serde_json::from_value(ingress).expect("an Ingress");
        self.snapshot.add_ingress(ingress);
    }

    pub fn health(&mut self, health: Value) {
        let health = serde_json::from_value(health).expect("a RouteHealth");
        self.snapshot
            .add(crate::snapshot::Object::RouteHealth(Arc::new(health)));
    }

    pub fn service(&mut self, name: &str) {
        let service = json!({"metadata": {"namespace": "default", "name": name},
            "spec": {"selector": {"app": "api"}, "ports": [{"port": 80}]}});
        self.snapshot
            .add_service(serde_json::from_value(service).expect("a Service"));
    }

    pub fn slice(&mut self, service: &str, endpoints: Value) {
        let slice = serde_json::from_value(slice(service, endpoints)).expect("a slice");
        self.snapshot.add_slice(slice);
    }

    fn translation(&self) -> Translation {
        let options = Options::of_class("vigie", date(2026, 11, 24));
        translate(&self.snapshot, &options)
    }

    pub fn all(&self) -> BTreeMap<String, RouteHealthStatus> {
        let translation = self.translation();
        let subject = |(name, ingress): (&ObjectName, &'_ Arc<Ingress>)| {
            let name = ingress_ref(&name.namespace, &name.name);
            (name, ingress.clone())
        };
        let ingresses: Vec<(ObjectRef, Arc<Ingress>)> =
            self.snapshot.ingresses.iter().map(subject).collect();
        let now = Timestamp::from_second(self.now).expect("a moment");
        let proxies = self.proxies.iter();
        let proxies = proxies.map(|&(name, build, refusal)| Proxy {
            name,
            build,
            refusal,
        });
        let subjects = ingresses.iter().map(|(name, ingress)| {
            let since = self.since;
            (name.clone(), Subject { ingress, since })
        });
        let tallies = tallies(&self.snapshot, &translation.model);
        let seen = Seen {
            model: &translation.model,
            diagnostics: &translation.diagnostics,
            ingresses: subjects.collect(),
            behind: diagnose(&self.snapshot, &translation.model, &tallies),
            sees_pods: self.snapshot.evidence != Evidence::Hidden,
            tallies,
            proxies: proxies.collect(),
            now,
            trust_until: self
                .trusts
                .then(|| now + jiff::SignedDuration::from_secs(1)),
        };
        let healths = self.snapshot.route_healths.iter();
        let healths = healths.map(|(name, health)| {
            let name = ObjectRef::new(Kind::RouteHealth, &name.namespace, &name.name);
            (name, health.as_ref())
        });
        let told = statuses(&seen, &healths.collect());
        told.into_iter()
            .map(|(name, status)| (name.name.to_string(), status))
            .collect()
    }

    pub fn own(&self) -> RouteHealthStatus {
        self.all().remove("own").expect("it has a status")
    }

    /// The status that is told now is the one that stands.
    pub fn stand(&mut self) {
        let told = self.own();
        self.change("own", |health| health.status = Some(told));
    }

    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut RouteHealth)) {
        let all = Arc::make_mut(&mut self.snapshot.route_healths);
        let health = all.get_mut(&ObjectName::new("default", name));
        change(Arc::make_mut(health.expect("it is there")));
    }
}

/// `status reason: message` of one condition.
pub fn told(conditions: &[Condition], kind: ConditionType) -> String {
    let found = conditions.iter().find(|c| c.type_ == kind.as_str());
    let c = found.unwrap_or_else(|| panic!("no {kind:?}"));
    format!("{:?} {}: {}", c.status, c.reason, c.message)
}

use std::sync::Arc;

use ConditionType::{
    Accepted, EndpointsReady, Healthy, PrefixServed, ProbePassing, Programmed, ResolvedRefs,
};

#[test]
fn all_is_well_and_says_so_stage_by_stage() {
    let status = Given::shop(&["/api"]).own();
    let lines: Vec<String> = status
        .conditions
        .iter()
        .map(|c| format!("{} {:?} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    assert_eq!(
        lines,
        [
            "Healthy True Healthy: ",
            "Accepted True Accepted: 1 route of Ingress shop.",
            "ResolvedRefs True ResolvedRefs: 1 Service port.",
            "Programmed True Programmed: All proxies run this route.",
            "EndpointsReady True EndpointsReady: 2 of 2 endpoints are ready.",
            "ProbePassing Unknown ProbeDisabled: Probing is not part of this version.",
            "PrefixServed Unknown PrefixCheckDisabled: Whether applications answer below their public \
             paths is not checked in this version.",
        ]
    );
    assert_eq!(status.target, "ingress/shop");
    assert_eq!(status.target_generation, Some(3));
    assert_eq!(status.observed_generation, Some(7));
    let summary = status.summary.expect("a summary");
    assert_eq!(
        (&*summary.routes, &*summary.endpoints, &*summary.proxies),
        ("1/1", "2/2", "")
    );
}

#[test]
fn a_row_tells_only_what_is_not_true() {
    let status = Given::shop(&["/api"]).own();
    let [row] = status.routes.as_slice() else {
        panic!("{:#?}", status.routes)
    };
    assert_eq!(row.conditions.len(), 1);
    assert_eq!(told(&row.conditions, Healthy), "True Healthy: ");
    assert_eq!(
        (
            &*row.ingress,
            &*row.host,
            &*row.path,
            &*row.path_type,
            &*row.backend
        ),
        ("shop", "shop.example.com", "/api", "Prefix", "api:80")
    );
    assert_eq!(row.endpoints.as_ref().map(|e| e.ready), Some(2));
}

#[test]
fn a_missing_service_breaks_its_route_and_not_the_other() {
    let status = Given::shop(&["/api", "/pai"]).own();
    let healthy = told(&status.conditions, Healthy);
    let start =
        "False ServiceNotFound: shop.example.com/pai: Service default/\"pai\" does not exist.";
    assert!(healthy.starts_with(start), "{healthy}");
    assert!(told(&status.conditions, Accepted).starts_with("True"));
    let refs = told(&status.conditions, ResolvedRefs);
    let start = "False ServiceNotFound: 1 of 2 routes, first shop.example.com/pai: Service";
    assert!(refs.starts_with(start), "{refs}");
    assert_eq!(status.summary.expect("a summary").routes, "1/2");
    let paths: Vec<&str> = status.routes.iter().map(|row| &*row.path).collect();
    assert_eq!(paths, ["/pai", "/api"], "broken ones stand first");
    let found = &status.routes[0].diagnoses[0];
    assert_eq!((&*found.code, &*found.reason), ("RH201", "ServiceNotFound"));
    assert_eq!(found.severity, crate::api::route_health::Severity::Error);
    assert!(!found.fix.is_empty());
    assert!(status.routes[1].diagnoses.is_empty());
    assert_eq!(status.routes[0].conditions.len(), 3);
}

#[test]
fn a_class_of_another_controller_and_one_that_is_not_there_are_told_apart() {
    let of = |class: &str, exists: bool| {
        let mut given = Given::shop(&[]);
        if exists {
            let class = json!({"metadata": {"name": class}, "spec": {"controller": "x.com/y"}});
            given
                .snapshot
                .add_class(serde_json::from_value(class).expect("a class"));
        }
        let mut shop = ingress("shop", &["/api"]);
        shop["spec"]["ingressClassName"] = json!(class);
        given.ingress(shop);
        given.own()
    };
    let others = of("traefik", true);
    assert!(told(&others.conditions, Healthy).starts_with("False TargetNotOurs: "));
    assert!(told(&others.conditions, Programmed).starts_with("Unknown Pending: "));
    let missing = of("traefik", false);
    assert!(told(&missing.conditions, Accepted).starts_with("False IngressClassNotFound: "));
}

#[test]
fn an_ingress_without_any_route_says_what_is_wrong_with_it() {
    let mut given = Given::shop(&["/api"]);
    let mut bare = ingress("shop", &[]);
    bare["spec"]["rules"] = json!(null);
    given.ingress(bare);
    let status = given.own();
    assert!(told(&status.conditions, Healthy).starts_with("False Invalid: "));
    assert!(status.routes.is_empty());
    assert_eq!(status.summary.expect("a summary").routes, "0/0");
}

#[test]
fn endpoints_decide_by_their_conditions() {
    let ready = |endpoints: Value| {
        let mut given = Given::shop(&["/api"]);
        given.slice("api", endpoints);
        let status = given.own();
        let codes = status.routes[0].diagnoses.iter().map(|d| d.code.clone());
        (
            told(&status.conditions, EndpointsReady),
            codes.collect::<Vec<_>>(),
        )
    };
    let one = |conditions: Value| json!({"addresses": ["10.0.0.1"], "conditions": conditions});
    let (line, codes) = ready(json!([]));
    assert!(line.starts_with("False SelectorMatchesNoPods: "), "{line}");
    assert_eq!(codes, ["RH401"]);
    let (line, codes) = ready(json!([one(json!({"ready": false}))]));
    assert!(
        line.starts_with("False ReadinessProbeFailing: The only endpoint"),
        "{line}"
    );
    assert_eq!(codes, ["RH406"]);
    let leaving = json!({"ready": false, "serving": true, "terminating": true});
    let (line, codes) = ready(json!([one(leaving.clone())]));
    assert!(line.starts_with("False OnlyTerminating: "), "{line}");
    assert_eq!(codes, ["RH409"]);
    let (line, codes) = ready(json!([
        one(json!({"ready": true})),
        {"addresses": ["10.0.0.2"], "conditions": leaving},
    ]));
    assert_eq!(line, "True PartiallyReady: 1 of 2 endpoints are ready.");
    assert!(codes.is_empty());
}

#[test]
fn a_service_that_nobody_wrote_slices_for_keeps_its_own_reason() {
    let mut given = Given::shop(&["/raw"]);
    let raw = json!({"metadata": {"namespace": "default", "name": "raw"},
        "spec": {"ports": [{"port": 80}]}});
    given
        .snapshot
        .add_service(serde_json::from_value(raw).expect("a Service"));
    let line = told(&given.own().conditions, EndpointsReady);
    assert!(line.starts_with("False NoEndpointSlices: "), "{line}");
}

#[test]
fn an_external_name_is_routed_and_not_counted() {
    let mut given = Given::shop(&["/far"]);
    let far = json!({"metadata": {"namespace": "default", "name": "far"},
        "spec": {"type": "ExternalName", "externalName": "far.example.com", "ports": [{"port": 80}]}});
    given
        .snapshot
        .add_service(serde_json::from_value(far).expect("a Service"));
    let status = given.own();
    assert!(told(&status.conditions, ProbePassing).starts_with("Unknown ExternalNameNotProbed"));
    assert!(told(&status.conditions, Healthy).starts_with("True Healthy"));
}

#[test]
fn routes_at_the_root_have_no_prefix_to_be_served() {
    let mut given = Given::shop(&[]);
    let mut root = ingress("shop", &["/api"]);
    root["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/");
    given.ingress(root);
    let line = told(&given.own().conditions, PrefixServed);
    assert_eq!(line, "True NotApplicable: No route has a prefix.");
}

#[test]
fn a_guard_that_cannot_be_honoured_is_not_what_was_asked_for() {
    let mut given = Given::shop(&[]);
    let mut shop = ingress("shop", &["/api"]);
    shop["metadata"]["annotations"] =
        json!({"nginx.ingress.kubernetes.io/auth-url": "http://auth.example.com"});
    given.ingress(shop);
    let line = told(&given.own().conditions, Healthy);
    assert!(line.starts_with("False NotYetHonoured: "), "{line}");
}

#[test]
fn a_moment_moves_only_with_its_condition() {
    let mut given = Given::shop(&["/api"]);
    given.stand();
    let before = given.own();
    given.now += 100;
    assert_eq!(given.own(), before, "nothing ticks");
    given.slice("api", json!([]));
    let after = given.own();
    let moment = |status: &RouteHealthStatus, kind: ConditionType| {
        let mut all = status.conditions.iter();
        let found = all.find(|c| c.type_ == kind.as_str()).expect("a condition");
        found.last_transition_time.0.as_second()
    };
    assert_eq!(moment(&after, Accepted), NOW);
    assert_eq!(moment(&after, EndpointsReady), NOW + 100);
    assert_eq!(moment(&after, Healthy), NOW + 100);
}

#[test]
fn many_routes_are_told_broken_ones_first_and_no_more_than_fit() {
    let names: Vec<String> = (0..80).map(|n| format!("/{}", "x".repeat(n + 1))).collect();
    let paths: Vec<&str> = names.iter().map(String::as_str).chain(["/api"]).collect();
    let status = Given::shop(&paths).own();
    assert!(status.routes.len() <= 64);
    let left_out = i32::try_from(81 - status.routes.len()).expect("a number");
    assert_eq!(status.routes_omitted, left_out);
    let size = serde_json::to_string(&status).expect("it prints").len();
    assert!(size <= 128 * 1024, "{size}");
    let all_broken = status.routes.iter().all(|row| row.path != "/api");
    assert!(all_broken);
}

#[test]
fn texts_are_cut_so_that_two_that_differ_stay_different() {
    let long = |end: &str| words::cut(&format!("{}{end}", "é".repeat(600)), 512);
    assert_eq!(long("a").chars().count(), 512);
    assert_ne!(long("a"), long("b"));
    assert_eq!(words::cut("short", 512), "short");
}

#[test]
fn what_could_not_be_looked_at_is_said() {
    let mut given = Given::new();
    given.service("api");
    given.slice(
        "api",
        json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}]),
    );
    given.ingress(ingress("shop", &["/api"]));
    given.health(health("shop.auto", json!({"targetRef": {"name": "shop"}})));
    given.snapshot.evidence = Evidence::Hidden;
    let status = &given.all()["shop.auto"];
    let told = &status.routes[0].diagnoses[0];
    assert_eq!(told.code, "RH406");
    assert!(
        told.message
            .ends_with("Pods cannot be looked at, so no more is known.")
    );
    assert!(
        told.fix
            .ends_with("deployments, statefulsets and daemonsets.")
    );
    given.snapshot.evidence = Evidence::Cluster;
    let status = &given.all()["shop.auto"];
    assert!(
        !status.routes[0].diagnoses[0]
            .message
            .contains("cannot be looked at")
    );
}
