//! A certificate that is served where no other fits. No client trusts it; it is there so that handshakes
//! succeed and answers can be seen.

use jiff::civil::Date;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::model::{Certificate, KeyKind, PrivatePem};

const NAME: &str = "vigie default certificate";

#[derive(Debug, thiserror::Error)]
#[error("cannot make the default certificate")]
pub struct SelfSignedError(#[from] rcgen::Error);

/// A certificate of a new key, good for a year.
pub fn self_signed(today: Date) -> Result<Certificate, SelfSignedError> {
    let not_after = today.saturating_add(jiff::Span::new().years(1));
    let moment =
        |date: Date| date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.not_before = moment(today.saturating_sub(jiff::Span::new().days(1)));
    params.not_after = moment(not_after);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let pem = certificate.pem() + &key.serialize_pem();
    let object = ObjectRef::new(Kind::Option, "", "default-certificate");
    Ok(Certificate {
        pem: PrivatePem::new(pem.replace("\r\n", "\n")),
        key: KeyKind::Ecdsa,
        names: Vec::new(),
        not_after,
        origin: Origin::new(object, FieldPath::default()),
    })
}

/// Whether two thirds of the life of one that ends then are over.
pub fn is_due(not_after: Date, today: Date) -> bool {
    today >= not_after.saturating_sub(jiff::Span::new().months(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_chain_and_a_key_without_blank_lines() {
        let made = self_signed(jiff::civil::date(2026, 2, 28)).unwrap();
        let text = made.pem.reveal();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(text.contains("\n-----BEGIN PRIVATE KEY-----\n"));
        assert!(!text.contains("\n\n") && !text.contains('\r'));
        assert_eq!(made.not_after, jiff::civil::date(2027, 2, 28));
    }

    #[test]
    fn it_is_to_be_made_anew_at_two_thirds_of_its_life() {
        let made = self_signed(jiff::civil::date(2026, 2, 28)).unwrap();
        let due = |month, day| is_due(made.not_after, jiff::civil::date(2026, month, day));
        assert!(!due(2, 28) && !due(10, 27));
        assert!(due(10, 28) && due(12, 31));
    }
}
