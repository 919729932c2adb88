//! Versions that the API server has forgotten: it says 410, and the watch begins again with a list.

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;
use vigie::model::diagnostics::Kind;
use vigie::snapshot::Snapshot;
use vigie::source::cluster::{self, WatchState};

use super::line::Line;
use super::{first, given, until, until_state};
use crate::cluster::Account;

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: source}
rules:
- {apiGroups: [''], resources: [services, secrets], verbs: [list, watch, get]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- {apiGroups: [vigie.dev], resources: [routehealths], verbs: [list, watch]}
";

/// What a watch from an old version is answered with.
async fn code_of_watch(client: &Client, namespace: &str, version: &str) -> Option<u16> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let answers = services.watch(&WatchParams::default(), version).await;
    let mut answers = match answers {
        Ok(answers) => answers.boxed(),
        Err(kube::Error::Api(status)) => return Some(status.code),
        Err(error) => panic!("{error}"),
    };
    match answers.try_next().await.expect("an answer") {
        Some(WatchEvent::Error(status)) => Some(status.code),
        _ => None,
    }
}

#[test]
fn what_was_deleted_meanwhile_is_gone_when_the_api_server_has_forgotten_the_version() {
    given::own(async |given| {
        given.estate().await;
        let account = given.cluster.account("source", READER).await;
        let lists = |account: &Account| {
            let requests = given.cluster.requests_of(account);
            let of_services = requests.iter().filter(|asked| asked.resource == "services");
            of_services.filter(|asked| asked.verb == "list").count()
        };
        let config = account.config().await;
        let mut line = Line::to(&config).await;
        let mut cluster = cluster::watch(line.client(config), given.settings());
        let mut snapshots = first(&mut cluster).await;
        let listed = given.api::<Service>().list(&ListParams::default()).await;
        let version = listed.expect("Services").metadata.resource_version;
        let listed_before = lists(&account);

        line.cut().await;
        let failing = |state: &WatchState| matches!(state, WatchState::Failing(_));
        until_state(&mut cluster, Kind::Service, failing).await;
        given.delete::<Service>("api").await;
        given
            .create::<Service>(json!({
                "metadata": {"name": "new"}, "spec": {"ports": [{"port": 80}]},
            }))
            .await;
        let control_plane = given.cluster.control_plane();
        control_plane.stop_api_server().await;
        control_plane.compact().await;
        control_plane.start_api_server().await;
        let version = version.expect("a version");
        let code = code_of_watch(&given.client, &given.namespace, &version).await;
        assert_eq!(code, Some(410));

        line.mend().await;
        let (api, new) = (given.name("api"), given.name("new"));
        let replaced = |snapshot: &Snapshot| {
            !snapshot.services.contains_key(&api) && snapshot.services.contains_key(&new)
        };
        until(&mut snapshots, "one Service instead of another", replaced).await;
        until_state(&mut cluster, Kind::Service, |s| *s == WatchState::Synced).await;
        assert!(lists(&account) > listed_before, "no list: it was no 410");
    });
}
