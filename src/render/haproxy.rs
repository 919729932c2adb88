//! Model → files for HAProxy 3.4 or newer.
//!
//! Routes are data. `haproxy.cfg` depends on listeners alone; hosts, routes and everything that a
//! route can do are lines of maps, certificates are lines of a list, and backends stand in a file of
//! their own. So whatever an Ingress asks for can later be brought in through the runtime API.
//!
//! A route's value in `maps/routes.map` is `class+flags|backend|https|hsts|id|ingress|text`. Class
//! `p` (plain) and, on https, `s` leave the rules at once; `f` walks the feature rules, where each
//! flag reads `maps/features.map` at `id/name`. [`Flag`](routes::Flag) lists the flags.
//!
//! Why features are not a second profile of backends: one upstream serves plain and other routes,
//! and would need two pools of connections; leaving the rules early costs plain routes nothing.

pub mod escape;

mod access;
mod certificates;
mod config;
mod limits;
mod maps;
mod patterns;
mod routes;
mod splits;
mod texts;
mod upstreams;

pub use upstreams::PROFILE;

use std::collections::BTreeMap;

use super::bundle::{self, Bundle, Content, Order, Table};
use super::{Capabilities, Placement, ProxyKind, certificate_files};
use crate::model::Model;
use crate::model::diagnostics::Diagnostic;

/// What HAProxy reads, in this order (`-f` each); every other file is named by these.
pub const CONFIGURATION: [&str; 2] = ["haproxy.cfg", "upstreams.cfg"];

/// The runtime API's socket, below the bundle's directory; `run` must exist and be writable.
pub const ADMIN_SOCKET: &str = "run/admin.sock";

/// Answers `GET /` with [`revision_shown`] and a line break, and `GET /metrics` for Prometheus.
pub const STATUS_SOCKET: &str = "run/status.sock";

/// Read at start, so that what the runtime API said about servers outlives a reload.
pub const SERVER_STATE: &str = "run/server-state";

/// Asked of the runtime API, it is answered with `value="<revision>"` of what the process runs.
pub const REVISION_QUESTION: &str = "get map maps/revision.map revision";

/// The map that holds the answer, and its one key.
pub const REVISION_FILE: &str = "maps/revision.map";
const REVISION_KEY: &str = "revision";

/// Names of hosts, and what is looked up with them. The other maps say what a route does.
pub const HOSTS_FILE: &str = "maps/hosts.map";
pub const ROUTES_FILE: &str = "maps/routes.map";

/// The list that says which name gets which certificate.
pub const CERTIFICATE_LIST: &str = "certs.list";

/// The bundle of a model. Total: what cannot be expressed is left out, and [`unsupported`] tells.
pub fn render(model: &Model, _capabilities: &Capabilities, placement: &Placement) -> Bundle {
    let mut maps = maps::Maps::default();
    routes::write(model, &mut maps);
    let certificates = certificates::write(model);
    let upstreams = upstreams::write(model);

    let mut structure = BTreeMap::new();
    let mut text = |name: &str, text| structure.insert(name.to_owned(), Content::Text(text));
    text(CONFIGURATION[0], config::main(model, placement));
    text(certificates::DEFAULTS, certificates.defaults);
    text(
        config::TRUSTED,
        config::trusted(&model.listeners.trusted_proxies),
    );
    let (tables, mut origins) = maps.finish();
    structure.extend(tables);
    structure.insert(CERTIFICATE_LIST.into(), certificates.list);
    structure.insert(CONFIGURATION[1].into(), Content::Pools);
    structure.extend(certificate_files(model));
    origins.extend(certificates.origins);
    origins.extend(upstreams.origins);
    origins.sort();

    let mut bundle = Bundle {
        format: bundle::FORMAT,
        proxy: ProxyKind::Haproxy,
        structure,
        pools: upstreams.pools,
        origins: origins.into(),
    };
    let text = format!("{REVISION_KEY} {}\n", bundle.revision());
    let table = Content::Table(Table {
        order: Order::Any,
        text,
    });
    bundle.structure.insert(REVISION_FILE.into(), table);
    bundle
}

/// What the process that runs this bundle answers. It is not [`Bundle::revision`], which covers the
/// file that holds this answer, too.
pub fn revision_shown(bundle: &Bundle) -> Option<&str> {
    match bundle.structure.get(REVISION_FILE)? {
        Content::Table(table) => table.text.trim_end().strip_prefix("revision "),
        _ => None,
    }
}

/// What of a model this proxy cannot do.
pub fn unsupported(model: &Model, capabilities: &Capabilities) -> Vec<Diagnostic> {
    limits::unsupported(model, capabilities)
}

#[cfg(test)]
mod tests;
