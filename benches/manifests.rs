//! A folder of manifests: one file for each route, with its Ingress, its Service, two endpoints and,
//! for one in ten, a certificate.

use std::fs;
use std::path::Path;

/// What share of the routes has TLS: 1,000 of 10,000.
pub const TLS_EVERY: usize = 10;

/// Certificates that are made; Secrets share them, since making keys is not what is measured.
const CERTIFICATES: usize = 20;

pub struct Manifests {
    folder: tempfile::TempDir,
    /// Where every endpoint listens.
    port: u16,
    certificates: Vec<Certificate>,
}

struct Certificate {
    chain: String,
    key: String,
    der: Vec<u8>,
}

/// One route. All else of it follows from its number.
#[derive(Clone, Copy)]
pub struct Route {
    pub number: usize,
    /// Which addresses its endpoints have; see [`address`].
    pub pods: u8,
    pub certificate: Option<usize>,
}

impl Route {
    pub fn of(number: usize) -> Self {
        Self {
            number,
            pods: 1,
            certificate: number.is_multiple_of(TLS_EVERY).then_some(number),
        }
    }
}

pub fn host(number: usize) -> String {
    format!("shop-{number:05}.example.com")
}

/// The address of one of the two endpoints that some pods are.
pub fn address(pods: u8, last: u8) -> String {
    format!("127.0.{pods}.{last}")
}

impl Manifests {
    pub fn new(routes: usize, port: u16) -> Self {
        let manifests = Self {
            folder: tempfile::tempdir().expect("a temporary directory"),
            port,
            certificates: (0..CERTIFICATES).map(|_| certificate()).collect(),
        };
        for number in 0..routes {
            manifests.write(Route::of(number));
        }
        manifests
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a route's file in its place by one rename, as editors and deployments do.
    pub fn write(&self, route: Route) {
        let path = self.file(route.number);
        let folder = path.parent().unwrap_or(self.path());
        fs::create_dir_all(folder).expect("a directory");
        let beside = folder.join(".beside");
        fs::write(&beside, self.text(route)).expect("a file");
        fs::rename(beside, path).expect("a file in its place");
    }

    pub fn remove(&self, number: usize) {
        fs::remove_file(self.file(number)).expect("the file was there");
    }

    fn file(&self, number: usize) -> std::path::PathBuf {
        let folder = self.path().join(namespace(number));
        folder.join(format!("{}.yaml", name(number)))
    }

    /// In DER, as clients see it.
    pub fn certificate(&self, number: usize) -> &[u8] {
        &self.certificates[number % CERTIFICATES].der
    }

    /// Chain and key.
    pub fn pem(&self, number: usize) -> String {
        let Certificate { chain, key, .. } = &self.certificates[number % CERTIFICATES];
        format!("{chain}{key}").replace('\r', "")
    }

    fn text(&self, route: Route) -> String {
        let Route { number, pods, .. } = route;
        let (namespace, name, host) = (namespace(number), name(number), host(number));
        let metadata = format!("metadata:\n  namespace: {namespace}\n  name: {name}");
        let tls = match route.certificate {
            Some(_) => format!("  tls:\n  - hosts:\n    - {host}\n    secretName: {name}\n"),
            None => String::new(),
        };
        let secret = route.certificate.map(|number| {
            let Certificate { chain, key, .. } = &self.certificates[number % CERTIFICATES];
            let lines = |pem: &str| pem.replace('\r', "").trim_end().replace('\n', "\n    ");
            let (chain, key) = (lines(chain), lines(key));
            format!("---\napiVersion: v1\nkind: Secret\n{metadata}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {chain}\n  tls.key: |\n    {key}\n")
        });
        let (port, secret) = (self.port, secret.unwrap_or_default());
        let (one, other) = (address(pods, 1), address(pods, 2));
        format!(
            "apiVersion: networking.k8s.io/v1
kind: Ingress
{metadata}
spec:
  ingressClassName: vigie
{tls}  rules:
  - host: {host}
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: {name}
            port:
              number: 80
---
apiVersion: v1
kind: Service
{metadata}
spec:
  selector:
    app: {name}
  ports:
  - name: http
    port: 80
    targetPort: http
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
{metadata}
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
- name: http
  port: {port}
endpoints:
- addresses:
  - {one}
  conditions:
    ready: true
- addresses:
  - {other}
  conditions:
    ready: true
{secret}"
        )
    }
}

pub fn namespace(number: usize) -> String {
    format!("team-{:03}", number % 100)
}

pub fn name(number: usize) -> String {
    format!("shop-{number:05}")
}

/// A self-signed ECDSA certificate for every name of the folder.
fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["*.example.com".into()])
        .expect("a certificate can be made");
    Certificate {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().to_vec(),
    }
}
