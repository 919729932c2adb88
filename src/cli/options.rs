//! What every form of the program reads beside the manifests.

use std::net::{IpAddr, ToSocketAddrs};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use jiff::civil::Date;

use crate::api::CONTROLLER_NAME;
use crate::model::Certificate;
use crate::model::diagnostics::Diagnostic;
use crate::snapshot::{ObjectName, Snapshot};
use crate::source::stand_in::{StandIn, object_name, service_and_port, stand_in};
use crate::translate::{Classes, Memory, Options, PathSemantics, network};

/// How the model is built.
#[derive(Clone, Debug, Args)]
pub struct BuildOptions {
    /// The IngressClass that is served, whether or not an object of this name is there
    #[arg(long, default_value = "vigie", value_name = "NAME")]
    pub class: String,

    /// The controller whose IngressClasses are ours: another one for each installation of a cluster
    #[arg(long, default_value = CONTROLLER_NAME, value_name = "CONTROLLER")]
    pub controller: String,

    /// Serve the classes of this controller too, with its meaning of paths, as
    /// k8s.io/ingress-nginx (repeatable)
    #[arg(long, value_name = "CONTROLLER")]
    pub take_over: Vec<String>,

    /// Serve Ingresses that name no class, even if no class is the default one
    #[arg(long = "watch-ingress-without-class")]
    pub without_class: bool,

    /// Read the health annotations of another controller as ours
    #[arg(long, value_name = "CONTROLLER")]
    pub compat_annotations: Option<Compat>,

    /// Read all paths this way, instead of by the class's controller
    #[arg(long, value_name = "HOW")]
    pub path_semantics: Option<Semantics>,

    /// What listens there is this Service: NAMESPACE/SERVICE[:PORT]=HOST:PORT (repeatable)
    #[arg(long = "backend", value_name = "SERVICE=ADDRESS")]
    pub backends: Vec<StandIn>,

    /// The Service that takes what no route takes
    #[arg(long, value_name = "NAMESPACE/SERVICE[:PORT]", value_parser = default_backend)]
    pub default_backend: Option<(ObjectName, Option<String>)>,

    /// The Secret with the certificate that is served where no other fits
    #[arg(long, value_name = "NAMESPACE/SECRET", value_parser = secret)]
    pub default_certificate: Option<ObjectName>,

    /// Expect a PROXY protocol header at the beginning of every connection
    #[arg(long)]
    pub proxy_protocol: bool,

    /// Believe X-Forwarded-* headers of these peers: addresses or networks (repeatable)
    #[arg(long = "trusted-proxy", alias = "trusted-proxies", value_name = "CIDR", value_delimiter = ',', value_parser = trusted)]
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Semantics {
    /// As the Ingress API says
    Strict,
    /// As ingress-nginx does
    IngressNginx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Azure's Application Gateway: appgw.ingress.kubernetes.io/health-probe-…
    Agic,
}

impl BuildOptions {
    /// What `translate` reads; the certificate is one made for the occasion.
    pub fn options(&self, today: Date, default_certificate: Option<Certificate>) -> Options {
        let own = (self.controller.clone(), PathSemantics::Strict);
        let taken = self.take_over.iter();
        let taken = taken.map(|name| (name.clone(), PathSemantics::IngressNginx));
        Options {
            classes: Classes {
                name: self.class.clone(),
                controllers: std::iter::once(own).chain(taken).collect(),
                semantics: self.path_semantics.map(|semantics| match semantics {
                    Semantics::Strict => PathSemantics::Strict,
                    Semantics::IngressNginx => PathSemantics::IngressNginx,
                }),
                without_class: self.without_class,
                reads_agic: self.compat_annotations == Some(Compat::Agic),
            },
            default_backend: self.default_backend.clone(),
            default_certificate_secret: self.default_certificate.clone(),
            default_certificate,
            proxy_protocol: self.proxy_protocol,
            trusted_proxies: self.trusted_proxies.clone(),
            today,
            memory: Memory::default(),
        }
    }

    /// Asks for the addresses of all stand-ins. IPv4 goes first: most programs that are tried out
    /// listen on 127.0.0.1 only, and `localhost` is both.
    pub fn resolve_backends(&self) -> anyhow::Result<Vec<(StandIn, IpAddr)>> {
        let resolve = |stand_in: &StandIn| {
            let host = stand_in.host.as_str();
            let found = (host, stand_in.host_port)
                .to_socket_addrs()
                .with_context(|| {
                    format!("--backend {}: cannot resolve {host}", stand_in.service)
                })?;
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.sort_by_key(|address| !address.is_ipv4());
            match addresses.first() {
                Some(address) => Ok((stand_in.clone(), *address)),
                None => bail!("--backend {}: {host} has no address", stand_in.service),
            }
        };
        self.backends.iter().map(resolve).collect()
    }

    /// The snapshot with all stand-ins in place.
    pub fn stand_in(&self, snapshot: &Snapshot) -> anyhow::Result<(Snapshot, Vec<Diagnostic>)> {
        Ok(stand_in(snapshot, &self.resolve_backends()?))
    }
}

/// The current date in UTC.
pub fn today() -> Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

fn default_backend(text: &str) -> Result<(ObjectName, Option<String>), String> {
    service_and_port(text).map_err(|_| "write NAMESPACE/SERVICE[:PORT], as shop/api:80".to_owned())
}

fn secret(text: &str) -> Result<ObjectName, String> {
    object_name(text).ok_or_else(|| "write NAMESPACE/SECRET, as shop/tls".to_owned())
}

fn trusted(text: &str) -> Result<IpNet, String> {
    network(text).ok_or_else(|| "write an address or a network, as 10.0.0.0/8".to_owned())
}
