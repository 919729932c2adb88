//! What the parts of a control plane know each other by: an authority, the API server's certificate,
//! the key of service accounts, and a token for each user.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

/// Users with their groups. A token is as good as its user's name: nobody else is in our network.
const USERS: [(&str, &str); 2] = [
    ("admin", "system:masters"),
    ("system:kube-controller-manager", ""),
];

pub const ADMIN: &str = "admin";
pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Writes ca.crt, server.crt, server.key, accounts.key, accounts.pub and tokens.csv.
pub fn write(directory: &Path, address: IpAddr) {
    let put = |file: &str, text: String| {
        fs::write(directory.join(file), text).expect("a key can be written");
    };
    let mut authority = CertificateParams::default();
    let name = &mut authority.distinguished_name;
    name.push(DnType::CommonName, "test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let authority_certificate = authority.self_signed(&authority_key);
    put(
        "ca.crt",
        authority_certificate.expect("a certificate").pem(),
    );
    let issuer = Issuer::new(authority, authority_key);

    let names = ["kubernetes.default.svc".to_owned(), address.to_string()];
    let server = CertificateParams::new(names).expect("names");
    let server_key = KeyPair::generate().expect("a key");
    let certificate = server.signed_by(&server_key, &issuer);
    put("server.crt", certificate.expect("a certificate").pem());
    put("server.key", server_key.serialize_pem());

    let accounts = KeyPair::generate().expect("a key");
    put("accounts.key", accounts.serialize_pem());
    put("accounts.pub", accounts.public_key_pem());
    let tokens = USERS.map(|(user, groups)| format!("{user},{user},{user},{groups}\n"));
    put("tokens.csv", tokens.concat());
}

/// A kubeconfig for whoever has a token.
pub fn kubeconfig(directory: &Path, server: &str, user: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "clusters": [{"name": "test", "cluster": {
            "server": server,
            "certificate-authority": directory.join("ca.crt"),
        }}],
        "users": [{"name": user, "user": {"token": token}}],
    })
}
