//! The edge to a proxy: one trait, implemented for each proxy and by a fake in tests. A driver does
//! as it is told and says what came of it; it decides nothing about bundles.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::plan::{Part, Plan};
use crate::render::bundle::{Bundle, ProxyKind};
use crate::render::capabilities::{Capabilities, Version};

use super::words::Refusal;

/// One proxy on this machine. Methods that change it take `&mut self`: there is one owner, the loop.
pub trait Driver: Send {
    /// Whether the running proxy can take this part of a plan as it runs. What a plan holds beside its
    /// parts (lines of tables, certificates that stay, endpoints) can always be taken.
    fn takes(&self, part: &Part) -> bool;

    /// Asks the proxy's own parser about a bundle in a directory.
    fn check(
        &self,
        directory: &Path,
        bundle: &Bundle,
    ) -> impl Future<Output = Result<Verdict, DriverError>> + Send;

    /// Starts a proxy on the current directory; ends when it has proven that it runs the bundle.
    fn start(&mut self, bundle: &Bundle) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Makes the running proxy read the current directory again; ends when the proxy has proven
    /// that it runs the bundle and that nothing of the one before takes new connections.
    fn reload(&mut self, bundle: &Bundle) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Brings a plan, whose parts the running proxy [takes](Self::takes), from the old bundle to the
    /// new one into it; ends when the proxy has answered that it is done. Files are in place already.
    /// After an error the proxy may run a part of it, until it is reloaded.
    fn update(
        &mut self,
        plan: &Plan,
        old: &Bundle,
        new: &Bundle,
    ) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Removes what earlier updates have taken out of service, as far as nobody uses it any more; says
    /// whether something is left.
    fn tidy(&mut self) -> impl Future<Output = bool> + Send;

    /// Whether the running proxy still answers, within a time that a busy one needs.
    fn answers(&mut self) -> impl Future<Output = bool> + Send;

    /// What is to be told with the outcome of the last act; a note is given once.
    fn aside(&mut self) -> Aside {
        Aside::default()
    }

    /// Ends when the proxy has ended by itself; never while none runs. May be dropped and called
    /// again. Nothing of the proxy is left when it ends.
    fn ended(&mut self) -> impl Future<Output = Ended> + Send;

    /// Ends the proxy: open requests have `grace` to finish. Nothing of it is left afterwards.
    fn stop(&mut self, grace: Duration) -> impl Future<Output = ()> + Send;
}

/// What a proxy's own check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused(Refusal),
}

/// What is worth telling beside the outcome of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// Workers of earlier configurations that still finish their requests.
    pub draining: usize,
    /// In plain sentences, what was done beside or is in the way.
    pub notes: Vec<String>,
}

/// How a proxy came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: String,
    /// The last fatal thing that it said.
    pub words: Option<String>,
}

/// What becomes of what a proxy prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Access log, which the proxy writes to its standard output.
    pub access: Stream,
    /// Whether errors of its error log are passed on to our standard error.
    pub errors: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    #[default]
    Null,
    Stdout,
    Stderr,
    /// Is appended to.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("cannot run {binary}")]
    Run { binary: PathBuf, source: io::Error },
    #[error("cannot tell the version of {binary}: it printed {found:?}")]
    ReadVersion { binary: PathBuf, found: String },
    #[error("{found} at {binary} is too old: {oldest} or newer is served")]
    TooOld {
        binary: PathBuf,
        found: Capabilities,
        oldest: Version,
    },
    #[error("{proxy} did not start: {words}")]
    Start { proxy: ProxyKind, words: String },
    #[error("{proxy} did not reload: {words}")]
    Reload { proxy: ProxyKind, words: String },
    #[error("{proxy} did not take a change as it runs")]
    Update {
        proxy: ProxyKind,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot signal {proxy}")]
    Signal { proxy: ProxyKind, source: io::Error },
    #[error("cannot ask {proxy} by {socket}")]
    Ask {
        proxy: ProxyKind,
        socket: PathBuf,
        source: io::Error,
    },
}

/// A proxy's program and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub binary: PathBuf,
    pub capabilities: Capabilities,
}

impl Found {
    /// Asks a program for its version (`-v`, which both proxies know), and refuses one that is too
    /// old to be served.
    pub async fn at(proxy: ProxyKind, binary: &Path) -> Result<Self, DriverError> {
        // HAProxy starts itself anew on a reload, from another working directory.
        let binary = std::path::absolute(binary).unwrap_or_else(|_| binary.to_path_buf());
        let output = tokio::process::Command::new(&binary)
            .arg("-v")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|source| DriverError::Run {
                binary: binary.clone(),
                source,
            })?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
        let Some(version) = read_version(proxy, &printed) else {
            let found = printed.lines().next().unwrap_or_default().to_owned();
            return Err(DriverError::ReadVersion { binary, found });
        };
        let capabilities = Capabilities { proxy, version };
        if capabilities.is_served() {
            return Ok(Self {
                binary,
                capabilities,
            });
        }
        Err(DriverError::TooOld {
            binary,
            found: capabilities,
            oldest: Capabilities::oldest(proxy),
        })
    }
}

/// `nginx version: nginx/1.30.6` or `HAProxy version 3.4.7-1 2026/10/14 - …`.
fn read_version(proxy: ProxyKind, printed: &str) -> Option<Version> {
    let mark = match proxy {
        ProxyKind::Nginx => "nginx version: nginx/",
        ProxyKind::Haproxy => "HAProxy version ",
    };
    let (_, version) = printed.split_once(mark)?;
    version.parse().ok()
}

/// Words for an exit status: `exit status 1` or `killed by signal 9`.
pub(super) fn status_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown status".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_both_proxies_print_them() {
        assert_eq!(
            read_version(ProxyKind::Nginx, "nginx version: nginx/1.30.6\n"),
            Some(Version(1, 30, 6))
        );
        let haproxy = "HAProxy version 3.4.7-1 2026/10/14 - https://haproxy.org/\nStatus: …";
        assert_eq!(
            read_version(ProxyKind::Haproxy, haproxy),
            Some(Version(3, 4, 7))
        );
        assert_eq!(read_version(ProxyKind::Nginx, haproxy), None);
    }
}
