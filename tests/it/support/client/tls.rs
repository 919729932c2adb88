//! TLS that accepts every certificate and keeps it for the test to judge.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls::{ProtocolVersion, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What the client offers in its handshake.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name asked for, or none at all.
    pub sni: Option<String>,
    /// Application protocols, best first; none means that the extension is not sent.
    pub alpn: Vec<String>,
    /// The only version offered, instead of 1.2 and 1.3.
    pub version: Option<Version>,
    /// The only kind of key that the proxy may sign with.
    pub accepts: Option<KeyKind>,
    pub certificate: Option<Arc<ClientCertificate>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Offered only to see it refused: nothing here could speak it.
    V1_1,
    V1_2,
    V1_3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Ecdsa,
    Rsa,
}

/// A certificate chain and its key, to show when the proxy asks.
#[derive(Debug)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    pub fn from_pem(chain: &str, key: &str) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("reading the client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .context("reading the key of the client certificate")?;
        Ok(ClientCertificate { chain, key })
    }
}

impl Tls {
    /// A client of HTTP/1.1 that asks for a name.
    pub fn to(name: &str) -> Tls {
        Tls {
            sni: Some(name.to_owned()),
            alpn: vec!["http/1.1".to_owned()],
            version: None,
            accepts: None,
            certificate: None,
        }
    }

    /// The same client for HTTP/2.
    pub fn http2(mut self) -> Tls {
        self.alpn = vec!["h2".to_owned()];
        self
    }

    pub(super) async fn connect(
        &self,
        mut stream: TcpStream,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        if self.version == Some(Version::V1_1) {
            return Err(offer_tls_1_1(&mut stream).await?);
        }
        let name = match &self.sni {
            Some(name) => ServerName::try_from(name.clone())
                .with_context(|| format!("`{name}` cannot be asked for by SNI"))?,
            // An address is never sent as a server name.
            None => ServerName::IpAddress(stream.peer_addr()?.ip().into()),
        };
        if self.sni.is_some() && !matches!(name, ServerName::DnsName(_)) {
            bail!("SNI cannot carry an address");
        }
        let connector = TlsConnector::from(Arc::new(self.config()?));
        Ok(connector.connect(name, stream).await?)
    }

    fn config(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.version {
            None | Some(Version::V1_1) => &[&version::TLS13, &version::TLS12],
            Some(Version::V1_2) => &[&version::TLS12],
            Some(Version::V1_3) => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate {
                provider,
                accepts: self.accepts,
            }));
        let mut config = match &self.certificate {
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        Ok(config)
    }
}

/// What a handshake settled.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The certificates of the proxy in DER, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    pub alpn: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
}

impl Handshake {
    pub(super) fn of(session: &ClientConnection) -> Handshake {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
            other => format!("{other:?}"),
        };
        Handshake {
            chain: session.peer_certificates().unwrap_or_default().to_vec(),
            alpn: session
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            version,
        }
    }
}

/// Trusts whoever holds the key of the certificate shown: the test looks at the names itself.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    accepts: Option<KeyKind>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let mut schemes = algorithms.supported_schemes();
        schemes.retain(|scheme| match self.accepts {
            None => true,
            Some(kind) => kind_of(*scheme) == Some(kind),
        });
        schemes
    }
}

fn kind_of(scheme: SignatureScheme) -> Option<KeyKind> {
    match scheme.as_str()?.split('_').next()? {
        "ECDSA" => Some(KeyKind::Ecdsa),
        "RSA" => Some(KeyKind::Rsa),
        _ => None,
    }
}

/// Sends a hello of TLS 1.1 by hand, as no library of today does, and says what came of it.
async fn offer_tls_1_1(stream: &mut TcpStream) -> anyhow::Result<anyhow::Error> {
    // Version 1.1, 32 bytes of randomness, no session; three cipher suites that were usual then
    // (ECDHE-ECDSA, ECDHE-RSA and RSA, each with AES-128-CBC and SHA-1); no compression.
    let mut hello = vec![3, 2];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    // The curve P-256, and points without compression.
    hello.extend([0, 14, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    let mut handshake = vec![1, 0];
    handshake.extend(length(&hello));
    handshake.extend(hello);
    let mut record = vec![22, 3, 1];
    record.extend(length(&handshake));
    record.extend(handshake);
    stream.write_all(&record).await?;
    let mut answer = [0; 7];
    let read = stream.read(&mut answer).await?;
    Ok(match (read, answer) {
        (0, _) => anyhow!("the connection was closed"),
        // An alert record; its second byte says what about.
        (7, [21, .., 70]) => anyhow!("alert protocol_version"),
        (7, [21, .., code]) => anyhow!("alert {code}"),
        (7, [22, ..]) => anyhow!("TLS 1.1 was accepted"),
        _ => anyhow!("an answer that is no TLS: {:?}", &answer[..read]),
    })
}
