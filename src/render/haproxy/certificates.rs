//! Lists that say which name gets which certificate.

use std::fmt::Write as _;

use super::CERTIFICATE_LIST;
use crate::model::Model;
use crate::model::names::{CertificateId, HostMatch};
use crate::render::bundle::{Content, Order, RenderedRange, Table};
use crate::render::certificate_file;

/// Certificates that are served where no name of the other list fits. HAProxy cannot change these as
/// it runs, so they have a file of their own.
pub const DEFAULTS: &str = "defaults.list";

pub struct Certificates {
    pub defaults: String,
    pub list: Content,
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

/// One line for each name and certificate: a wildcard takes one label, as in hosts. Names stand in
/// the list, so what a certificate itself names does not count.
pub fn write(model: &Model) -> Certificates {
    let mut lists = Lists {
        model,
        origins: Vec::new(),
    };
    let any: Vec<_> = defaults(model).into_iter().map(|id| (id, "*")).collect();
    let hosts = model
        .hosts
        .iter()
        .filter(|(name, _)| **name != HostMatch::Any);
    let named = hosts.flat_map(|(name, host)| host.certificates.iter().map(move |id| (id, name)));
    Certificates {
        defaults: lists.print(DEFAULTS, any),
        list: Content::Table(Table {
            order: Order::First,
            text: lists.print(CERTIFICATE_LIST, named),
        }),
        origins: lists.origins,
    }
}

struct Lists<'a> {
    model: &'a Model,
    origins: Vec<RenderedRange>,
}

impl Lists<'_> {
    fn print<'a>(
        &mut self,
        file: &str,
        lines: impl IntoIterator<Item = (&'a CertificateId, impl std::fmt::Display)>,
    ) -> String {
        let mut text = String::new();
        let mut count = 0;
        for (id, name) in lines {
            let Some(certificate) = self.model.certificates.get(id) else {
                continue;
            };
            count += 1;
            let _ = writeln!(text, "{} {name}", certificate_file(id));
            self.origins.push(RenderedRange {
                file: file.into(),
                first: count,
                last: count,
                origin: certificate.origin.clone(),
            });
        }
        text
    }
}
