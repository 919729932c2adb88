//! A translation with all that is known beside it, as statuses are made of: without proxies and at no
//! moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::conditions::{Seen, Subject, ingress_ref};
use crate::diagnose;
use crate::model::Model;
use crate::model::diagnostics::Diagnostic;
use crate::model::names::UpstreamName;
use crate::model::tally::Tally;
use crate::snapshot::{Evidence, Snapshot};

/// What objects alone decide.
pub fn seen<'a>(
    snapshot: &'a Snapshot,
    model: &'a Model,
    diagnostics: &'a [Diagnostic],
    tallies: BTreeMap<UpstreamName, Tally>,
    behind: diagnose::Findings,
) -> Seen<'a> {
    let subjects = snapshot.ingresses.iter().map(|(name, ingress)| {
        let since = None;
        let subject = Subject { ingress, since };
        (ingress_ref(&name.namespace, &name.name), subject)
    });
    Seen {
        model,
        diagnostics,
        ingresses: subjects.collect(),
        tallies,
        behind,
        sees_pods: snapshot.evidence != Evidence::Hidden,
        proxies: Vec::new(),
        now: Timestamp::UNIX_EPOCH,
        trust_until: None,
    }
}
