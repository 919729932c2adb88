//! A proxy under an agent, with bundles as they are rendered from models.

use std::os::unix::fs::PermissionsExt;

use super::proxies::get;
use super::*;
use crate::agent::dns;
use crate::agent::driver::Output;
use crate::agent::haproxy::Haproxy;
use crate::agent::nginx::Nginx;
use crate::agent::resolve::NameProblem;
use crate::model::{Endpoints, Model};
use crate::render::bundle::ProxyKind;
use crate::render::nginx::tests::builders::{add, forward, prefix, upstream, upstream_name};
use crate::render::{Capabilities, Placement, render};

pub struct Served {
    pub running: Running,
    pub http: SocketAddr,
    pub root: PathBuf,
    pub dns: dns::Server,
    /// Where http is accepted too.
    pub also: Vec<SocketAddr>,
    pub problems: mpsc::UnboundedReceiver<NameProblem>,
    proxy: ProxyKind,
    _temporary: tempfile::TempDir,
}

impl Served {
    pub async fn nginx(line: &str) -> Self {
        Self::new(line, AT_ONCE, ResolveOptions::default()).await
    }

    /// `line` is that of a proxy in the cache, or a program that is to be run for nginx.
    pub async fn new(line: &str, pace: Pace, resolve: ResolveOptions) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self::within(temporary, line, pace, resolve).await
    }

    pub async fn within(
        temporary: tempfile::TempDir,
        line: &str,
        pace: Pace,
        resolve: ResolveOptions,
    ) -> Self {
        let root = temporary.path().join("agent");
        let directory = Directory::open(&root).unwrap();
        let (zones, mut dns) = dns::server();
        dns.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (sender, problems) = mpsc::unbounded_channel();
        let resolver = Resolver::start(resolve, sender);
        let output = Output::default();
        let proxy = match line.starts_with("haproxy") {
            true => ProxyKind::Haproxy,
            false => ProxyKind::Nginx,
        };
        let running = match proxy {
            ProxyKind::Haproxy => {
                let driver = Haproxy::new(binary(line, "haproxy"), &directory, output);
                Running::resolving(driver, directory, pace, resolver)
            }
            ProxyKind::Nginx => {
                let program = match line.starts_with('/') {
                    true => line.into(),
                    false => binary(line, "nginx"),
                };
                let driver = Nginx::new(program, &directory, output, zones);
                Running::resolving(driver, directory, pace, resolver)
            }
        };
        Self {
            running,
            http: free_address(),
            root,
            dns,
            also: Vec::new(),
            problems,
            proxy,
            _temporary: temporary,
        }
    }

    pub fn bundle(&self, model: &Model) -> Bundle {
        let placement = Placement {
            http: [self.http].into_iter().chain(self.also.clone()).collect(),
            https: Vec::new(),
            https_redirect_port: None,
            resolvers: self.dns.addresses().to_vec(),
        };
        render(model, &Capabilities::assumed(self.proxy), &placement)
    }

    pub async fn load(&mut self, model: &Model) -> Load {
        let bundle = self.bundle(model);
        self.running.send(&bundle);
        let load = self.running.next().await;
        assert_eq!(load.revision, bundle.revision());
        load
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path).await.expect("no answer")
    }
}

/// One route for all hosts and paths, to endpoints.
pub fn to(endpoints: &[SocketAddr]) -> Model {
    let mut model = Model::default();
    add(&mut model, "", prefix("/"), forward("up"));
    let texts: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    model
        .upstreams
        .insert(upstream_name("up"), upstream(&texts));
    model
}

/// The same, and another host, whose name is structure.
pub fn with_host(mut model: Model, host: &str) -> Model {
    add(&mut model, host, prefix("/"), forward("other"));
    model
}

/// The same route, to a name of the outer world.
pub fn to_name(name: &str, port: u16) -> Model {
    let mut model = to(&[]);
    let name = name.parse().unwrap();
    let up = model.upstreams.get_mut(&upstream_name("up")).unwrap();
    up.endpoints = Endpoints::Name { name, port };
    up.port = None;
    model
}

/// A program that does something before it becomes nginx.
pub fn nginx_after(line: &str, directory: &std::path::Path, commands: &str) -> PathBuf {
    let path = directory.join("nginx");
    let nginx = binary(line, "nginx");
    let script = format!("#!/bin/sh\n{commands} {} \"$@\"\n", nginx.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}
