//! Snapshot → model and findings, in one pass. Pure and total: no clock, no disk, no error; a user's
//! mistake is a finding on that object, and no other object's routes change by it. It must never
//! know a proxy.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::model::diagnostics::Diagnostic;
use crate::model::{Certificate, Model};
use crate::snapshot::{ObjectName, Snapshot};

/// What a build reads beside the snapshot.
#[derive(Clone, Debug)]
pub struct Options {
    pub classes: Classes,
    /// Takes what no route takes, where no Ingress's own default backend does: a Service and its port
    /// (None: its only port).
    pub default_backend: Option<(ObjectName, Option<String>)>,
    /// Served where no other certificate fits.
    pub default_certificate: Option<Certificate>,
    /// Every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The current date in UTC, for certificates.
    pub today: Date,
    pub memory: Memory,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The last certificate of a Secret that could be used: it stays in use while the Secret cannot.
    pub certificates: BTreeMap<ObjectName, Certificate>,
}

/// What a build gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    pub model: Model,
    /// Sorted, without duplicates.
    pub diagnostics: Vec<Diagnostic>,
    pub memory: Memory,
}

/// Builds the model of a snapshot.
pub fn translate(_snapshot: &Snapshot, options: &Options) -> Translation {
    Translation {
        model: Model::default(),
        diagnostics: Vec::new(),
        memory: options.memory.clone(),
    }
}
