//! TLS that accepts every certificate and keeps it for the test to judge.

use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls::{ProtocolVersion, SupportedProtocolVersion, version};
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
    pub certificate: Option<Arc<ClientCertificate>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1_2,
    V1_3,
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
            certificate: None,
        }
    }

    /// The same client for HTTP/2.
    pub fn http2(mut self) -> Tls {
        self.alpn = vec!["h2".to_owned()];
        self
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
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
            None => &[&version::TLS13, &version::TLS12],
            Some(Version::V1_2) => &[&version::TLS12],
            Some(Version::V1_3) => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
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
struct AnyCertificate(Arc<CryptoProvider>);

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
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
