//! The table of routes: what is asked for, where it goes and whether it works.

use std::collections::BTreeSet;

use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::report::printable;
use crate::model::diagnostics::ObjectRef;
use crate::model::names::UpstreamName;
use crate::model::{Action, Endpoints, Model, Refusal, Route};

/// More rows than that are for `vigie lint`.
const ROWS: usize = 200;

/// One row; also what JSON says of a route.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    pub host: String,
    pub path: String,
    pub kind: &'static str,
    pub backend: String,
    pub endpoints: String,
    pub state: String,
}

/// Rows of a model, in its order. `aside` are the objects that the proxy refused.
pub fn rows(model: &Model, aside: &BTreeSet<ObjectRef>) -> Vec<Row> {
    let hosts = model.hosts.iter().flat_map(|(host, of)| {
        let host = host.to_string();
        of.routes.iter().map(move |route| (host.clone(), route))
    });
    let fallback = model.fallback.iter().map(|route| ("*".into(), route));
    hosts
        .chain(fallback)
        .map(|(host, route)| row(model, host, route, aside))
        .collect()
}

fn row(model: &Model, host: String, route: &Route, aside: &BTreeSet<ObjectRef>) -> Row {
    let (backend, endpoints, state) = match &route.action {
        Action::Forward(forward) => forwarded(model, &forward.split.primary),
        Action::Redirect(redirect) => {
            let state = format!("redirects ({})", redirect.code);
            (String::new(), String::new(), state)
        }
        Action::Refuse(refusal) => {
            let why = match refusal {
                Refusal::BackendNotFound => "503: no such backend",
                Refusal::GuardNotHonoured => "503: its guard is not supported",
            };
            (String::new(), String::new(), why.into())
        }
    };
    Row {
        host,
        path: route.path.to_string(),
        kind: route.path.kind(),
        backend,
        endpoints,
        state: match aside.contains(&route.origin.object) {
            true => format!("{state} (an earlier version: the proxy refuses the last)"),
            false => state,
        },
    }
}

fn forwarded(model: &Model, name: &UpstreamName) -> (String, String, String) {
    let Some(upstream) = model.upstreams.get(name) else {
        return (name.to_string(), String::new(), "503".into());
    };
    let (endpoints, state) = match &upstream.endpoints {
        Endpoints::Addresses(all) if all.is_empty() => ("0".into(), "503: no endpoint"),
        Endpoints::Addresses(all) => (all.len().to_string(), "served"),
        Endpoints::Name { name, port } => (format!("{name}:{port}"), "served"),
    };
    (upstream.label.clone(), endpoints, state.into())
}

/// The rows as text, without a line break at the end.
pub fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["HOST", "PATH", "KIND", "BACKEND", "ENDPOINTS", "STATE"]);
    for row in rows.iter().take(ROWS) {
        let kind = row.kind.to_owned();
        let cells = [
            &row.host,
            &row.path,
            &kind,
            &row.backend,
            &row.endpoints,
            &row.state,
        ];
        table.add_row(cells.map(|cell| printable(cell)));
    }
    let mut text = table.trim_fmt();
    if rows.len() > ROWS {
        text.push_str(&format!("\n and {} more", rows.len() - ROWS));
    }
    text
}
