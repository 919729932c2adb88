//! Holds one answer against what was wanted, and words every difference.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::words::Pattern;
use super::{CertificateWanted, Wanted};
use crate::support::client::Response;
use crate::support::client::http2::Unary;
use crate::support::echo::Report;

/// An answer, and what only the client could see of how it came.
#[derive(Debug)]
pub struct Seen {
    pub response: Response,
    /// Whether every piece of a streamed body came back before the next one was sent.
    pub at_once: Option<bool>,
}

/// What an answer is compared with besides the expectation itself.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Who answered the request before this one, and over which connection.
    pub previous: Option<(SocketAddr, u64)>,
    /// The certificate that a stranger's name gets.
    pub default_certificate: Option<CertificateDer<'static>>,
}

/// Every difference between the wanted and the seen; none is good.
pub fn complaints(wanted: &Wanted, seen: &Seen, surroundings: &Surroundings) -> Vec<String> {
    let mut complaints = Complaints::default();
    let response = &seen.response;
    complaints.same("status", wanted.status, response.status);
    for (name, values) in &wanted.headers.0 {
        let all: Vec<&str> = response.values(name).collect();
        complaints.values(&format!("header {name}"), values.as_deref(), &all);
    }
    if let Some(pattern) = &wanted.body
        && !pattern.is_in(&response.text())
    {
        complaints.add("body", format!("{pattern} in it"), "it is shown below");
    }
    complaints.same("body-bytes", wanted.body_bytes, response.body.len());
    if let Some(status) = &wanted.grpc_status {
        match Unary::of(response.clone()) {
            Ok(call) => complaints.same("grpc-status", Some(status), &call.status),
            Err(error) => complaints.add("grpc-status", status, error),
        }
    }
    complaints.same("streamed", wanted.streamed, seen.at_once == Some(true));
    let times = [
        ("body-starts", wanted.body_starts, response.body_started),
        ("takes", wanted.takes, response.took),
    ];
    for (what, span, time) in times {
        if let Some(span) = span.filter(|span| !span.contains(time)) {
            complaints.add(what, span, format!("{time:?}"));
        }
    }
    if wanted.tls.is_some() {
        let version = response.tls.as_ref().map(|tls| tls.version.as_str());
        complaints.same("tls", wanted.tls.as_deref(), version.unwrap_or("none"));
    }
    if let Some(wanted) = &wanted.certificate {
        certificate(&mut complaints, wanted, response, surroundings);
    }
    backend(&mut complaints, wanted, response.report(), surroundings);
    complaints.0
}

/// What the backend reported, or that there must be no such report.
fn backend(
    complaints: &mut Complaints,
    wanted: &Wanted,
    report: Option<Report>,
    surroundings: &Surroundings,
) {
    let Some(report) = report else {
        if wanted.needs_backend() {
            let name = wanted.backend.clone().flatten();
            let name = name.unwrap_or_else(|| "one that answers".to_owned());
            complaints.add("backend", name, "none: the proxy answered by itself");
        }
        return;
    };
    match &wanted.backend {
        Some(Some(name)) if *name != report.backend => {
            complaints.same("backend", Some(name), &report.address.to_string());
        }
        Some(None) => complaints.add("backend", "none", report.address),
        _ => {}
    }
    let here = (report.address, report.connection);
    if let Some((address, connection)) = surroundings.previous {
        let same = address == here.0;
        complaints.same("same-backend", wanted.same_backend, same);
        let same = same && connection == here.1;
        complaints.same("same-connection", wanted.same_connection, same);
    }
    complaints.same("method", wanted.method.as_ref(), &report.method);
    complaints.pattern("path", wanted.path.as_ref(), Some(&report.path));
    complaints.same("protocol", wanted.protocol.as_ref(), &report.protocol);
    complaints.same("body-received", wanted.body_received, report.body_bytes);
    complaints.same("backend-tls", wanted.backend_tls, report.tls);
    if let Some(sni) = &wanted.backend_sni {
        complaints.maybe("backend-sni", sni.as_ref(), report.sni.as_deref());
    }
    if let Some(subject) = &wanted.backend_client_certificate {
        let shown = report.client_certificate.as_deref();
        complaints.maybe("backend-client-certificate", subject.as_ref(), shown);
    }
    for (name, values) in &wanted.sees.0 {
        let name = name.to_ascii_lowercase();
        let seen: Vec<&str> = match (name.as_str(), report.headers.get(&name), &report.host) {
            // HTTP/2 has the host elsewhere, but it means the same.
            ("host", None, Some(host)) => vec![host],
            (_, Some(values), _) => values.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        complaints.values(&format!("sees {name}"), values.as_deref(), &seen);
    }
}

impl Wanted {
    /// Is anything wanted that only a backend can say?
    fn needs_backend(&self) -> bool {
        matches!(self.backend, Some(Some(_)))
            || self.same_backend.is_some()
            || self.same_connection.is_some()
            || self.method.is_some()
            || self.path.is_some()
            || self.protocol.is_some()
            || self.body_received.is_some()
            || self.backend_tls.is_some()
            || self.backend_sni.is_some()
            || self.backend_client_certificate.is_some()
            || !self.sees.0.is_empty()
    }
}

fn certificate(
    complaints: &mut Complaints,
    wanted: &CertificateWanted,
    response: &Response,
    surroundings: &Surroundings,
) {
    let chain = response.tls.as_ref().map(|tls| tls.chain.as_slice());
    let Some(der) = chain.and_then(<[_]>::first) else {
        return complaints.add("certificate", "one", "no TLS");
    };
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return complaints.add("certificate", "one", "bytes that are none");
    };
    let names = names(&parsed);
    if let Some(name) = &wanted.san
        && !names.iter().any(|other| name.is(other))
    {
        complaints.add("certificate san", name, names.join(", "));
    }
    let subject = parsed.subject().to_string();
    complaints.pattern(
        "certificate subject",
        wanted.subject.as_ref(),
        Some(&subject),
    );
    let key = match parsed
        .public_key()
        .algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        "1.2.840.10045.2.1" => "ecdsa".to_owned(),
        "1.2.840.113549.1.1.1" => "rsa".to_owned(),
        "1.3.101.112" => "ed25519".to_owned(),
        other => other.to_owned(),
    };
    complaints.same("certificate key", wanted.key.as_ref(), &key);
    if let Some(wanted) = &wanted.chain {
        let seen: Vec<String> = chain.into_iter().flatten().map(subject_of).collect();
        if *wanted != seen {
            complaints.add("certificate chain", listed(wanted), listed(&seen));
        }
    }
    let is_default = surroundings.default_certificate.as_ref() == Some(der);
    complaints.same("certificate default", wanted.default, is_default);
}

fn subject_of(der: &CertificateDer<'_>) -> String {
    match X509Certificate::from_der(der) {
        Ok((_, parsed)) => parsed.subject().to_string(),
        Err(_) => "bytes that are no certificate".to_owned(),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .iter()
        .flat_map(|found| &found.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => other.to_string(),
    };
    names.map(name).collect()
}

/// The differences found so far.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn add(&mut self, what: &str, wanted: impl Display, saw: impl Display) {
        self.0.push(format!("{what}: expected {wanted}, saw {saw}"));
    }

    fn same<T: PartialEq + Display>(&mut self, what: &str, wanted: Option<T>, saw: T) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != saw) {
            self.add(what, wanted, saw);
        }
    }

    fn pattern(&mut self, what: &str, wanted: Option<&Pattern>, saw: Option<&str>) {
        if let Some(wanted) = wanted
            && !saw.is_some_and(|saw| wanted.is(saw))
        {
            self.add(what, wanted, shown(saw));
        }
    }

    /// As `pattern`, where nothing wanted means that nothing must be there.
    fn maybe(&mut self, what: &str, wanted: Option<&Pattern>, saw: Option<&str>) {
        match wanted {
            Some(_) => self.pattern(what, wanted, saw),
            None if saw.is_some() => self.add(what, "none", shown(saw)),
            None => {}
        }
    }

    /// One pattern for each value, in order; nothing wanted means that nothing must be there.
    fn values(&mut self, what: &str, wanted: Option<&[Pattern]>, saw: &[&str]) {
        let wanted = wanted.unwrap_or_default();
        let fits =
            wanted.len() == saw.len() && wanted.iter().zip(saw).all(|(wanted, saw)| wanted.is(saw));
        if !fits {
            self.add(
                what,
                listed(wanted),
                listed(saw.iter().map(|v| shown(Some(v)))),
            );
        }
    }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
}

fn listed<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for value in values {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{value}");
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}
