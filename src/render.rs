//! Model → bundle, for nginx and for HAProxy. Pure: view structs are filled here, templates only
//! print them. It must never know Kubernetes objects, nor how a model was made.
//!
//! What a proxy or its version cannot express is found by [`unsupported`], as a finding on the
//! object that asked for it; it is never left out in silence.
//!
//! [`wire`] is how a bundle travels: as objects of the cluster, and back.
//!
//! Why no trait: there are two proxies; a `match` says so and keeps the reader on the road.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod bundle;
pub mod capabilities;
pub mod haproxy;
pub mod nginx;
pub mod wire;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

pub use bundle::{Bundle, ProxyKind};
use bundle::{Content, FileName, Pool, Section};
pub use capabilities::Capabilities;

use crate::model::diagnostics::Diagnostic;
use crate::model::names::{CertificateId, UpstreamName};
use crate::model::{Endpoints, Model, Upstream};

/// Where a proxy stands: what a bundle must know of the machine that it is rendered for. Paths in a
/// bundle are relative to its directory, so the directory is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Where plain http is accepted; empty for none.
    pub http: Vec<SocketAddr>,
    /// Where https is accepted; empty for none.
    pub https: Vec<SocketAddr>,
    /// The port that clients know https by, where a redirect must name it; None is 443.
    pub https_redirect_port: Option<u16>,
    /// The agent's DNS, which nginx asks for endpoints: one address for about 250 upstreams.
    pub resolvers: Vec<SocketAddr>,
}

impl Placement {
    /// How many upstreams one resolver address serves: nginx sends all queries of a tick in one
    /// burst, and a socket's default buffer holds about 250 of them.
    pub const UPSTREAMS_PER_RESOLVER: usize = 250;

    /// How many addresses of the agent's DNS so many upstreams need.
    pub fn resolvers_for(upstreams: usize) -> usize {
        upstreams.div_ceil(Self::UPSTREAMS_PER_RESOLVER).max(1)
    }

    /// The same place in a pod, where the agent's DNS listens on loopback: on [`Self::DNS_PORT`] and
    /// those after it.
    pub fn with_resolvers(&self, upstreams: usize) -> Self {
        let ports = (Self::DNS_PORT..).take(Self::resolvers_for(upstreams));
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            resolvers: ports.map(address).collect(),
            ..self.clone()
        }
    }

    /// The first port that an agent in a pod answers DNS on.
    pub const DNS_PORT: u16 = 10053;

    /// What follows the host in a redirect to https: `:port`, or nothing where it is 443.
    fn https_port(&self) -> String {
        match self.https_redirect_port {
            None | Some(443) => String::new(),
            Some(port) => format!(":{port}"),
        }
    }
}

/// The bundle of a model for a proxy. Total: what the proxy cannot do is left out, and told by
/// [`unsupported`].
pub fn render(model: &Model, capabilities: &Capabilities, placement: &Placement) -> Bundle {
    match capabilities.proxy {
        ProxyKind::Nginx => nginx::render(model, capabilities, placement),
        ProxyKind::Haproxy => haproxy::render(model, capabilities, placement),
    }
}

/// The bundle of a model that differs from the one of `before` in nothing but endpoints of these upstreams:
/// the same as [`render`] gives.
pub fn render_endpoints(
    before: &Bundle,
    model: &Model,
    upstreams: &BTreeSet<UpstreamName>,
    capabilities: &Capabilities,
    placement: &Placement,
) -> Bundle {
    match before.proxy {
        // Ports and families of endpoints are structure there.
        ProxyKind::Nginx => nginx::render(model, capabilities, placement),
        ProxyKind::Haproxy => {
            let mut bundle = before.clone();
            for name in upstreams {
                if let (Some(held), Some(upstream)) =
                    (bundle.pools.get_mut(name), model.upstreams.get(name))
                {
                    *held = pool(upstream, held.section.take());
                }
            }
            bundle
        }
    }
}

/// Where a certificate lies in a bundle.
pub fn certificate_file(id: &CertificateId) -> FileName {
    format!("certs/{id}.pem")
}

/// The files of all certificates.
fn certificate_files(model: &Model) -> impl Iterator<Item = (FileName, Content)> {
    let certificates = model.certificates.iter();
    certificates.map(|(id, certificate)| {
        let content = Content::Private(certificate.pem.clone());
        (certificate_file(id), content)
    })
}

/// The endpoints of an upstream, to be written down as `section` says.
fn pool(upstream: &Upstream, section: Option<Section>) -> Pool {
    let (endpoints, name) = match &upstream.endpoints {
        Endpoints::Addresses(addresses) => (addresses.clone(), None),
        Endpoints::Name { name, port } => (Vec::new(), Some((name.clone(), *port))),
    };
    Pool {
        endpoints,
        name,
        section,
    }
}

/// What of a model a proxy cannot do, on the objects that ask for it.
pub fn unsupported(model: &Model, capabilities: &Capabilities) -> Vec<Diagnostic> {
    match capabilities.proxy {
        ProxyKind::Nginx => nginx::unsupported(model, capabilities),
        ProxyKind::Haproxy => haproxy::unsupported(model, capabilities),
    }
}
