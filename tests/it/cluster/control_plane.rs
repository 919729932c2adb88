//! The processes of a cluster: etcd, kube-apiserver and, where it is there, kube-controller-manager.
//!
//! They run in a directory of their own below the one for temporary files, on an address of their own,
//! and write what they have to say beside their data. A keeper ends them and removes the directory when
//! we let go of its input, which also happens when this process ends, however it ends.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::{Instant, sleep, timeout};

use super::{audit, keys, store};

/// On a machine with much else to do, all of this takes ten times as long as the three seconds that it
/// takes alone.
const PATIENCE: Duration = Duration::from_secs(120);

/// What runs in the directory is known by it: an API server that a test starts anew is ended too.
const KEEPER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
while running=$(find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' \( -lname "$1" -o -lname "$1/*" \) \
    -printf '%h ' 2>/dev/null)
  [ -n "$running" ]
do
  for process in $running; do kill -KILL "${process#/proc/}"; done
done
rm -rf "$1"
"#;

/// Those that make endpoints of pods, and namespaces ready for pods and empty again.
const CONTROLLERS: &str = "endpointslice,endpointslicemirroring,namespace,serviceaccount,\
                           garbagecollector,root-ca-cert-publisher";

pub struct ControlPlane {
    directory: PathBuf,
    programs: PathBuf,
    address: String,
    /// Whether the tests share it: then none may stop it.
    shared: bool,
    api_server: Mutex<Option<Child>>,
    _keeper: ChildStdin,
}

impl ControlPlane {
    pub async fn shared() -> Result<Arc<Self>, String> {
        Self::start(true).await
    }

    pub async fn own() -> Result<Arc<Self>, String> {
        Self::start(false).await
    }

    /// Starts one and waits until it is ready. The thread that calls must be in our network.
    async fn start(shared: bool) -> Result<Arc<Self>, String> {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let programs = programs()?;
        let directory = directory().map_err(|error| format!("no directory: {error}"))?;
        let this = Self {
            _keeper: keeper(&directory)?,
            programs,
            address: format!("10.77.0.{}", STARTED.fetch_add(1, Ordering::Relaxed)),
            shared,
            api_server: Mutex::new(None),
            directory,
        };
        let address = this.address.parse().expect("an address");
        keys::write(&this.directory, address);
        for user in [keys::ADMIN, keys::CONTROLLER_MANAGER] {
            let config = keys::kubeconfig(&this.directory, &this.server(), user, user);
            let file = this.kubeconfig_of(user);
            fs::write(&file, config.to_string()).expect("a kubeconfig can be written");
        }
        fs::write(this.directory.join(audit::POLICY_FILE), audit::POLICY)
            .expect("a policy can be written");
        this.start_etcd()?;
        this.spawn_api_server()?;
        if this.has_controllers() {
            this.start_controllers()?;
        }
        this.ready().await?;
        Ok(Arc::new(this))
    }

    /// Ends the API server at once, as a machine that fails does. What it has stored stays.
    pub async fn stop_api_server(&self) {
        assert!(
            !self.shared,
            "others use this API server: take `cluster::own`"
        );
        let stopped = self.running().take();
        let mut stopped = stopped.expect("it runs");
        stopped.kill().expect("it is ours");
        // A process that was killed ends soon, but not at once.
        let ended = tokio::task::spawn_blocking(move || stopped.wait());
        ended.await.expect("a thread").expect("it ends");
    }

    /// Starts it again, on the same data and address, and waits until it is ready.
    pub async fn start_api_server(&self) {
        assert!(self.running().is_none(), "it runs already");
        self.spawn_api_server()
            .unwrap_or_else(|error| panic!("{error}"));
        self.ready().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Has etcd forget all revisions but the last.
    pub async fn compact(&self) {
        let address = format!("{}:2379", self.address);
        store::compact(address.parse().expect("an address")).await;
    }

    /// For programs that are to be somebody who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of(keys::ADMIN)
    }

    /// A client that may do everything, in a namespace.
    pub async fn client(&self, namespace: &str) -> Client {
        let mut config = self.config().await;
        namespace.clone_into(&mut config.default_namespace);
        Client::try_from(config).expect("a client")
    }

    /// Of somebody who may do everything.
    pub async fn config(&self) -> Config {
        let file = Kubeconfig::read_from(self.kubeconfig()).expect("our own kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        config.expect("our own kubeconfig")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.api_server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.directory.join(format!("{user}.kubeconfig"))
    }

    pub fn server(&self) -> String {
        format!("https://{}:6443", self.address)
    }

    fn store(&self, port: u16) -> String {
        format!("http://{}:{port}", self.address)
    }

    fn start_etcd(&self) -> Result<Child, String> {
        let (clients, peers) = (self.store(2379), self.store(2380));
        let arguments = [
            "--name=default".to_owned(),
            "--data-dir=etcd".to_owned(),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.run("etcd", &arguments)
    }

    fn spawn_api_server(&self) -> Result<(), String> {
        let mut arguments = vec![
            format!("--etcd-servers={}", self.store(2379)),
            format!("--bind-address={}", self.address),
            format!("--advertise-address={}", self.address),
            "--secure-port=6443".to_owned(),
            "--tls-cert-file=server.crt".to_owned(),
            "--tls-private-key-file=server.key".to_owned(),
            "--token-auth-file=tokens.csv".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-account-key-file=accounts.pub".to_owned(),
            "--service-account-signing-key-file=accounts.key".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            format!("--audit-policy-file={}", audit::POLICY_FILE),
            format!("--audit-log-path={}", audit::LOG_FILE),
            "--profiling=false".to_owned(),
        ];
        if !self.has_controllers() {
            // Nothing would make the accounts that it asks for.
            arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        let started = self.run("kube-apiserver", &arguments)?;
        *self.running() = Some(started);
        Ok(())
    }

    fn start_controllers(&self) -> Result<Child, String> {
        let config = self.kubeconfig_of(keys::CONTROLLER_MANAGER);
        let config = config.display();
        let arguments = [
            format!("--kubeconfig={config}"),
            format!("--authentication-kubeconfig={config}"),
            format!("--authorization-kubeconfig={config}"),
            format!("--controllers={CONTROLLERS}"),
            "--use-service-account-credentials=true".to_owned(),
            "--service-account-private-key-file=accounts.key".to_owned(),
            "--root-ca-file=ca.crt".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--profiling=false".to_owned(),
        ];
        self.run("kube-controller-manager", &arguments)
    }

    /// Whether accounts, and slices of pods, are made.
    pub fn has_controllers(&self) -> bool {
        self.programs.join("kube-controller-manager").is_file()
    }

    /// Starts a program in the directory, which the keeper knows it by.
    fn run(&self, program: &str, arguments: &[String]) -> Result<Child, String> {
        let binary = self.programs.join(program);
        let failed = |error| format!("{}: {error}", binary.display());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(program));
        let log = log.map_err(failed)?;
        let mut command = Command::new(&binary);
        command.args(arguments).current_dir(&self.directory);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?);
        command.stderr(log).spawn().map_err(failed)
    }

    fn log(&self, program: &str) -> PathBuf {
        self.directory.join(format!("{program}.log"))
    }

    async fn ready(&self) -> Result<(), String> {
        const GLANCE: Duration = Duration::from_millis(50);
        let mut config = self.config().await;
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = Request::get("/readyz").body(Vec::new()).expect("a request");
            let answer = timeout(Duration::from_secs(5), client.request_text(request)).await;
            let why = match answer {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            };
            let ended = self.running().as_mut().map(Child::try_wait);
            if !matches!(ended, Some(Ok(None))) || Instant::now() > deadline {
                let words = [self.last_words("etcd"), self.last_words("kube-apiserver")];
                return Err(format!("no API server: {why}\n{}", words.concat()));
            }
            sleep(GLANCE).await;
        }
    }

    fn last_words(&self, program: &str) -> String {
        let log = fs::read_to_string(self.log(program)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(15)..];
        format!("{program}:\n  {}\n", last.join("\n  "))
    }
}

/// Where the programs lie: scripts/control-plane.sh knows.
fn programs() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/control-plane.sh");
    let said = Command::new(&script).arg("--print-dir").output();
    let said = said.map_err(|error| format!("{}: {error}", script.display()))?;
    if !said.status.success() {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned());
    }
    let directory = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    match directory.join("kube-apiserver").is_file() {
        true => Ok(directory),
        false => Err(format!(
            "no test cluster is in {}: scripts/control-plane.sh builds it",
            directory.display()
        )),
    }
}

/// Without links in its path: the keeper compares it with what the kernel says.
fn directory() -> io::Result<PathBuf> {
    let parent = std::env::temp_dir().canonicalize()?;
    let made = tempfile::Builder::new()
        .prefix("vigie-cluster-")
        .tempdir_in(parent)?;
    Ok(made.keep())
}

fn keeper(directory: &Path) -> Result<ChildStdin, String> {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(directory);
    let keeper = command.stdin(Stdio::piped()).spawn();
    let mut keeper = keeper.map_err(|error| format!("no keeper: {error}"))?;
    Ok(keeper.stdin.take().expect("it is piped"))
}
