//! A backend that says at which address it was reached, a client that asks until the answer is right,
//! and one that asks at a steady pace.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

/// Between two questions: what is measured gets the rest of the processor.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a right answer may take before the benchmark is given up.
const PATIENCE: Duration = Duration::from_secs(180);

/// Answers every request on every loopback address with that address; returns the port.
pub fn backend() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    port
}

fn serve(mut connection: TcpStream) {
    let Ok(reached) = connection.local_addr() else {
        return;
    };
    let body = format!("{}\n", reached.ip());
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let _ = connection.set_nodelay(true);
    let mut buffer = [0; 16 * 1024];
    let mut held = 0;
    while let Ok(read @ 1..) = connection.read(&mut buffer[held..]) {
        held += read;
        // Requests have no body; a head ends with an empty line.
        if buffer[..held].ends_with(b"\r\n\r\n") {
            held = 0;
            if connection.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Asks again and again; the time from `start` to the moment when it is right.
pub fn until(start: Instant, what: &str, right: impl Fn() -> bool) -> Duration {
    while !right() {
        assert!(start.elapsed() < PATIENCE, "no right answer: {what}");
        thread::sleep(PAUSE);
    }
    start.elapsed()
}

/// Status and body of one request by a connection of its own; None where there is no whole answer.
pub fn get(proxy: SocketAddr, host: &str) -> Option<(u16, String)> {
    let ask = || -> io::Result<String> {
        let mut connection = connect(proxy)?;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn connect(proxy: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(proxy)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(connection)
}

/// The certificate that is shown for a name, in DER.
pub fn certificate(proxy: SocketAddr, host: &str) -> Option<Vec<u8>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut session = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut connection = connect(proxy).ok()?;
    while session.is_handshaking() {
        session.complete_io(&mut connection).ok()?;
    }
    Some(session.peer_certificates()?.first()?.to_vec())
}

/// Trusts whoever holds the key of the certificate shown: which one it is, is looked at afterwards.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What came of many requests.
#[derive(Default)]
pub struct Answers {
    /// From the moment when each was due, so that a slow answer delays none that is counted.
    pub latencies: Vec<Duration>,
    /// Answered otherwise than with 200, or not at all.
    pub lost: Vec<String>,
    /// Sent again because a kept connection had been closed before anything of an answer came.
    pub again: usize,
}

/// Asks hosts in turn, so many times a second, over kept connections.
pub fn pace(proxy: SocketAddr, hosts: &[String], rate: u32, time: Duration) -> Answers {
    const CONNECTIONS: u32 = 16;
    let start = Instant::now();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|worker| {
            let requests = hosts.iter().map(|host| {
                format!("GET / HTTP/1.1\r\nhost: {host}\r\nuser-agent: pace/1\r\n\r\n")
            });
            let requests: Vec<String> = requests.collect();
            let first = start + Duration::from_secs(1) * worker / rate;
            let each = Duration::from_secs(1) * CONNECTIONS / rate;
            let count = time.as_nanos() / each.as_nanos();
            let due = (0..count as u32).map(move |number| first + each * number);
            thread::spawn(move || ask(proxy, &requests, worker as usize, due))
        })
        .collect();
    let mut all = Answers::default();
    for worker in workers {
        let of = worker.join().expect("a worker ends");
        all.latencies.extend(of.latencies);
        all.lost.extend(of.lost);
        all.again += of.again;
    }
    all.latencies.sort();
    all
}

fn ask(
    proxy: SocketAddr,
    requests: &[String],
    first: usize,
    due: impl Iterator<Item = Instant>,
) -> Answers {
    let mut answers = Answers::default();
    let mut kept = None;
    for (number, due) in due.enumerate() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = &requests[(first + number * 7) % requests.len()];
        let was_kept = kept.is_some();
        let mut answer = exchange(proxy, &mut kept, request);
        if answer.is_none() && was_kept {
            answers.again += 1;
            answer = exchange(proxy, &mut kept, request);
        }
        match answer {
            Some(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                answers.latencies.push(due.elapsed());
            }
            other => answers.lost.push(other.unwrap_or_default()),
        }
    }
    answers
}

/// One whole answer; None where the connection was closed before anything of it came.
fn exchange(proxy: SocketAddr, kept: &mut Option<TcpStream>, request: &str) -> Option<String> {
    let mut connection = kept.take().or_else(|| connect(proxy).ok())?;
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        match connection.read(&mut buffer) {
            Ok(read @ 1..) => answer.push_str(&String::from_utf8_lossy(&buffer[..read])),
            _ if answer.is_empty() => return None,
            _ => return Some(format!("cut off: {answer}")),
        }
    }
    if !answer
        .to_ascii_lowercase()
        .contains("\r\nconnection: close")
    {
        *kept = Some(connection);
    }
    Some(answer)
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ");
    let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
