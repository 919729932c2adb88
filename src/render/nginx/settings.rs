//! `nginx.conf` and what it has for every host: sizes that follow from how much there is, what is
//! known of a client, and the access log.

use std::net::SocketAddr;

use askama::Template;
use ipnet::IpNet;

use super::sheet::{Sheets, print};
use super::{CONFIGURATION, Placement, roomy, upstreams};
use crate::model::names::{CertificateId, HostMatch};
use crate::model::{BodyLimit, Model, Timeouts};
use crate::render::bundle::{Bundle, Content};

#[derive(Template)]
#[template(path = "nginx/nginx.conf")]
struct NginxConf<'a> {
    connections: usize,
    open_files: usize,
    names_max_size: usize,
    names_bucket_size: usize,
    variables_max_size: usize,
    body_limit: u64,
    timeouts: Seconds,
    certificates_max: usize,
    default_certificate: Option<&'a CertificateId>,
    resolvers: &'a [SocketAddr],
    zone_megabytes: usize,
    includes: Vec<String>,
}

#[derive(Template)]
#[template(path = "nginx/request.conf")]
struct RequestConf {
    proxy_protocol: bool,
    /// Peers that say who the client is.
    believed: Vec<IpNet>,
    /// Peers whose headers of the request itself are believed.
    trusted: Vec<IpNet>,
}

#[derive(Template)]
#[template(path = "nginx/log.conf")]
struct LogConf;

/// Time-outs in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds {
    pub connect: u64,
    pub read: u64,
    pub send: u64,
}

impl Seconds {
    pub fn of(timeouts: &Timeouts) -> Self {
        // nginx's times are 32 bits of milliseconds; 0 would mean at once.
        let seconds = |duration: std::time::Duration| duration.as_secs().clamp(1, 2_000_000);
        Self {
            connect: seconds(timeouts.connect),
            read: seconds(timeouts.read),
            send: seconds(timeouts.send),
        }
    }
}

/// Octets for `client_max_body_size`, where 0 is no limit; a limit of nothing at all is one octet.
pub fn octets(limit: &BodyLimit) -> u64 {
    match limit.octets {
        None => 0,
        Some(octets) => octets.clamp(1, i64::MAX as u64),
    }
}

/// The default certificate, where the model holds it.
pub fn default_certificate(model: &Model) -> Option<&CertificateId> {
    let id = model.default_certificate.as_ref()?;
    model.certificates.contains_key(id).then_some(id)
}

/// To be called when all other files are written: they are named here.
pub fn write(model: &Model, placement: &Placement, splits: usize, sheets: &mut Sheets) {
    let upstreams = model.upstreams.len();
    let connections = upstreams::connections(upstreams);
    let includes = sheets.names();
    let text = print(&NginxConf {
        connections,
        open_files: connections + 1024,
        names_max_size: roomy(model.hosts.len(), 512),
        names_bucket_size: names_bucket_size(model),
        // Each split has a few variables of its own.
        variables_max_size: roomy(splits * 4, 2048),
        body_limit: octets(&BodyLimit::default()),
        timeouts: Seconds::of(&Timeouts::default()),
        // Each file is kept twice, as chain and as key.
        certificates_max: roomy(model.certificates.len() * 2, 64),
        default_certificate: default_certificate(model),
        resolvers: upstreams::resolvers(placement),
        zone_megabytes: upstreams::zone_megabytes(model),
        includes: with_revision(includes),
    });
    sheets.file(CONFIGURATION).add(&text);
    sheets
        .file("conf/request.conf")
        .add(&print(&request(model)));
    sheets.file("conf/log.conf").add(&print(&LogConf));
}

/// How many files a worker of this bundle is to be able to open.
pub fn open_files(bundle: &Bundle) -> Option<u64> {
    let Some(Content::Text(text)) = bundle.structure.get(CONFIGURATION) else {
        return None;
    };
    let (_, rest) = text.split_once("worker_rlimit_nofile ")?;
    rest.split_once(';')?.0.parse().ok()
}

fn with_revision(mut includes: Vec<String>) -> Vec<String> {
    includes.insert(0, super::revision::FILE.to_owned());
    includes
}

fn request(model: &Model) -> RequestConf {
    let listeners = &model.listeners;
    let mut networks: Vec<IpNet> = listeners.trusted_proxies.iter().map(IpNet::trunc).collect();
    networks.sort();
    networks.dedup();
    let (believed, trusted) = match (listeners.proxy_protocol, networks.is_empty()) {
        // The peer speaks for the connection, not for the headers that pass through it.
        (true, false) => (networks, Vec::new()),
        (true, true) => (everybody(), Vec::new()),
        (false, _) => (networks.clone(), networks),
    };
    RequestConf {
        proxy_protocol: listeners.proxy_protocol,
        believed,
        trusted,
    }
}

fn everybody() -> Vec<IpNet> {
    let v4 = ipnet::Ipv4Net::default().into();
    let v6 = ipnet::Ipv6Net::default().into();
    vec![v4, v6]
}

/// A bucket holds at least the longest name with its overhead, or nginx does not start. Only exact
/// names are in the hash.
fn names_bucket_size(model: &Model) -> usize {
    let lengths = model.hosts.keys().map(|host| match host {
        HostMatch::Exact(name) => name.as_str().len(),
        HostMatch::Wildcard(_) | HostMatch::Any => 0,
    });
    let longest = lengths.max().unwrap_or(0);
    // A pointer, a length and padding; and a pointer that ends the bucket. Room for four, or nginx
    // finds no good hash for many names and warns.
    (4 * (longest + 32)).next_power_of_two()
}
