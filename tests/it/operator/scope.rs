//! What is served, by what a controller is told and may see.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::installation::{Installation, shipped};
use super::{apply, ingress};
use crate::cluster::{Backend, Cluster, test};

/// Another namespace of the test, with a Service that leads to a backend.
pub async fn namespace(cluster: &Cluster, suffix: &str, backend: &Backend) -> String {
    let name = format!("{}-{suffix}", cluster.namespace);
    let mut made = Namespace::default();
    made.metadata.name = Some(name.clone());
    let all: Api<Namespace> = Api::all(cluster.client.clone());
    all.create(&PostParams::default(), &made)
        .await
        .expect("a namespace");
    let service = &backend.name;
    let address = backend.address.ip();
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {service}, namespace: {name}}}\n\
             spec: {{ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {service}-1, namespace: {name}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
             addressType: IPv4\nports: [{{name: http, port: 8080}}]\n\
             endpoints: [{{addresses: [{address}]}}]\n"
        ))
        .await;
    name
}

pub fn within(namespace: &str, mut manifest: Value) -> Value {
    manifest["metadata"]["namespace"] = json!(namespace);
    manifest
}

#[test]
fn in_named_namespaces_no_right_of_the_whole_cluster_is_needed() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let watched = namespace(&cluster, "watched", &shop).await;
        let roles = shipped("controller-roles-namespaced.yaml");
        assert!(!roles.contains("kind: ClusterRole"));
        let mut roles = roles.split("---\n");
        let (served, own) = (roles.next().expect("one"), roles.next().expect("two"));
        let served = served.replace(
            "{name: vigie-served}",
            &format!("{{name: vigie-served, namespace: {watched}}}"),
        );
        let account = cluster.account("controller", own).await;
        cluster.grant(&account, &served).await;
        let installation = Installation::with_account(&cluster, "vigie", account).await;
        let further = format!("--namespaces {watched}");
        let controller = installation.controller(&cluster, "one", &further);
        let proxy = installation.proxy(&cluster, "haproxy", "haproxy").await;
        let class = &installation.class;
        apply(&cluster, &ingress("here", class, "here.example", "shop")).await;
        apply(
            &cluster,
            &within(&watched, ingress("there", class, "there.example", "shop")),
        )
        .await;
        proxy.until_backend("there.example", "shop").await;
        proxy.until_status("http://here.example/", 404).await;
        controller.until_ready().await;
        // Classes lie in no namespace; they are asked for, and not needed.
        let asked = cluster.requests_of(&installation.account);
        let forbidden = asked.iter().filter(|asked| asked.is_forbidden());
        assert!(
            forbidden
                .clone()
                .all(|asked| asked.resource == "ingressclasses"),
            "{forbidden:?}"
        );
    });
}

#[test]
fn ingresses_without_a_class_and_those_of_a_class_that_is_taken_over_are_served_where_that_is_asked_for()
 {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let taken = format!("{}-nginx", cluster.namespace);
        cluster
            .apply(&format!(
                "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {taken}}}\n\
                 spec: {{controller: k8s.io/ingress-nginx}}\n"
            ))
            .await;
        let mut without = ingress("without", "", "without.example", "shop");
        without["spec"]
            .as_object_mut()
            .expect("a spec")
            .remove("ingressClassName");
        apply(&cluster, &without).await;
        apply(&cluster, &ingress("taken", &taken, "taken.example", "shop")).await;
        apply(
            &cluster,
            &ingress("other", "other", "other.example", "shop"),
        )
        .await;

        let installation = Installation::new(&cluster).await;
        let namespaces = format!("--namespaces {}", cluster.namespace);
        let mut controller = installation.controller(&cluster, "one", &namespaces);
        let proxy = installation.proxy(&cluster, "nginx", "nginx").await;
        apply(
            &cluster,
            &ingress("named", &installation.class, "named.example", "shop"),
        )
        .await;
        proxy.until_backend("named.example", "shop").await;
        for host in ["without", "taken", "other"] {
            proxy
                .until_status(&format!("http://{host}.example/"), 404)
                .await;
        }
        controller.process.terminate();
        controller.process.ended().await;
        let all =
            format!("{namespaces} --watch-ingress-without-class --take-over k8s.io/ingress-nginx");
        let _controller = installation.controller(&cluster, "two", &all);
        for host in ["without", "taken", "named"] {
            proxy
                .until_backend(&format!("{host}.example"), "shop")
                .await;
        }
        proxy.until_status("http://other.example/", 404).await;
    });
}

#[test]
fn with_its_namespace_go_the_routes_of_a_tenant_and_no_others() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let tenant = namespace(&cluster, "tenant", &shop).await;
        let (installation, _controller, proxies) = super::served(&cluster, "shop").await;
        let host = "tenant.example";
        apply(
            &cluster,
            &within(
                &tenant,
                ingress("tenant", &installation.class, host, "shop"),
            ),
        )
        .await;
        super::until_both(&proxies, host, "shop").await;
        let loads = super::load(&proxies);
        let all: Api<Namespace> = Api::all(cluster.client.clone());
        drop(
            all.delete(&tenant, &kube::api::DeleteParams::default())
                .await
                .expect("it is there"),
        );
        for proxy in &proxies {
            proxy.until_status(&format!("http://{host}/"), 404).await;
        }
        super::nothing_is_lost(loads).await;
    });
}
