//! PEM text → a certificate that a proxy can load: chain in order, key that belongs to it, all
//! encoded again, so that nothing of a user's text but the decoded octets reaches a file.

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::model::{Certificate, KeyKind, PrivatePem};
use crate::snapshot::ObjectName;

/// More than any chain in use; keeps a hostile Secret small.
const LONGEST_CHAIN: usize = 16;

/// Reads chain and key. The error is a sentence without the object's name.
pub fn certificate(name: &ObjectName, chain: &[u8], key: &[u8]) -> Result<Certificate, String> {
    let ders = chain_of(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        "tls.key holds no private key in PEM (an encrypted one cannot be used)".to_owned()
    })?;
    let public = public_key(&key)?;
    let parsed: Vec<X509Certificate<'_>> = ders
        .iter()
        .map(|der| match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(certificate),
            Err(_) => Err("tls.crt holds something that is no X.509 certificate".to_owned()),
        })
        .collect::<Result<_, _>>()?;
    let leaf = parsed
        .iter()
        .position(|c| c.public_key().raw == public.as_slice())
        .ok_or("tls.crt and tls.key do not belong together")?;
    let order = order(&parsed, leaf);
    let leaf = &parsed[leaf];
    let not_after = date(leaf.validity().not_after.timestamp())?;
    let chain = order.iter().map(|&i| ders[i].as_ref());
    Ok(Certificate {
        pem: encode(chain, &key),
        key: kind(leaf)?,
        names: names(leaf),
        not_after,
        origin: Origin::new(
            ObjectRef::new(Kind::Secret, &name.namespace, &name.name),
            FieldPath::new("data[tls.crt]"),
        ),
    })
}

fn chain_of(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(text) {
        chain.push(der.map_err(|_| "tls.crt is not PEM".to_owned())?);
        if chain.len() > LONGEST_CHAIN {
            return Err(format!(
                "tls.crt holds more than {LONGEST_CHAIN} certificates"
            ));
        }
    }
    if chain.is_empty() {
        return Err("tls.crt holds no certificate in PEM".into());
    }
    Ok(chain)
}

/// The public key (SubjectPublicKeyInfo) that belongs to a private one.
fn public_key(key: &PrivateKeyDer<'_>) -> Result<Vec<u8>, String> {
    let key = rustls::crypto::ring::sign::any_supported_type(key).map_err(|_| {
        "tls.key is of a kind that cannot be used; RSA of 2048 bits or more, ECDSA P-256 and P-384, and Ed25519 can".to_owned()
    })?;
    let public = key
        .public_key()
        .ok_or("the public part of tls.key cannot be found")?;
    Ok(public.as_ref().to_vec())
}

/// The leaf, then each certificate's issuer, as TLS wants them; what does not belong is left out.
fn order(chain: &[X509Certificate<'_>], leaf: usize) -> Vec<usize> {
    let mut order = vec![leaf];
    let mut last = &chain[leaf];
    while last.issuer().as_raw() != last.subject().as_raw() {
        let issuer = chain
            .iter()
            .enumerate()
            .find(|(i, c)| !order.contains(i) && c.subject().as_raw() == last.issuer().as_raw());
        let Some((next, certificate)) = issuer else {
            break;
        };
        order.push(next);
        last = certificate;
    }
    order
}

fn kind(leaf: &X509Certificate<'_>) -> Result<KeyKind, String> {
    // RFC 5480, RFC 8017, RFC 8410.
    match leaf
        .public_key()
        .algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        "1.2.840.10045.2.1" => Ok(KeyKind::Ecdsa),
        "1.2.840.113549.1.1.1" => Ok(KeyKind::Rsa),
        "1.3.101.112" => Ok(KeyKind::Ed25519),
        _ => Err("its key is neither RSA nor ECDSA nor Ed25519".into()),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let mut names: Vec<String> = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn date(seconds: i64) -> Result<Date, String> {
    let moment = Timestamp::from_second(seconds).map_err(|_| "its end lies outside of time")?;
    Ok(moment.to_zoned(TimeZone::UTC).date())
}

/// Chain and key in one text with line feeds only.
fn encode<'c>(chain: impl Iterator<Item = &'c [u8]>, key: &PrivateKeyDer<'_>) -> PrivatePem {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let mut text = String::new();
    for der in chain {
        text.push_str(&pem::encode_config(&Pem::new("CERTIFICATE", der), config));
    }
    text.push_str(&pem::encode_config(
        &Pem::new(label, key.secret_der()),
        config,
    ));
    PrivatePem::new(text)
}
