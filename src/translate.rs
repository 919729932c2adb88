//! Snapshot → model and findings, in one pass. Pure and total: no clock, no disk, no error; a user's
//! mistake is a finding on that object, and no other object's routes change by it. It must never
//! know a proxy.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

// In the order of a build.
mod quarantine;
mod memo;
mod class;
mod annotations;
mod tls;
mod ingress;
mod routes;
mod policy;
mod auth;
mod action;
mod service;
mod slices;
mod canary;
mod tallies;
mod endpoints;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::model::diagnostics::{Code, Diagnostic, Severity};
use crate::model::names::CertificateId;
use crate::model::{Certificate, Listeners, Model};
use crate::snapshot::{Evidence, ObjectName, Snapshot};

pub use annotations::{Annotation, Handling, TABLE as ANNOTATIONS};
use class::Claimed;
pub use endpoints::{NewEndpoints, new_endpoints};
use ingress::Entry;
pub use memo::Memo;
pub use quarantine::{Quarantine, Refused};
use routes::Routes;
use service::Upstreams;
pub use tallies::tallies;
pub use tls::{certificate as certificate_of_pem, of_secret as certificate_of_secret};

/// That an object is missing is no more than a warning of manifests, where it usually is applied from
/// elsewhere: certificates and passwords, classes, and slices that somebody writes.
const ELSEWHERE: [Code; 4] = [Code::RH206, Code::RH210, Code::RH216, Code::RH418];

/// What a build reads beside the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub classes: Classes,
    /// Takes what no route takes, where no Ingress's own default backend does: a Service and its port
    /// (None: its only port).
    pub default_backend: Option<(ObjectName, Option<String>)>,
    /// The Secret of the certificate that is served where no other fits.
    pub default_certificate_secret: Option<ObjectName>,
    /// Served where no other certificate fits and that Secret cannot be used either.
    pub default_certificate: Option<Certificate>,
    /// Every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The current date in UTC, for certificates.
    pub today: Date,
    pub memory: Memory,
}

impl Options {
    /// One class by its name, and for all else what holds where nothing is said.
    pub fn of_class(name: &str, today: Date) -> Self {
        Self {
            classes: Classes {
                name: name.to_owned(),
                controllers: Vec::new(),
                semantics: None,
                without_class: false,
                reads_agic: false,
            },
            default_backend: None,
            default_certificate_secret: None,
            default_certificate: None,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            today,
            memory: Memory::default(),
        }
    }
}

/// Reads an address or a network; what lies beyond a network's prefix is nothing of it.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>();
    let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc())
}

/// Which Ingresses are ours, and how their paths are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The class served by name, whether or not an IngressClass object of that name exists.
    pub name: String,
    /// Controller strings whose classes are served, with the meaning of paths in them.
    pub controllers: Vec<(String, PathSemantics)>,
    /// Where set, holds for every class instead of what its controller string says.
    pub semantics: Option<PathSemantics>,
    /// Ingresses without any class are served even where no class is the default one.
    pub without_class: bool,
    /// Health annotations of Azure's Application Gateway controller are read as ours.
    pub reads_agic: bool,
}

/// How paths and regular expressions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSemantics {
    /// As the Ingress API says.
    Strict,
    /// As ingress-nginx does.
    IngressNginx,
}

/// What earlier builds and proxies left to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The last certificate of a Secret that could be used: it stays in use while the Secret cannot.
    pub certificates: BTreeMap<ObjectName, Certificate>,
    /// Objects that a proxy refused.
    pub quarantine: Quarantine,
}

/// What a build gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    pub model: Model,
    /// Sorted, without duplicates.
    pub diagnostics: Vec<Diagnostic>,
    pub memory: Memory,
}

/// Builds the model of a snapshot.
pub fn translate(snapshot: &Snapshot, options: &Options) -> Translation {
    translate_with(snapshot, options, &mut Memo::default())
}

/// The same; what `memo` has of earlier builds is not made again.
pub fn translate_with(snapshot: &Snapshot, options: &Options, memo: &mut Memo) -> Translation {
    let quarantine = options.memory.quarantine.pruned(snapshot);
    let (snapshot, mut findings) = quarantine.apply(snapshot);
    let snapshot = snapshot.as_ref();
    let mut upstreams = Upstreams::new(snapshot);

    let claimed = class::claim(snapshot, &options.classes, &mut findings);
    findings.extend(
        claimed
            .iter()
            .flat_map(|claimed| auth::check(snapshot, claimed)),
    );
    let certificates = &mut memo.certificates;
    let mut tls = tls::tls(
        snapshot,
        options,
        &quarantine,
        &claimed,
        certificates,
        &mut findings,
    );
    let (canaries, mains): (Vec<&Claimed<'_>>, Vec<&Claimed<'_>>) =
        claimed.iter().partition(|c| c.settings.canary.enabled);

    let entries: Vec<Vec<Entry<'_>>> = mains
        .iter()
        .map(|claimed| ingress::entries(claimed, &mut findings))
        .collect();
    let mut routes = Routes::new(&tls, &mut memo.regexes, entries.iter().flatten());
    for of_ingress in &entries {
        for entry in of_ingress {
            routes.add(entry, &mut upstreams, &mut findings);
        }
        policy::advise_redirect_loop(options, &tls, of_ingress, &mut findings);
    }
    for canary in canaries {
        for entry in ingress::entries(canary, &mut findings) {
            canary::add(&entry, &mut routes, &mut upstreams, &mut findings);
        }
    }
    for of_ingress in &entries {
        routes.add_app_root(of_ingress, &mut findings);
        of_ingress
            .iter()
            .for_each(|entry| routes.add_trailing_slash(entry));
    }
    let mut fallback = None;
    for claimed in mains {
        // Rules that cannot be read are rules all the same: a default backend beside them is theirs.
        if ingress::has_rules(claimed) {
            routes.add_default(claimed, &mut upstreams, &mut findings);
        } else if let Some(route) = routes.alone(claimed, &mut upstreams, &mut findings) {
            routes::hold_fallback(&mut fallback, route, &mut findings);
        }
    }
    let fallback =
        fallback.or_else(|| routes::class_default(options, &mut upstreams, &mut findings));

    let hosts = Arc::new(routes.finish());
    let (built, from_slices) = upstreams.finish();
    memo.from_slices = from_slices;
    let default_certificate = tls.default_certificate(
        snapshot,
        options,
        &quarantine,
        &mut memo.certificates,
        &mut findings,
    );
    let (mut certificates, mut memory) = (tls.certificates, tls.memory);
    let default_certificate = default_certificate.map(|certificate| {
        let id = CertificateId::default_certificate();
        certificates.insert(id.clone(), certificate);
        id
    });
    memory.quarantine = quarantine;
    memo.forget_unused();
    if snapshot.evidence == Evidence::Manifests {
        let elsewhere = |found: &&mut Diagnostic| ELSEWHERE.contains(&found.code);
        for found in findings.iter_mut().filter(elsewhere) {
            found.severity = found.severity.max(Severity::Warning);
        }
    }
    findings.sort();
    findings.dedup();
    Translation {
        model: Model {
            listeners: Listeners {
                proxy_protocol: options.proxy_protocol,
                trusted_proxies: options.trusted_proxies.clone(),
            },
            hosts,
            fallback,
            upstreams: built,
            certificates,
            default_certificate,
        },
        diagnostics: findings,
        memory,
    }
}
