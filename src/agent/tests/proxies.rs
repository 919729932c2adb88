//! Real nginx and HAProxy, started, reloaded, refused, killed and stopped.

use std::path::Path;
use std::sync::Arc as StdArc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;

use super::bundles::{haproxy, nginx, web, with_endpoints};
use super::*;
use crate::agent::dns;
use crate::agent::driver::{Found, Output};
use crate::agent::haproxy::Haproxy;
use crate::agent::nginx::Nginx;
use crate::model::PrivatePem;
use crate::render::bundle::{Content, ProxyKind};
use crate::render::nginx::stamp;

pub const NGINX: [&str; 2] = ["nginx-1.28", "nginx-1.30"];

struct Given {
    running: Running,
    listen: SocketAddr,
    resolver: Option<SocketAddr>,
    root: PathBuf,
    _dns: Option<dns::Server>,
    _temporary: tempfile::TempDir,
}

impl Given {
    async fn nginx(line: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(temporary.path()).unwrap();
        let (zones, mut server) = dns::server();
        let resolver = server.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let binary = binary(line, "nginx");
        let driver = Nginx::new(binary, &directory, Output::default(), zones);
        Self {
            running: Running::start(driver, directory),
            listen: free_address(),
            resolver: Some(resolver),
            root: temporary.path().to_path_buf(),
            _dns: Some(server),
            _temporary: temporary,
        }
    }

    async fn haproxy() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(temporary.path()).unwrap();
        let binary = binary("haproxy-3.4", "haproxy");
        let driver = Haproxy::new(binary, &directory, Output::default());
        Self {
            running: Running::start(driver, directory),
            listen: free_address(),
            resolver: None,
            root: temporary.path().to_path_buf(),
            _dns: None,
            _temporary: temporary,
        }
    }

    fn bundle(&self, line: &str, body: &str) -> Bundle {
        match self.resolver {
            Some(resolver) => nginx(self.listen, Some(resolver), line, body),
            None => haproxy(self.listen, line, body),
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        get(self.listen, path).await.expect("no answer")
    }

    /// Processes whose arguments or directory name this test's directory.
    fn processes(&self) -> Vec<i32> {
        processes_of(&self.root)
    }

    fn master(&self) -> i32 {
        master_of(&self.root)
    }
}

fn is_our_child(pid: &i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split(' ').nth(2));
    parent == Some(&std::process::id().to_string())
}

pub fn master_of(root: &Path) -> i32 {
    let all = processes_of(root);
    *all.iter().find(|pid| is_our_child(pid)).unwrap()
}

pub fn workers_of(root: &Path) -> Vec<i32> {
    let all = processes_of(root).into_iter();
    all.filter(|pid| !is_our_child(pid)).collect()
}

pub fn processes_of(root: &Path) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(root))
    })
    .collect()
}

pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    Ok((status.unwrap_or(0), body.unwrap_or_default()))
}

/// An endpoint that answers `body`.
pub async fn endpoint(address: SocketAddr, body: &'static str) -> JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
}

/// Start, reload, nothing, refused, killed, stopped.
async fn whole_life(mut given: Given, bad: &str) {
    let one = given.bundle("", "one");
    assert_eq!(given.running.load(&one).await, LoadKind::Started);
    assert_eq!(given.get("/").await, (200, "one".into()));

    let two = given.bundle("", "two");
    assert_eq!(given.running.load(&two).await, LoadKind::Reloaded);
    for _ in 0..20 {
        assert_eq!(given.get("/").await, (200, "two".into()));
    }
    assert_eq!(given.running.load(&two).await, LoadKind::Nothing);

    let refused = given.running.load(&given.bundle(bad, "three")).await;
    let LoadKind::Refused { words, origin } = refused else {
        unreachable!("{refused:?}");
    };
    assert!(
        words.contains("frobnicate") && !words.contains("generation"),
        "{words}"
    );
    assert_eq!(origin, Some(web()));
    assert_eq!(given.get("/").await, (200, "two".into()));

    kill(Pid::from_raw(given.master()), Signal::SIGKILL).unwrap();
    let ended = given.running.next().await;
    assert!(matches!(ended.kind, LoadKind::Ended { .. }), "{ended:?}");
    given.running.until(LoadKind::Started).await;
    assert_eq!(given.get("/").await, (200, "two".into()));
    let four = given.bundle("", "four");
    assert_eq!(given.running.load(&four).await, LoadKind::Reloaded);
    assert_eq!(given.get("/").await, (200, "four".into()));

    given.running.stop().await;
    assert!(get(given.listen, "/").await.is_err());
    assert_eq!(processes_of(&given.root), [0; 0]);
    let sockets = std::fs::read_dir(given.root.join("run")).unwrap();
    let sockets =
        sockets.filter(|e| e.as_ref().unwrap().path().extension() == Some("sock".as_ref()));
    assert_eq!(sockets.count(), 0);
}

#[tokio::test]
async fn nginx_lives_its_whole_life() {
    for line in NGINX {
        whole_life(Given::nginx(line).await, "frobnicate;").await;
    }
}

#[tokio::test]
async fn haproxy_lives_its_whole_life() {
    whole_life(Given::haproxy().await, "frobnicate").await;
}

#[tokio::test]
async fn nginx_takes_endpoints_as_it_runs() {
    for line in NGINX {
        let mut given = Given::nginx(line).await;
        let port = given.listen.port();
        let at = |last: u8| SocketAddr::from(([127, 77, last, 1], port));
        let (_a, _b) = (endpoint(at(1), "a").await, endpoint(at(2), "b").await);
        let bundle = given.bundle("", "x");
        let to = |last: u8| with_endpoints(bundle.clone(), &[at(last)]);
        assert_eq!(given.running.load(&to(1)).await, LoadKind::Started);
        // nginx may need a moment for its first question.
        while given.get("/api").await.0 != 200 {}
        assert_eq!(given.get("/api").await.1, "a");
        let workers = given.processes();
        assert_eq!(given.running.load(&to(2)).await, LoadKind::Live);
        while given.get("/api").await.1 != "b" {}
        let none = with_endpoints(bundle.clone(), &[]);
        assert_eq!(given.running.load(&none).await, LoadKind::Live);
        while given.get("/api").await.0 != 502 {}
        assert_eq!(given.running.load(&to(1)).await, LoadKind::Live);
        while given.get("/api").await.1 != "a" {}
        assert_eq!(given.processes(), workers, "no worker is another one");
        given.running.stop().await;
    }
}

#[tokio::test]
async fn haproxy_takes_endpoints_as_it_runs() {
    let mut given = Given::haproxy().await;
    let port = given.listen.port();
    let at = |last: u8| SocketAddr::from(([127, 78, last, 1], port));
    let (_a, _b) = (endpoint(at(1), "a").await, endpoint(at(2), "b").await);
    let bundle = given.bundle("", "");
    let to = |all: &[u8]| {
        let all: Vec<SocketAddr> = all.iter().map(|last| at(*last)).collect();
        with_endpoints(bundle.clone(), &all)
    };
    assert_eq!(given.running.load(&to(&[1])).await, LoadKind::Started);
    assert_eq!(given.get("/").await, (200, "a".into()));
    let processes = given.processes();
    assert_eq!(given.running.load(&to(&[2])).await, LoadKind::Live);
    assert_eq!(given.get("/").await, (200, "b".into()));
    assert_eq!(given.running.load(&to(&[])).await, LoadKind::Live);
    assert_eq!(given.get("/").await.0, 503);
    // Back at once, while it may still be on its way out.
    assert_eq!(given.running.load(&to(&[1])).await, LoadKind::Live);
    assert_eq!(given.get("/").await, (200, "a".into()));
    assert_eq!(given.processes(), processes, "no worker is another one");
    given.running.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named_and_taken_once_it_is_free() {
    for mut given in [Given::nginx("nginx-1.30").await, Given::haproxy().await] {
        let taken = TcpListener::bind(given.listen).unwrap();
        let failed = given.running.load(&given.bundle("", "one")).await;
        let LoadKind::Failed { words } = failed else {
            unreachable!("{failed:?}");
        };
        assert!(words.contains(&given.listen.port().to_string()), "{words}");
        drop(taken);
        given.running.until(LoadKind::Started).await;
        assert_eq!(given.get("/").await, (200, "one".into()));
        given.running.stop().await;
    }
}

#[tokio::test]
async fn nginx_takes_rotated_certificates_as_it_runs_and_no_handshake_fails() {
    for line in NGINX {
        let mut given = Given::nginx(line).await;
        let listen = free_address();
        let host = format!(
            "map $ssl_server_name $certificates {{ default certs; }}
ssl_certificate_cache max=10 inactive=60s valid=1s;
server {{ listen {listen} ssl; ssl_certificate $certificates/a.pem; ssl_certificate_key $certificates/a.pem; return 200; }}"
        );
        let pairs = [pair(), pair(), pair()];
        let bundles = pairs.each_ref().map(|(_, pem)| {
            let mut bundle = given.bundle(&host, "x");
            let pem = Content::Private(PrivatePem::new(pem.as_str()));
            bundle.structure.insert("certs/a.pem".into(), pem);
            stamp(&mut bundle);
            bundle
        });
        assert_eq!(given.running.load(&bundles[0]).await, LoadKind::Started);
        assert_eq!(served_certificate(listen).await, pairs[0].0);
        let processes = given.processes();
        for ((certificate, _), bundle) in pairs.iter().zip(&bundles).skip(1) {
            assert_eq!(given.running.load(bundle).await, LoadKind::Live);
            // Each handshake must succeed, with the old one or the new one.
            while served_certificate(listen).await != *certificate {}
        }
        assert_eq!(given.processes(), processes, "no worker is another one");
        given.running.stop().await;
    }
}

fn pair() -> (Vec<u8>, String) {
    let made = rcgen::generate_simple_self_signed(["x.example".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    (made.cert.der().to_vec(), pem)
}

async fn served_certificate(address: SocketAddr) -> Vec<u8> {
    let verifier = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(StdArc::new(verifier))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(StdArc::new(Anyone))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "x.example".try_into().unwrap();
    let tls = TlsConnector::from(StdArc::new(config));
    let tls = tls.connect(name, stream).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Takes any certificate: the test compares it itself.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test]
async fn found_proxies_tell_their_version_and_others_are_refused() {
    for (line, proxy) in [
        ("nginx-1.28", ProxyKind::Nginx),
        ("nginx-1.30", ProxyKind::Nginx),
        ("haproxy-3.4", ProxyKind::Haproxy),
    ] {
        let found = Found::at(proxy, &binary(line, proxy.as_str()))
            .await
            .unwrap();
        let version = found.capabilities.version.to_string();
        assert!(line.ends_with(version.rsplit_once('.').unwrap().0));
    }
    let temporary = tempfile::tempdir().unwrap();
    let old = temporary.path().join("nginx");
    std::fs::write(&old, "#!/bin/sh\necho nginx version: nginx/1.22.1 >&2\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&old, mode).unwrap();
    let error = Found::at(ProxyKind::Nginx, &old).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("nginx 1.22.1") && text.contains("1.28.0 or newer"),
        "{text}"
    );
    let error = Found::at(ProxyKind::Haproxy, &old).await.unwrap_err();
    assert!(matches!(error, DriverError::ReadVersion { .. }));
}
