//! Runs Vigie in a cluster: snapshots in, publications and status out. One writer for each outside
//! thing, and only while this process leads; whoever follows builds all the same, so that it is warm.

pub mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Model;
use crate::model::diagnostics::Diagnostic;
use crate::render::Capabilities;
use crate::snapshot::{ObjectName, Snapshot};

/// What the latest build came to and what the proxies make of it: all that status tells of.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub snapshot: Arc<Snapshot>,
    pub model: Arc<Model>,
    pub diagnostics: Arc<[Diagnostic]>,
    /// In which build each Ingress first stood in its present generation.
    pub since: Arc<BTreeMap<ObjectName, BuildNumber>>,
    /// Every proxy that counts: one that is alive and has proven a load.
    pub proxies: Arc<[ProxyState]>,
}

/// Counts builds, from 1; a process begins anew.
pub type BuildNumber = u64;

/// What one proxy is known to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyState {
    /// The pod's name.
    pub name: String,
    pub capabilities: Capabilities,
    /// The newest build whose structure it has proven to run; None where it runs something that this
    /// process has not built.
    pub build: Option<BuildNumber>,
    /// In its own words, why it does not take what is published now.
    pub refusal: Option<String>,
}
