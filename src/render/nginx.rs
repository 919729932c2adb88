//! Model → files for nginx 1.28 or newer.
//!
//! One `server` for each host, in `hosts/NN.conf` by a hash of its name; one `upstream` for each
//! upstream, in `upstreams/NN.conf`; canaries in `splits/N.conf`; certificates in `certs/`. A file
//! holds what falls into its bucket, so that one change rewrites one small file. `nginx.conf` names
//! each of them, because a pattern that finds nothing is no error to nginx.
//!
//! A request meets, in this order: the body limit by its declared length (nginx looks at it before
//! all rules), the redirect to https, the access list, then what the route does: refuse, redirect or
//! forward. A longer body without a declared length ends in a 413 while it is forwarded.
//!
//! No file holds an endpoint. nginx asks the agent's DNS for `<upstream>.p<port>.vigie`
//! ([`dns_zone`]), and an upstream without endpoints resolves to an address that fails at once; that
//! failure becomes a 503. A port that was never seen is a new `server` line, hence structure.
//!
//! Captures and maps: every `map` with an expression overwrites the groups of the location's own. So
//! groups are used only in a `rewrite`, which matches anew, and never stand in one string with such a
//! map's variable.

pub mod escape;

mod answers;
mod hosts;
mod limits;
mod locations;
mod revision;
mod settings;
mod sheet;
mod splits;
mod upstreams;
mod words;

use super::bundle::{self, Bundle};
use super::{Capabilities, Placement, ProxyKind, certificate_files};
use crate::model::Model;

pub use limits::unsupported;
pub use revision::{REVISION_SOCKET, revision_answer, stamp};
pub use settings::open_files;
pub use upstreams::{NO_ENDPOINT, dns_zone};

/// What nginx reads; every other file is named by this one.
pub const CONFIGURATION: &str = "nginx.conf";

/// The bundle of a model. Total: what nginx cannot do is left out or closed, as [`unsupported`] tells.
pub fn render(model: &Model, _capabilities: &Capabilities, placement: &Placement) -> Bundle {
    let mut sheets = sheet::Sheets::default();
    let upstreams = upstreams::write(model, placement, &mut sheets);
    let mut splits = splits::Splits::default();
    hosts::write(model, placement, &upstreams, &mut splits, &mut sheets);
    splits.write(&mut sheets);
    settings::write(model, placement, splits.count(), &mut sheets);

    let (mut structure, origins) = sheets.into_parts();
    structure.extend(certificate_files(model));
    let mut bundle = Bundle {
        format: bundle::FORMAT,
        proxy: ProxyKind::Nginx,
        structure,
        pools: upstreams::pools(model),
        origins: origins.into(),
    };
    stamp(&mut bundle);
    bundle
}

/// A number that changes seldom: the power of two that holds twice as many.
fn roomy(count: usize, least: usize) -> usize {
    count.saturating_mul(2).max(least).next_power_of_two()
}

#[cfg(test)]
pub(crate) mod tests;
