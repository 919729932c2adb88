//! Asks a proxy itself: one request, its answer held against what was foreseen.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde::Serialize;

use crate::explain::{Explanation, Outcome, Request, Scheme};
use crate::model::Model;

/// For the whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);

/// As much of an answer as is looked at.
const LONGEST: usize = 64 << 10;

/// How the proxies begin what they answer by themselves.
const OWN_WORDS: &str = "vigie: ";

/// What a proxy said, or why it was not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    pub words: String,
    pub agreement: Agreement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    Agrees,
    Differs,
    Unasked,
}

/// An answer as far as it tells who gave it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// The first line of the body, where the proxy itself wrote it.
    pub own_words: Option<String>,
}

pub fn ask(
    address: SocketAddr,
    request: &Request,
    model: &Model,
    explanation: &Explanation,
) -> Said {
    let bytes = written(address, request, model);
    match exchange(address, request, &bytes) {
        Ok(answer) => {
            let (agreement, words) = held_against(&answer, &explanation.outcome);
            Said {
                words: format!("{address} {words}"),
                agreement,
            }
        }
        Err(error) => Said {
            words: format!("{address} does not answer: {error}"),
            agreement: Agreement::Unasked,
        },
    }
}

/// The request as it is sent, and a PROXY header before it where one is expected.
fn written(address: SocketAddr, request: &Request, model: &Model) -> Vec<u8> {
    let mut text = String::new();
    if model.listeners.proxy_protocol {
        text.push_str(&match (request.client, address.ip()) {
            (Some(client @ IpAddr::V4(_)), IpAddr::V4(to)) => {
                format!("PROXY TCP4 {client} {to} 1 {}\r\n", address.port())
            }
            (Some(client @ IpAddr::V6(_)), IpAddr::V6(to)) => {
                format!("PROXY TCP6 {client} {to} 1 {}\r\n", address.port())
            }
            _ => "PROXY UNKNOWN\r\n".to_owned(),
        });
    }
    if request.url.scheme == Scheme::Http {
        text.push_str(&head(request));
    }
    text.into_bytes()
}

fn head(request: &Request) -> String {
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        request.url.target(),
        request.authority()
    );
    let others = request.headers.iter();
    for header in others.filter(|header| header.name.as_str() != "host") {
        head.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    head.push_str("\r\n");
    head
}

fn exchange(address: SocketAddr, request: &Request, first: &[u8]) -> io::Result<Answer> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(first)?;
    let bytes = match request.url.scheme {
        Scheme::Http => read(&mut stream, deadline)?,
        Scheme::Https => {
            let mut tls = StreamOwned::new(connection(&request.host())?, stream);
            tls.write_all(head(request).as_bytes())?;
            read(&mut tls, deadline)?
        }
    };
    Answer::read(&bytes).ok_or_else(|| io::Error::other("what it says is no HTTP"))
}

fn read(stream: &mut impl Read, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while bytes.len() < LONGEST && Instant::now() < deadline {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(piece.get(..length).unwrap_or_default()),
            // An end without a farewell, after a whole answer.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Certificates are not what is asked about: any is taken.
fn connection(host: &str) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)
}

#[derive(Debug)]
struct AnyCertificate;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?;
        let location = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let named = name.eq_ignore_ascii_case("location");
            named.then(|| value.trim().to_owned())
        });
        let line = body.lines().find(|line| line.starts_with(OWN_WORDS));
        Some(Self {
            status: status.parse().ok()?,
            location,
            own_words: line.map(str::to_owned),
        })
    }
}

/// Whether an answer is the one foreseen, and both in words.
pub fn held_against(answer: &Answer, outcome: &Outcome) -> (Agreement, String) {
    let status = answer.status;
    let words = match &answer.own_words {
        Some(words) => format!("answers {status} by itself (\"{words}\")"),
        None => format!("answers {status}"),
    };
    match (outcome.status(), outcome.location()) {
        (None, _) if answer.own_words.is_some() => {
            let differs = "; an answer of an endpoint was foreseen";
            (Agreement::Differs, words + differs)
        }
        (None, _) => (Agreement::Agrees, words + ", as an endpoint does"),
        (Some(foreseen), _) if foreseen != status => (
            Agreement::Differs,
            format!("{words}; {foreseen} was foreseen"),
        ),
        (Some(_), Some(foreseen)) => {
            let found = answer.location.as_deref().unwrap_or_default();
            match same_place(found, foreseen) {
                true => (Agreement::Agrees, format!("{words}, to {found}")),
                false => (
                    Agreement::Differs,
                    format!("{words}, to {found}; {foreseen} was foreseen"),
                ),
            }
        }
        (Some(_), None) => (Agreement::Agrees, format!("{words}, as foreseen")),
    }
}

/// A proxy names the port that it listens on, and may put its own origin before a path.
fn same_place(found: &str, foreseen: &str) -> bool {
    let target = |text: &str| {
        let rest = text.split_once("://").map(|(_, rest)| rest)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = authority.split(':').next().unwrap_or_default();
        Some((host.to_owned(), target.to_owned()))
    };
    match (target(found), target(foreseen)) {
        (Some(found), Some(foreseen)) => found == foreseen,
        (Some((_, found)), None) => found == foreseen,
        _ => found == foreseen,
    }
}
