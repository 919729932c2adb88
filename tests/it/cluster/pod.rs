//! Pods without a kubelet: an object that says what a kubelet would, and a network of its own in which
//! a test starts what would run in it. All ports of the pod's address are free there.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use std::{io, thread};

use k8s_openapi::api::core::v1::{Node, Pod as Object};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::runtime::{self, Handle};
use tokio::time::sleep;

use super::{Cluster, GLANCE, PATIENCE, Process, network, refusal};

const NODE: &str = "node";

pub struct Pod {
    pub name: String,
    pub uid: String,
    pub address: Ipv4Addr,
    objects: Api<Object>,
    network: File,
    /// The end of its line that lies in the network of the cluster.
    pub(super) link: String,
    /// Where its processes start, and write what they must write somewhere.
    directory: PathBuf,
}

impl Pod {
    /// Makes a pod that is ready, with its line.
    pub async fn start(cluster: &Cluster, name: &str, labels: &[(&str, &str)]) -> Self {
        static MADE: AtomicU16 = AtomicU16::new(1);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.to_be_bytes();
        // 10.78.0.0/24 holds the bridge's own address.
        let address = Ipv4Addr::new(10, 78, high + 1, low);
        let link = format!("pod-{number}");
        let network = network::make_pod(&link, address);
        let directory = cluster.control_plane().directory();
        let directory = directory.join(format!("{}-{name}", cluster.namespace));
        fs::create_dir_all(&directory).expect("a directory can be made");
        Self {
            name: name.to_owned(),
            uid: cluster.place(name, labels, address).await,
            address,
            objects: cluster.api(),
            network: network.unwrap_or_else(|error| panic!("{error}")),
            link,
            directory,
        }
    }

    /// Starts a program in it. It ends with the pod.
    pub fn spawn(&self, mut command: Command) -> Process {
        let program = command.get_program().to_owned();
        command
            .current_dir(&self.directory)
            .env("TMPDIR", &self.directory);
        let runtime = Handle::current();
        let started = network::enter(&self.network, move || {
            let _inside = runtime.enter();
            Process::try_start(command)
        });
        started.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    /// Does some work of the test in its network, as a process in the pod would.
    pub fn inside<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        network::enter(&self.network, move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work())
        })
    }

    /// Where its processes start: theirs alone.
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// From now on all that is sent on its line is lost, in both directions.
    pub fn cut(&self) {
        self.line("down");
    }

    pub fn mend(&self) {
        self.line("up");
    }

    fn line(&self, state: &str) {
        let set = network::inside(|| network::ip(&format!("link set {} {state}", self.link)));
        set.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Says whether it is ready, as its kubelet would.
    pub async fn set_ready(&self, ready: bool) {
        set_ready(&self.objects, &self.name, self.address, ready).await;
    }

    /// Deletes the object; the network goes when this is dropped.
    pub async fn delete(&self) {
        let deleted = self
            .objects
            .delete(&self.name, &DeleteParams::default())
            .await;
        drop(deleted.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
    }

    /// Ends all that runs in it at once, as the end of a container does.
    pub fn end_all(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let running @ [_, ..] = &self.processes()[..] {
            assert!(Instant::now() < deadline, "they do not end: {running:?}");
            for pid in running {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            thread::yield_now();
        }
    }

    /// What runs in its network.
    pub fn processes(&self) -> Vec<i32> {
        let number = |file: io::Result<fs::Metadata>| Some(file.ok()?.ino());
        let own = number(self.network.metadata());
        let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let within = |pid: &i32| number(fs::metadata(format!("/proc/{pid}/ns/net"))) == own;
        all.filter(within).collect()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.end_all();
        // With one end goes the other.
        let deleted = network::inside(|| network::ip(&format!("link delete {}", self.link)));
        if let (Err(error), false) = (deleted, thread::panicking()) {
            panic!("{error}");
        }
    }
}

impl Cluster {
    /// Makes the object of a pod that runs, is ready and has an address; says its UID.
    pub(super) async fn place(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        address: Ipv4Addr,
    ) -> String {
        self.has_node().await;
        let labels: Value = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect();
        let pod = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": NODE,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "main",
                    "image": "none",
                    "ports": [{"name": "http", "containerPort": 8080}],
                }],
            },
        });
        let objects: Api<Object> = self.api();
        let made = create(&objects, &serde_json::from_value(pod).expect("a pod")).await;
        set_ready(&objects, name, address, true).await;
        made.metadata.uid.expect("it has one")
    }

    /// Pods that are on no node are not looked at.
    async fn has_node(&self) {
        let node = json!({"metadata": {"name": NODE}});
        let node: Node = serde_json::from_value(node).expect("a node");
        let nodes: Api<Node> = Api::all(self.client.clone());
        if let Err(error) = nodes.create(&PostParams::default(), &node).await {
            let refusal = refusal(error);
            assert_eq!(refusal.reason, "AlreadyExists", "{}", refusal.message);
        }
    }
}

/// The account that all pods have is made a moment after their namespace.
async fn create(objects: &Api<Object>, pod: &Object) -> Object {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let refusal = match objects.create(&PostParams::default(), pod).await {
            Ok(made) => return made,
            Err(error) => refusal(error),
        };
        let waits = refusal
            .message
            .contains("serviceaccount \"default\" not found");
        assert!(waits && Instant::now() < deadline, "{}", refusal.message);
        sleep(GLANCE).await;
    }
}

/// What a kubelet says of a pod that runs.
pub(super) async fn set_ready(objects: &Api<Object>, name: &str, address: Ipv4Addr, ready: bool) {
    let ready = if ready { "True" } else { "False" };
    let condition = |kind: &str| json!({"type": kind, "status": ready});
    let status = json!({"status": {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [condition("Ready"), condition("ContainersReady")],
    }});
    let patch = Patch::Strategic(status);
    let patched = objects
        .patch_status(name, &PatchParams::default(), &patch)
        .await;
    drop(patched.unwrap_or_else(|error| panic!("{name}: {error}")));
}
