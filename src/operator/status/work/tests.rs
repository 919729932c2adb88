use jiff::civil::date;
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::{Value, json};

use super::*;
use crate::operator::ProxyState;
use crate::render::{Capabilities, ProxyKind};
use crate::snapshot::Snapshot;
use crate::translate::{Options, translate};

const NOW: i64 = 1_780_000_000;

struct Given {
    snapshot: Snapshot,
    statuses: Statuses,
    settings: Settings,
    addresses: Option<Vec<Address>>,
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("default", name)
}

impl Given {
    fn new() -> Self {
        let statuses = Statuses {
            route_healths_known: true,
            ..Statuses::default()
        };
        Self {
            snapshot: Snapshot::default(),
            statuses,
            settings: Settings::default(),
            addresses: None,
        }
    }

    /// With an Ingress `shop` of a class, as old as told.
    fn shop(class: &str, age: i64) -> Self {
        let mut given = Self::new();
        given.ingress(class, age, json!({}));
        given
    }

    fn ingress(&mut self, class: &str, age: i64, status: Value) {
        let created = Timestamp::from_second(NOW - age).expect("a moment");
        let manager = json!([{"manager": "vigie-vigie",
            "fieldsV1": {"f:status": {"f:loadBalancer": {}}}}]);
        let ingress: Ingress = serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "shop", "uid": "u1", "generation": 1,
                "creationTimestamp": created.to_string(),
                "managedFields": if status["mine"] == true { manager } else { json!([]) }},
            "spec": {"ingressClassName": class, "defaultBackend":
                {"service": {"name": "api", "port": {"number": 80}}}},
            "status": {"loadBalancer": {"ingress": status["ingress"]}},
        }))
        .expect("an Ingress");
        let seen = Arc::new(IngressSeen::of(&ingress));
        Arc::make_mut(&mut self.statuses.ingresses).insert(name("shop"), seen);
        self.snapshot.add_ingress(ingress);
    }

    fn class(&mut self, class: &str) {
        let class = json!({"metadata": {"name": class}, "spec": {"controller": "x.com/y"}});
        self.snapshot
            .add_class(serde_json::from_value(class).expect("a class"));
    }

    fn health(&mut self, of: &str, labels: Value, spec: Value) {
        let health: RouteHealth = serde_json::from_value(json!({
            "apiVersion": "vigie.dev/v1alpha1", "kind": "RouteHealth",
            "metadata": {"namespace": "default", "name": of, "labels": labels, "generation": 1,
                "uid": "u2", "resourceVersion": "7"},
            "spec": spec,
        }))
        .expect("a RouteHealth");
        Arc::make_mut(&mut self.statuses.route_healths).insert(name(of), Arc::new(health));
    }

    fn generated(&mut self, spec: Value) {
        let labels = json!({"vigie.dev/generated": "true", "vigie.dev/instance": "vigie"});
        self.health("shop.auto", labels, spec);
    }

    fn work(&self) -> Work {
        let options = Options::of_class("vigie", date(2026, 11, 24));
        let translation = translate(&self.snapshot, &options);
        let proxy = ProxyState {
            name: "a".to_owned(),
            capabilities: Capabilities::assumed(ProxyKind::Nginx),
            build: Some(1),
            refusal: None,
        };
        let outcome = Outcome {
            snapshot: Arc::new(self.snapshot.clone()),
            model: Arc::new(translation.model),
            diagnostics: translation.diagnostics.into(),
            since: Arc::new([(name("shop"), 1)].into()),
            proxies: [proxy].into(),
        };
        let view = View {
            outcome,
            statuses: Arc::new(self.statuses.clone()),
            addresses: self.addresses.clone(),
            now: Timestamp::from_second(NOW).expect("a moment"),
            trust_until: None,
        };
        work(&view, &self.settings)
    }

    /// Each job in a word and the object's name.
    fn told(&self) -> Vec<String> {
        let told = |job: &Job| {
            let (Target::RouteHealth(name) | Target::Ingress(name)) = &job.target;
            let verb = match &job.write {
                Write::Addresses(addresses) => format!("addresses {}", addresses.len()),
                other => super::super::write::verb(other).as_str().to_owned(),
            };
            format!("{verb} {}", name.name)
        };
        self.work().jobs.iter().map(told).collect()
    }
}

#[test]
fn an_ingress_of_ours_gets_a_route_health_of_its_own() {
    let given = Given::shop("vigie", 0);
    assert_eq!(given.told(), ["create shop.auto"]);
    let Write::Create(made) = &given.work().jobs[0].write else {
        panic!("it is made")
    };
    let owner = &made.metadata.owner_references.as_ref().expect("an owner")[0];
    assert_eq!(
        (&*owner.kind, &*owner.name, &*owner.uid),
        ("Ingress", "shop", "u1")
    );
    let labels = made.metadata.labels.as_ref().expect("labels");
    assert_eq!(labels["vigie.dev/instance"], "vigie");
}

#[test]
fn nothing_is_made_where_it_is_not_known_what_there_is() {
    let mut given = Given::shop("vigie", 0);
    given.statuses.route_healths_known = false;
    assert!(given.told().is_empty());
    let mut given = Given::shop("vigie", 0);
    given.settings.generate = false;
    assert!(given.told().is_empty());
    let mut given = Given::shop("vigie", 0);
    given.statuses.ingresses = Arc::default();
    assert!(given.told().is_empty());
}

#[test]
fn a_users_own_takes_the_place_of_the_generated_one() {
    let mut given = Given::shop("vigie", 0);
    given.generated(json!({"targetRef": {"name": "shop"}}));
    assert_eq!(given.told(), ["status shop.auto"]);
    let own = json!({"targetRef": {"name": "shop"}, "routes": [{"path": "/"}]});
    given.health("own", json!({}), own);
    assert_eq!(given.told(), ["delete shop.auto", "status own"]);
}

#[test]
fn an_edited_one_is_its_users_and_another_installations_is_let_alone() {
    let mut given = Given::shop("vigie", 0);
    given.generated(json!({"targetRef": {"name": "shop"}, "ejection": {"mode": "Eject"}}));
    assert_eq!(given.told(), ["release shop.auto"]);
    let theirs = json!({"vigie.dev/generated": "true", "vigie.dev/instance": "test"});
    given.health("shop.auto", theirs, json!({"targetRef": {"name": "shop"}}));
    assert!(given.told().is_empty());
}

#[test]
fn the_generated_one_goes_with_the_class_and_with_the_ingress() {
    let mut given = Given::shop("other", 100);
    given.class("other");
    given.generated(json!({"targetRef": {"name": "shop"}}));
    assert_eq!(given.told(), ["delete shop.auto"]);
    let mut given = Given::new();
    given.generated(json!({"targetRef": {"name": "shop"}}));
    assert_eq!(given.told(), ["delete shop.auto"]);
}

#[test]
fn what_no_controller_serves_is_told_so_after_a_while() {
    let young = Given::shop("nowhere", 10);
    assert!(young.told().is_empty() && young.work().again);
    let mut old = Given::shop("nowhere", 60);
    assert_eq!(old.told(), ["create shop.auto"]);
    old.ingress("nowhere", 60, json!({"ingress": [{"ip": "1.2.3.4"}]}));
    assert!(old.told().is_empty(), "somebody serves it");
    let mut silent = Given::shop("nowhere", 60);
    silent.settings.diagnose_unclaimed = false;
    assert!(silent.told().is_empty());
}

#[test]
fn addresses_are_shown_and_only_our_own_taken_back() {
    let mut given = Given::shop("vigie", 0);
    given.settings.generate = false;
    assert!(given.told().is_empty(), "none are known");
    given.addresses = Some(vec!["10.0.0.1".parse().expect("an address")]);
    assert_eq!(given.told(), ["addresses 1 shop"]);
    given.ingress("vigie", 0, json!({"ingress": [{"ip": "10.0.0.1"}]}));
    assert!(given.told().is_empty());
    given.class("other");
    given.ingress(
        "other",
        0,
        json!({"ingress": [{"ip": "10.0.0.1"}], "mine": true}),
    );
    assert_eq!(given.told(), ["addresses 0 shop"]);
    given.ingress("other", 0, json!({"ingress": [{"ip": "10.0.0.1"}]}));
    assert!(given.told().is_empty(), "it is not ours");
    given.settings.update_status = false;
    given.ingress("vigie", 0, json!({}));
    assert!(given.told().is_empty(), "a shadow shows nothing");
}

#[test]
fn a_new_generation_goes_before_a_flip_and_a_flip_before_figures() {
    let mut given = Given::shop("vigie", 0);
    given.generated(json!({"targetRef": {"name": "shop"}}));
    let job = given.work().jobs.remove(0);
    let Write::Status { wanted, .. } = job.write else {
        panic!("a status")
    };
    assert_eq!(job.rank, Rank::NewGeneration);
    assert!(job.turn.is_some(), "its Service is missing");
    let ranked = |change: fn(&mut RouteHealthStatus)| {
        let mut standing = wanted.clone();
        change(&mut standing);
        rank(Some(&*standing), &wanted)
    };
    assert_eq!(
        ranked(|s| s.target_generation = Some(9)),
        Rank::NewGeneration
    );
    assert_eq!(
        ranked(|s| s.conditions[0].reason = "Healthy".into()),
        Rank::Flip
    );
    assert_eq!(ranked(|s| s.routes.clear()), Rank::Flip);
    assert_eq!(
        ranked(|s| s.conditions[0].message = "other".into()),
        Rank::Count
    );
    let all = Arc::make_mut(&mut given.statuses.route_healths);
    let health = all.get_mut(&name("shop.auto")).expect("it is there");
    Arc::make_mut(health).status = Some(*wanted);
    assert!(given.told().is_empty(), "a steady cluster writes nothing");
}
