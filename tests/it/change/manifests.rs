//! Manifests that differ in one thing.

use std::fmt::Write as _;

use vigie::model::Model;

use crate::case;

/// Where the shared backends listen.
pub const A: &str = "127.1.0.1:8080";
pub const B: &str = "127.1.0.2:8080";

pub fn model(manifests: &str) -> Model {
    case::of_text(manifests).translate().0.model
}

/// An Ingress of one host.
#[derive(Clone)]
pub struct Ingress {
    name: &'static str,
    host: String,
    annotations: Vec<(&'static str, String)>,
    paths: String,
    secret: Option<(&'static str, &'static str)>,
}

impl Ingress {
    pub fn new(name: &'static str, host: &str) -> Self {
        Self {
            name,
            host: host.to_owned(),
            annotations: Vec::new(),
            paths: String::new(),
            secret: None,
        }
    }

    pub fn path(self, path: &str, service: &str) -> Self {
        self.path_of("Prefix", path, service)
    }

    /// A path that is read as a regular expression where an annotation says so.
    pub fn pattern(self, path: &str, service: &str) -> Self {
        self.path_of("ImplementationSpecific", path, service)
    }

    fn path_of(mut self, kind: &str, path: &str, service: &str) -> Self {
        let _ = writeln!(
            self.paths,
            "      - {{path: \"{path}\", pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}"
        );
        self
    }

    pub fn annotation(mut self, name: &'static str, value: &str) -> Self {
        self.annotations.push((name, value.to_owned()));
        self
    }

    /// A certificate for one of its names.
    pub fn tls(mut self, host: &'static str, secret: &'static str) -> Self {
        self.secret = Some((host, secret));
        self
    }

    pub fn yaml(&self) -> String {
        let (name, host) = (self.name, &self.host);
        let mut text = format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  annotations:\n    about: a test\n"
        );
        for (name, value) in &self.annotations {
            let _ = writeln!(text, "    nginx.ingress.kubernetes.io/{name}: \"{value}\"");
        }
        text.push_str("spec:\n  ingressClassName: vigie\n");
        if let Some((host, secret)) = self.secret {
            let _ = writeln!(text, "  tls: [{{hosts: [{host}], secretName: {secret}}}]");
        }
        let _ = write!(
            text,
            "  rules:\n  - host: {host}\n    http:\n      paths:\n{}",
            self.paths
        );
        text
    }
}

/// A Service and its endpoints, which share a port.
pub fn service(name: &str, endpoints: &[&str]) -> String {
    let split = |endpoint: &&str| {
        endpoint
            .split_once(':')
            .map(|(a, p)| (a.to_owned(), p.to_owned()))
    };
    let all: Vec<(String, String)> = endpoints.iter().filter_map(split).collect();
    let port = all.first().map_or("8080", |(_, port)| port.as_str());
    let ready: Vec<String> = all
        .iter()
        .map(|(address, _)| format!("{{addresses: [{address}], conditions: {{ready: true}}}}"))
        .collect();
    let ready = ready.join(", ");
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{ready}]
"
    )
}

/// A Secret with a new certificate for a name, told apart by its subject.
pub fn secret(name: &str, host: &str, subject: &str) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut wanted = rcgen::CertificateParams::new([host.to_owned()]).expect("a name");
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    let common = rcgen::DnType::CommonName;
    wanted.distinguished_name.push(common, subject);
    let made = wanted.self_signed(&key).expect("a certificate");
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}}}\nstringData: {{tls.crt: {:?}, tls.key: {:?}}}\n",
        made.pem(),
        key.serialize_pem()
    )
}
