//! Bundles made by hand, as small as the drivers need them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::Endpoint;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};
use crate::model::names::UpstreamName;
use crate::render::bundle::{
    Bundle, Content, FORMAT, Order, Pool, ProxyKind, RenderedRange, Section, Table,
};
use crate::render::nginx::stamp;

pub fn upstream() -> UpstreamName {
    UpstreamName::new("default", "api", "80", "http")
}

pub fn web() -> Origin {
    let object = ObjectRef::new(Kind::Ingress, "default", "web");
    Origin::new(object, FieldPath::new("spec.rules[0]"))
}

fn text(text: String) -> Content {
    Content::Text(text)
}

/// Answers `body` on `/`, and sends `/api` to the pool. Whatever `line` holds stands in line 1 of
/// hosts/00.conf.
pub fn nginx(listen: SocketAddr, resolver: Option<SocketAddr>, line: &str, body: &str) -> Bundle {
    let conf = "daemon off;
worker_processes 2;
pid run/nginx.pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path run/body;
  proxy_temp_path run/proxy;
  fastcgi_temp_path run/fastcgi;
  uwsgi_temp_path run/uwsgi;
  scgi_temp_path run/scgi;
  include conf/revision.conf;
  include upstreams/*.conf;
  include hosts/*.conf;
}
";
    let conf = conf.to_owned();
    let name = upstream();
    let port = listen.port();
    let api = resolver.map(|resolver| {
        format!(
            "resolver {resolver} ipv6=off;
resolver_timeout 1s;
upstream {name} {{
  zone ups 1m;
  server {name}.p{port}.vigie:{port} resolve;
}}
"
        )
    });
    let location = api
        .as_ref()
        .map(|_| format!("location /api {{ proxy_pass http://{name}; }}"));
    let host = format!(
        "{line}\nserver {{ listen {listen}; location / {{ return 200 \"{body}\"; }} {} }}\n",
        location.unwrap_or_default(),
    );
    let mut bundle = bundle(ProxyKind::Nginx, "hosts/00.conf", host, conf, "nginx.conf");
    let upstreams = text(api.unwrap_or_default());
    bundle
        .structure
        .insert("upstreams/00.conf".into(), upstreams);
    stamp(&mut bundle);
    bundle
}

/// Answers `body` on all paths, or asks the pool where `body` is empty.
pub fn haproxy(listen: SocketAddr, line: &str, body: &str) -> Bundle {
    let revision = revision_of(line, body);
    let act = match body {
        "" => format!("default_backend {}", upstream()),
        _ => format!("http-request return status 200 content-type text/plain string \"{body}\""),
    };
    let start = format!(
        "{line}
global
  log stdout format raw daemon
  stats socket unix@run/admin.sock mode 600 level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend all
  bind {listen}
  http-request set-var(txn.r) str(revision),map_str(maps/revision.map)
  {act}
"
    );
    let revision = format!("revision {revision}\n");
    let mut bundle = bundle(
        ProxyKind::Haproxy,
        "maps/revision.map",
        String::new(),
        start,
        "haproxy.cfg",
    );
    let table = Table {
        order: Order::Any,
        text: revision,
    };
    bundle
        .structure
        .insert("maps/revision.map".into(), Content::Table(table));
    let file = "upstreams.cfg".into();
    bundle.structure.insert(file, Content::Pools);
    let section = Section {
        head: format!("backend {}", upstream()),
        before: "  server ".into(),
        after: String::new(),
    };
    bundle.pools.insert(
        upstream(),
        Pool {
            section: Some(section),
            ..pool(&[])
        },
    );
    Arc::make_mut(&mut bundle.origins)[0].file = "haproxy.cfg".into();
    bundle
}

fn bundle(proxy: ProxyKind, host: &str, lines: String, conf: String, name: &str) -> Bundle {
    Bundle {
        format: FORMAT,
        proxy,
        structure: BTreeMap::from([(name.into(), text(conf)), (host.into(), text(lines))]),
        pools: BTreeMap::from([(upstream(), pool(&[]))]),
        origins: Arc::new([RenderedRange {
            file: host.into(),
            first: 1,
            last: 1,
            origin: web(),
        }]),
    }
}

fn pool(endpoints: &[SocketAddr]) -> Pool {
    let endpoint = |a: &SocketAddr| Endpoint {
        address: a.ip(),
        port: a.port(),
    };
    Pool {
        endpoints: endpoints.iter().map(endpoint).collect(),
        name: None,
        section: None,
    }
}

pub fn with_endpoints(mut bundle: Bundle, endpoints: &[SocketAddr]) -> Bundle {
    if let Some(old) = bundle.pools.get_mut(&upstream()) {
        old.endpoints = pool(endpoints).endpoints;
    }
    bundle
}

/// What the proxy is to answer for a bundle made of these; it cannot be a digest of the text that it
/// stands in.
fn revision_of(line: &str, body: &str) -> String {
    let digest = blake3::hash(format!("{line}\n{body}").as_bytes());
    digest.to_hex().chars().take(12).collect()
}
