//! The program itself, `vigie run`, over a folder that a test changes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use vigie::render::ProxyKind;

use crate::serve::free;
use crate::support::client::{Request, Target, exchange};

const PATIENCE: Duration = Duration::from_secs(40);

pub struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    http: SocketAddr,
}

impl Running {
    pub fn start(folder: &Path, proxy: ProxyKind) -> Self {
        let (http, https) = (free(), free());
        let mut child = Command::new(env!("CARGO_BIN_EXE_vigie"))
            .arg("run")
            .arg(folder)
            .args(["--output", "json", "--proxy", proxy.as_str()])
            .args(["--http", &http.to_string(), "--https", &https.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("it is piped");
        Self {
            _child: child,
            lines: BufReader::new(stdout).lines(),
            http,
        }
    }

    /// The next event that is wanted; those before it are passed over, and returned if it never comes.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let found = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                let event: Value = serde_json::from_str(&line).expect("each line is JSON");
                if wanted(&event) {
                    return Some(event);
                }
                seen.push(line);
            }
            None
        };
        let found = timeout(PATIENCE, found).await.ok().flatten();
        found.unwrap_or_else(|| panic!("it never came; seen:\n{}", seen.join("\n")))
    }

    /// The status that a path of a host is answered with.
    pub async fn status(&self, host: &str, path: &str) -> u16 {
        let answer = exchange(&Target::plain(self.http), &Request::get(host, path)).await;
        answer.expect("an answer").status
    }
}
