//! What comes of watches that the API server does not allow.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use tokio::time::timeout;
use vigie::api::route_health::crd;
use vigie::model::diagnostics::Kind;
use vigie::source::cluster::{self, Settings, WatchState};

use super::{first, given, until_state};

#[test]
fn without_a_right_to_read_route_healths_the_rest_goes_on() {
    given::test(async |given| {
        given.estate().await;
        let api: Api<CustomResourceDefinition> = Api::all(given.client.clone());
        if api
            .get_opt("routehealths.vigie.dev")
            .await
            .expect("an answer")
            .is_none()
        {
            given.define_route_healths(&crd()).await;
        }
        let all = [
            "ingresses",
            "ingressclasses",
            "services",
            "endpointslices",
            "secrets",
        ];
        let client = given.user(&all, true).await;
        let mut cluster = cluster::watch(client, Settings::default());
        let snapshots = first(&mut cluster).await;
        assert!(
            snapshots
                .borrow()
                .ingresses
                .contains_key(&given.name("shop"))
        );
        until_state(&mut cluster, Kind::RouteHealth, |s| {
            *s == WatchState::Forbidden
        })
        .await;
        assert!(cluster.watches.borrow().complete());
    });
}

#[test]
fn rights_in_one_namespace_are_enough_for_that_one() {
    given::test(async |given| {
        given.estate().await;
        let all = [
            "ingresses",
            "services",
            "endpointslices",
            "secrets",
            "routehealths",
        ];
        let client = given.user(&all, false).await;
        let mut cluster = cluster::watch(client, given.settings());
        let snapshots = first(&mut cluster).await;
        let namespaces: Vec<String> = {
            let snapshot = snapshots.borrow();
            let names = snapshot.services.keys();
            names.map(|name| name.namespace.clone()).collect()
        };
        assert_eq!(namespaces, [&*given.namespace]);
        until_state(&mut cluster, Kind::IngressClass, |s| {
            *s == WatchState::Forbidden
        })
        .await;
    });
}

#[test]
fn nothing_is_handed_over_before_all_that_is_required_was_listed() {
    given::test(async |given| {
        given.estate().await;
        let most = ["ingresses", "endpointslices", "secrets"];
        let client = given.user(&most, false).await;
        let mut cluster = cluster::watch(client, given.settings());
        for kind in [Kind::Ingress, Kind::EndpointSlice, Kind::Secret] {
            until_state(&mut cluster, kind, |s| *s == WatchState::Synced).await;
        }
        until_state(&mut cluster, Kind::Service, |s| *s == WatchState::Forbidden).await;
        assert!(!cluster.watches.borrow().complete());
        let early = timeout(Duration::ZERO, cluster.snapshots()).await;
        assert!(early.is_err(), "Services are missing");

        given.grant(&["services"], false).await;
        let snapshots = first(&mut cluster).await;
        assert!(snapshots.borrow().services.contains_key(&given.name("api")));
    });
}
