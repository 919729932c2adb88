//! The owner of the proxy in a container of its own, without any right in the cluster.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use nix::sys::signal::Signal;

use super::installation::{Apart, Controller, Installation, until, until_page};
use super::{HOST, apply, ingress, load_on, nothing_is_lost};
use crate::cluster::{Cluster, Pod, Process, test, until_backend};
use crate::support::client::Response;

async fn until_all(pods: &[Apart], host: &str, backend: &str) {
    for apart in pods {
        let url = format!("http://{host}/");
        until_backend(apart.pod.address.into(), &url, backend).await;
    }
}

/// An installation whose proxies are apart from their agents, and serve one host by one backend.
async fn served(cluster: &Cluster) -> (Installation, Controller, Vec<Apart>) {
    let installation = Installation::new(cluster).await;
    let controller = installation.controller(cluster, "one", "");
    let mut pods = Vec::new();
    for kind in ["nginx", "haproxy"] {
        pods.push(installation.apart(cluster, kind).await);
    }
    apply(cluster, &ingress("shop", &installation.class, HOST, "shop")).await;
    until_all(&pods, HOST, "shop").await;
    (installation, controller, pods)
}

fn is_ready(answer: &Response) -> bool {
    answer.status == 200
}

#[test]
fn a_proxy_apart_from_its_agent_is_served_reported_and_goes_on_without_it() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        let more = cluster.backend("more", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        cluster.service_of("more", &[&more]).await;
        let (installation, controller, mut pods) = served(&cluster).await;
        let current = "vigie_proxies_current";
        controller
            .until_metric(current, "2", |count| count == 2.0)
            .await;

        // Whatever is of the agent goes: the proxies serve on, and what changes comes when it is back.
        let loads = pods.iter().map(|apart| load_on(&apart.pod)).collect();
        for apart in &mut pods {
            apart.agent.kill();
            apart.agent.ended().await;
        }
        apply(
            &cluster,
            &ingress("more", &installation.class, "more.example", "more"),
        )
        .await;
        for apart in &mut pods {
            apart.agent_again();
        }
        until_all(&pods, "more.example", "more").await;
        controller
            .until_metric(current, "2", |count| count == 2.0)
            .await;
        nothing_is_lost(loads).await;

        // The owner of the proxy ends, and comes up with what it had while there is no agent.
        for apart in &mut pods {
            let copy = apart.pod.directory().join("last-good.json");
            until("a copy is kept", async || copy.is_file()).await;
            apart.agent.kill();
            apart.agent.ended().await;
            apart.proxy.kill();
            apart.proxy.ended().await;
            apart.proxy_again();
        }
        until_all(&pods, HOST, "shop").await;
        for apart in &mut pods {
            apart.agent_again();
            apart
                .until_page("/readyz", "handed over", |answer| {
                    is_ready(answer) && answer.text().contains("done follow")
                })
                .await;
        }
        controller
            .until_metric(current, "2", |count| count == 2.0)
            .await;
    });
}

#[test]
fn a_proxy_that_is_to_end_is_not_ready_first_and_loses_no_request() {
    test(async |cluster| {
        let shop = cluster.backend("shop", &[]).await;
        cluster.service_of("shop", &[&shop]).await;
        let (_installation, _controller, mut pods) = served(&cluster).await;
        for apart in &mut pods {
            let load = vec![load_on(&apart.pod)];
            apart.until_page("/readyz", "ready", is_ready).await;
            apart.proxy.signal(Signal::SIGTERM);
            // Whoever sends requests hears of it, and sends no more while they are still answered.
            apart
                .until_page("/readyz", "not ready", |answer| answer.status == 503)
                .await;
            nothing_is_lost(load).await;
            assert!(apart.proxy.ended().await.success());
        }
    });
}

/// Somebody without any right on the machine.
const NOBODY: [&str; 4] = ["--reuid", "65534", "--clear-groups", "--"];

/// Whether a process of the same user may read what another one was started with.
fn looks_into(process: &Process) -> bool {
    let environment = format!("/proc/{}/environ", process.pid().expect("it runs"));
    let looked = Command::new("setpriv")
        .args(NOBODY)
        .args(["cat", &environment])
        .output();
    looked.expect("setpriv runs").status.success()
}

#[test]
fn nobody_of_the_same_user_looks_into_an_agent_that_hands_over() {
    test(async |cluster| {
        let pod = Pod::start(&cluster, "vigie-nginx", &[]).await;
        let kubeconfig = pod.directory().join("kubeconfig");
        fs::copy(cluster.control_plane().kubeconfig(), &kubeconfig).expect("a copy");
        for path in [pod.directory(), &kubeconfig] {
            chown(path, Some(65534), Some(65534)).expect("we are root");
        }
        let as_nobody = |program: &str, arguments: &str| {
            let mut command = Command::new("setpriv");
            command
                .args(NOBODY)
                .arg(program)
                .args(arguments.split_whitespace());
            pod.spawn(command)
        };
        let arguments = format!(
            "agent --kubeconfig {} --namespace {} --pod-name {} --hand-over {}",
            kubeconfig.display(),
            cluster.namespace,
            pod.name,
            pod.directory().join("publication.sock").display(),
        );
        let agent = as_nobody(env!("CARGO_BIN_EXE_vigie"), &arguments);
        let answers = |answer: &Response| answer.status == 200;
        until_page((pod.address, 10255).into(), "/healthz", "up", answers).await;
        assert!(!looks_into(&agent), "its memory can be read");
        let other = as_nobody("sleep", "60");
        until("others can be looked into", async || looks_into(&other)).await;
    });
}
