//! One `server` for each host, and one that takes every other name.

use std::net::SocketAddr;

use askama::Template;

use super::Placement;
use super::answers::Context;
use super::locations;
use super::settings::default_certificate;
use super::sheet::{Sheet, Sheets, print};
use super::splits::Splits;
use super::upstreams::Written;
use super::words::{Comment, Literal, as_pattern};
use crate::model::names::{CertificateId, HostMatch};
use crate::model::{Host, Model};

#[derive(Template)]
#[template(path = "nginx/server.conf")]
struct ServerConf<'a> {
    title: Comment,
    name: ServerName<'a>,
    http: &'a [SocketAddr],
    https: &'a [SocketAddr],
    is_default: bool,
    proxy_protocol: bool,
    certificates: Vec<&'a CertificateId>,
    /// All others are rejected, because there is no default certificate.
    accepts_handshake: bool,
}

enum ServerName<'a> {
    Exact(&'a str),
    Wildcard(Literal),
    Any,
}

/// Closes a `server`.
#[derive(Template)]
#[template(path = "nginx/end.conf")]
struct EndConf {
    forwards: bool,
}

/// The file of the server that takes what no other does.
const CATCH_ALL: &str = "hosts/default.conf";

pub fn write(
    model: &Model,
    placement: &Placement,
    upstreams: &Written,
    splits: &mut Splits,
    sheets: &mut Sheets,
) {
    if placement.http.is_empty() && placement.https.is_empty() {
        // Without a `listen`, a server would take port 80.
        return;
    }
    let nothing = Host {
        certificates: Vec::new(),
        routes: Vec::new(),
    };
    let catch_all =
        (!model.hosts.contains_key(&HostMatch::Any)).then_some((&HostMatch::Any, &nothing));
    for (name, host) in model.hosts.iter().chain(catch_all) {
        let shown = name.to_string();
        let mut context = Context {
            host: &shown,
            https_port: placement.https_port(),
            fallback: model.fallback.as_ref(),
            upstreams,
            splits,
        };
        let mut sheet = Sheet::default();
        let head = print(&head(name, host, model, placement));
        if head.is_empty() {
            continue;
        }
        sheet.add(&head);
        let mut forwards = false;
        for place in locations::of(host) {
            let (location, route) = context.location(&place);
            let text = print(&location);
            match route {
                Some(route) => sheet.add_of(&text, &route.origin),
                None => sheet.add(&text),
            }
            forwards |= location.forwards();
        }
        sheet.add(&print(&EndConf { forwards }));
        let origin = host.routes.first().map(|route| &route.origin);
        sheets.file(&file(name)).add_sheet_of(sheet, origin);
    }
}

fn head<'a>(
    name: &'a HostMatch,
    host: &'a Host,
    model: &'a Model,
    placement: &'a Placement,
) -> ServerConf<'a> {
    let certificates = host.certificates.iter();
    let certificates: Vec<_> = certificates
        .filter(|id| model.certificates.contains_key(id))
        .collect();
    ServerConf {
        title: Comment::new(&name.to_string()),
        name: match name {
            HostMatch::Exact(name) => ServerName::Exact(name.as_str()),
            HostMatch::Wildcard(rest) => {
                ServerName::Wildcard(Literal::new(&as_pattern(rest.as_str())))
            }
            HostMatch::Any => ServerName::Any,
        },
        http: &placement.http,
        https: &placement.https,
        is_default: *name == HostMatch::Any,
        proxy_protocol: model.listeners.proxy_protocol,
        accepts_handshake: !certificates.is_empty() && default_certificate(model).is_none(),
        certificates,
    }
}

/// 256 buckets hold some forty hosts each where there are ten thousand.
fn file(name: &HostMatch) -> String {
    match name {
        HostMatch::Any => CATCH_ALL.into(),
        name => {
            let digest = blake3::hash(name.to_string().as_bytes()).to_hex();
            let bucket: String = digest.chars().take(2).collect();
            format!("hosts/{bucket}.conf")
        }
    }
}
