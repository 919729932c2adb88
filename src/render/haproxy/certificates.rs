//! The list that says which name gets which certificate.

use std::fmt::Write as _;

use crate::model::Model;
use crate::model::names::{CertificateId, HostMatch};
use crate::render::bundle::RenderedRange;
use crate::render::certificate_file;

pub const LIST: &str = "certs.list";

pub struct Certificates {
    pub list: String,
    pub origins: Vec<RenderedRange>,
}

/// Served where no name of the list fits: what hosts of any name have, or else the default one.
fn defaults(model: &Model) -> Vec<&CertificateId> {
    let any = model.hosts.get(&HostMatch::Any);
    let of_any: Vec<_> = any
        .into_iter()
        .flat_map(|host| &host.certificates)
        .filter(|id| model.certificates.contains_key(id))
        .collect();
    match of_any.is_empty() {
        false => of_any,
        true => model
            .default_certificate
            .iter()
            .filter(|id| model.certificates.contains_key(id))
            .collect(),
    }
}

pub fn has_default(model: &Model) -> bool {
    !defaults(model).is_empty()
}

/// One line for each name and certificate, defaults first: a wildcard takes one label, as in hosts.
/// Names stand in the list, so what a certificate itself names does not count.
pub fn write(model: &Model) -> Certificates {
    let mut list = String::new();
    let mut origins = Vec::new();
    let mut count = 0;
    let mut line = |id: &CertificateId, name: &dyn std::fmt::Display| {
        let Some(certificate) = model.certificates.get(id) else {
            return;
        };
        count += 1;
        let _ = writeln!(list, "{} {name}", certificate_file(id));
        origins.push(RenderedRange {
            file: LIST.into(),
            first: count,
            last: count,
            origin: certificate.origin.clone(),
        });
    };
    for id in defaults(model) {
        line(id, &'*');
    }
    for (name, host) in &model.hosts {
        if *name != HostMatch::Any {
            host.certificates.iter().for_each(|id| line(id, name));
        }
    }
    Certificates { list, origins }
}
