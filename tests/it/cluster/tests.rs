//! The cluster itself, tested: what the tests of our programs stand on.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod as Object};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Account, Asked, Backend, Cluster, GLANCE, PATIENCE, Pod, Process, ask, network, refusal, test,
    until, until_answer, until_backend, vigie,
};
use crate::support::echo::{Echo, Identity};

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules:
- {apiGroups: [''], resources: [configmaps], verbs: [list, get]}
";

const SERVED: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {vigie.dev/ssl-redirect: 'false'}}
spec:
  ingressClassName: vigie
  tls: [{hosts: [shop.example]}]
  defaultBackend: {service: {name: shop, port: {number: 80}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [ADDRESS]}]
";

const MORE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer}
rules:
- {apiGroups: [''], resources: [configmaps], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: lists-namespaces}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [list]}
";

/// A server in a pod, on the ports that every pod may have.
fn serve(pod: &Pod) -> Echo {
    let listens = ["0.0.0.0:8080", "0.0.0.0:8443=https"].map(|text| text.parse().expect("a port"));
    let identity = Identity::self_signed().expect("a certificate");
    pod.inside(async || Echo::start(&pod.name, &listens, &identity).expect("its ports are free"))
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

async fn try_list(client: &Client, namespace: &str) -> Result<usize, u16> {
    let all: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let listed = all.list(&ListParams::default()).await;
    listed
        .map(|list| list.items.len())
        .map_err(|error| refusal(error).code)
}

fn address(backend: &Backend) -> String {
    backend.address.ip().to_string()
}

async fn until_asked(cluster: &Cluster, account: &Account, wanted: &[Asked]) {
    let deadline = Instant::now() + PATIENCE;
    while cluster.requests_of(account) != wanted {
        let seen = cluster.requests_of(account);
        assert!(Instant::now() < deadline, "{seen:#?}");
        sleep(GLANCE).await;
    }
}

#[test]
fn pods_reach_backends_the_api_server_and_each_other() {
    test(async |cluster| {
        let blue = cluster.backend("blue", &[]).await;
        let one = Pod::start(&cluster, "one", &[]).await;
        let two = Pod::start(&cluster, "two", &[]).await;
        let (_one, _two) = (serve(&one), serve(&two));
        let from_one = async |address: IpAddr, url: &str| {
            let answer = ask(address, url).await.expect("it answers");
            answer.report().expect("a backend answers")
        };
        let (to_blue, to_two) = one.inside(async || {
            let to_blue = from_one(blue.address.ip(), "http://a.example/").await;
            (
                to_blue,
                from_one(two.address.into(), "https://b.example/x").await,
            )
        });
        assert_eq!(to_blue.backend, "blue");
        assert_eq!(to_two.backend, "two");
        assert_eq!(to_two.sni.as_deref(), Some("b.example"));
        until_backend(one.address.into(), "http://c.example/", "one").await;
        assert_eq!(blue.seen().len(), 1);

        let config = cluster.control_plane().config().await;
        let listed = two.inside(async || {
            let client = Client::try_from(config).expect("a client");
            try_list(&client, &cluster.namespace).await
        });
        assert!(listed.is_ok(), "{listed:?}");
    });
}

#[test]
fn a_line_that_is_cut_carries_nothing_until_it_is_mended() {
    test(async |cluster| {
        let pod = Pod::start(&cluster, "one", &[]).await;
        let _served = serve(&pod);
        let address = pod.address.into();
        until_backend(address, "http://a.example/", "one").await;
        pod.cut();
        let answer = ask(address, "http://a.example/").await;
        assert!(answer.is_err(), "{answer:?}");
        pod.mend();
        let good = |answer: &crate::support::client::Response| answer.status == 200;
        until_answer(address, "http://a.example/", "a report", good).await;
    });
}

/// Each agent of ours has all ports of its pod, and so has each proxy.
#[test]
fn proxies_in_pods_listen_on_the_same_ports_and_end_with_their_pods() {
    test(async |cluster| {
        let blue = cluster.backend("blue", &[]).await;
        let manifests = SERVED.replace("ADDRESS", &address(&blue));
        let mut pods = Vec::new();
        for proxy in ["nginx", "haproxy"] {
            let pod = Pod::start(&cluster, proxy, &[]).await;
            std::fs::write(pod.directory().join("all.yaml"), &manifests)
                .expect("it can be written");
            let line = format!("run all.yaml --proxy {proxy} --http :8080 --https :8443");
            let process = pod.spawn(vigie(&line));
            pods.push((pod, process));
        }
        for (pod, _) in &pods {
            until_backend(pod.address.into(), "http://shop.example/", "blue").await;
            until_backend(pod.address.into(), "https://shop.example/", "blue").await;
        }
        for (pod, process) in &mut pods {
            let all = pod.processes();
            assert!(all.len() >= 2, "{all:?}");
            pod.end_all();
            assert_eq!(pod.processes(), [0; 0]);
            assert_eq!(process.ended().await.code(), None);
        }
    });
}

#[test]
fn a_process_tells_its_lines_and_takes_signals() {
    test(async |cluster| {
        let pod = Pod::start(&cluster, "one", &[]).await;
        let mut polite = pod.spawn(sh(
            "trap 'echo asked; exit 3' TERM; trap 'echo again' USR1; pwd; echo aside >&2; \
             while :; do sleep 0.1 & wait $!; done",
        ));
        polite
            .line("what it says aside", |line| line == "aside")
            .await;
        let place = pod.directory().to_str().expect("a path").to_owned();
        polite.line("its directory", |line| line == place).await;
        let count = polite.said().len();
        polite.signal(Signal::SIGUSR1);
        polite
            .line_after(count, "again", |line| line == "again")
            .await;
        polite.terminate();
        let (status, lines) = polite.output().await;
        assert_eq!(status.code(), Some(3), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("asked"));
        assert_eq!(polite.pid(), None);

        let mut stubborn =
            Process::start(sh("trap '' TERM; echo up; while :; do sleep 0.01; done"));
        stubborn.line("that it is up", |line| line == "up").await;
        stubborn.kill();
        assert_eq!(stubborn.ended().await.code(), None);

        let (status, lines) = pod.spawn(vigie("--version")).output().await;
        assert!(
            status.success() && lines[0].starts_with("vigie "),
            "{lines:?}"
        );
    });
}

#[test]
fn nothing_of_a_pod_is_left_even_where_its_test_panics() {
    test(async |cluster| {
        let pod = Pod::start(&cluster, "one", &[]).await;
        let mut process = pod.spawn(sh("setsid sleep 1000 & echo up; wait"));
        process.line("that it is up", |line| line == "up").await;
        let pids = pod.processes();
        assert!(pids.len() >= 2, "{pids:?}");
        let shown = format!("link show {}", pod.link);
        network::ip(&shown).expect("its link is there");

        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _ended_by_the_panic = pod;
            resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert!(!process.ended().await.success());
        let left = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok();
        assert_eq!(pids.into_iter().filter(left).collect::<Vec<_>>(), [0; 0]);
        let gone = network::ip(&shown);
        assert!(gone.is_err(), "its link is left");
    });
}

#[test]
fn an_account_may_do_what_its_roles_say_and_the_api_server_tells_what_it_asked_for() {
    test(async |cluster| {
        let account = cluster.account("reader", READER).await;
        let client = account.client().await;
        let own = cluster.namespace.as_str();
        assert!(try_list(&client, own).await.is_ok());
        assert_eq!(try_list(&client, "default").await, Err(403));
        assert_eq!(client.default_namespace(), own);

        let asked = |namespace: &str, code| Asked {
            verb: "list".to_owned(),
            resource: "configmaps".to_owned(),
            namespace: namespace.to_owned(),
            name: String::new(),
            code,
        };
        let wanted = [asked(own, 200), asked("default", 403)];
        until_asked(&cluster, &account, &wanted).await;
        let forbidden = cluster.requests_of(&account);
        let forbidden = forbidden.iter().filter(|asked| asked.is_forbidden());
        assert_eq!(forbidden.count(), 1);

        cluster.grant(&account, MORE).await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let listed = namespaces.list(&ListParams::default()).await;
        listed.expect("it may");
        let map: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": "new"}})).expect("a map");
        let all: Api<ConfigMap> = Api::default_namespaced(client);
        all.create(&kube::api::PostParams::default(), &map)
            .await
            .expect("it may");
    });
}

#[test]
fn pods_that_are_ready_become_endpoints() {
    test(async |cluster| {
        let web = [("app", "web")];
        cluster.service("web", &web).await;
        let one = cluster.backend("one", &web).await;
        let two = cluster.backend("two", &web).await;
        cluster.until_sliced("web", &[&one, &two]).await;
        one.set_ready(false).await;
        cluster.until_sliced("web", &[&two]).await;
        one.set_ready(true).await;
        cluster.until_sliced("web", &[&one, &two]).await;

        two.drain().await;
        cluster.until_sliced("web", &[&one]).await;
        assert_eq!(terminating(&cluster, "web").await, [address(&two)]);
        one.delete().await;
        cluster.until_sliced("web", &[]).await;

        cluster.service_of("by-hand", &[&one, &two]).await;
        cluster.until_sliced("by-hand", &[&one, &two]).await;
    });
}

#[test]
fn a_pod_has_an_object_that_a_kubelet_could_have_written() {
    test(async |cluster| {
        let pod = Pod::start(&cluster, "proxy-1", &[("app", "proxy")]).await;
        let objects: Api<Object> = cluster.api();
        let read = objects.get("proxy-1").await.expect("it is there");
        assert_eq!(read.metadata.uid.as_deref(), Some(&*pod.uid));
        let address = pod.address.to_string();
        let status = read.status.expect("a status");
        assert_eq!(status.pod_ip.as_deref(), Some(&*address));
        pod.set_ready(false).await;
        let unready = |pod: &Object| {
            let conditions = pod.status.iter().flat_map(|status| &status.conditions);
            let mut conditions = conditions.flatten();
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "False")
        };
        until(&objects, "proxy-1", "unready", unready).await;
        pod.delete().await;
        assert!(
            objects
                .get_opt("proxy-1")
                .await
                .expect("an answer")
                .is_none()
        );
    });
}

async fn terminating(cluster: &Cluster, service: &str) -> Vec<String> {
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices: Api<EndpointSlice> = cluster.api();
    let listed = slices.list(&of_service).await.expect("slices");
    let endpoints = listed.items.into_iter().flat_map(|slice| slice.endpoints);
    let ending = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.is_some_and(|conditions| conditions.terminating == Some(true))
    });
    ending.flat_map(|endpoint| endpoint.addresses).collect()
}
