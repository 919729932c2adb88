//! What earlier builds left to know: a certificate that worked is not lost with its Secret.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressRule, IngressSpec, IngressTLS,
};

use super::*;
use crate::model::diagnostics::Code;
use crate::translate::{Memo, Translation, translate, translate_with};

const HOST: &str = "shop.example.com";

fn options(memory: Memory) -> Options {
    let mut options = Options::of_class("vigie", jiff::civil::date(2026, 11, 24));
    options.classes.without_class = true;
    options.memory = memory;
    options
}

fn secret(crt: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some("shop-tls".into());
    secret.data = Some(BTreeMap::from([
        ("tls.crt".into(), ByteString(crt.into())),
        ("tls.key".into(), ByteString(key.into())),
    ]));
    secret
}

/// A new key and certificate at each call.
fn issued(host: &str) -> Secret {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    secret(made.cert.pem(), made.signing_key.serialize_pem())
}

/// One host whose certificate is in the Secret `shop-tls`, which may not be there.
fn snapshot(secret: Option<Secret>) -> Snapshot {
    let mut ingress = Ingress::default();
    ingress.metadata.name = Some("shop".into());
    let path = HTTPIngressPath {
        path_type: "Prefix".into(),
        ..HTTPIngressPath::default()
    };
    ingress.spec = Some(IngressSpec {
        rules: Some(vec![IngressRule {
            host: Some(HOST.into()),
            http: Some(HTTPIngressRuleValue { paths: vec![path] }),
        }]),
        tls: Some(vec![IngressTLS {
            hosts: Some(vec![HOST.into()]),
            secret_name: Some("shop-tls".into()),
        }]),
        ..IngressSpec::default()
    });
    let mut snapshot = Snapshot::default();
    snapshot.add_ingress(ingress);
    if let Some(secret) = secret {
        snapshot.add_secret(secret);
    }
    snapshot
}

fn built(secret: Option<Secret>, memory: &Memory) -> Translation {
    translate(&snapshot(secret), &options(memory.clone()))
}

/// The certificate that the host is served with.
fn served(translation: &Translation) -> Option<&Certificate> {
    let host = translation.model.hosts.get(&HOST.parse().ok()?)?;
    translation
        .model
        .certificates
        .get(host.certificates.first()?)
}

fn told(translation: &Translation, code: Code) -> &str {
    let found = translation.diagnostics.iter().find(|d| d.code == code);
    found.map_or("nothing", |d| d.message.as_str())
}

#[test]
fn last_good_certificate_stays_in_use_while_its_secret_cannot_be_used() {
    let good = built(Some(issued(HOST)), &Memory::default());
    assert!(served(&good).is_some());
    let (of_other, mine) = (issued("blog.example.com"), issued(HOST));
    let part = |secret: &Secret, key: &str| secret.data.as_ref().unwrap()[key].0.clone();
    let mixed = secret(part(&mine, "tls.crt"), part(&of_other, "tls.key"));
    let broken = [
        (None, Code::RH206),
        (Some(secret("", "")), Code::RH207),
        (Some(secret("no PEM", "at all")), Code::RH207),
        (Some(secret([0xff, 0xfe], [0xc3, 0x28])), Code::RH207),
        (Some(mixed), Code::RH207),
        (Some(of_other), Code::RH208),
    ];
    for (secret, code) in broken {
        let now = built(secret.clone(), &good.memory);
        assert_eq!(now.model, good.model, "{code:?}");
        let words = told(&now, code);
        assert!(
            words.ends_with("The last good certificate stays in use."),
            "{words}"
        );
        // It is still known to the build after that, and to the one that finds a good one again.
        assert_eq!(built(secret, &now.memory).model, good.model);
        let mended = built(Some(mine.clone()), &now.memory);
        assert!(served(&mended).is_some() && served(&mended) != served(&good));
    }
}

#[test]
fn without_an_earlier_certificate_the_default_one_is_served() {
    for (secret, code) in [
        (None, Code::RH206),
        (Some(secret("no PEM", "at all")), Code::RH207),
        (Some(issued("blog.example.com")), Code::RH208),
    ] {
        let now = built(secret, &Memory::default());
        assert_eq!(served(&now), None);
        let words = told(&now, code);
        assert!(
            words.ends_with("The default certificate is served."),
            "{words}"
        );
    }
}

#[test]
fn renewed_certificate_takes_the_place_of_the_last_one() {
    let first = built(Some(issued(HOST)), &Memory::default());
    let second = built(Some(issued(HOST)), &first.memory);
    assert!(served(&second).is_some() && served(&second) != served(&first));
    assert_eq!(second.diagnostics, first.diagnostics);
}

#[test]
fn certificate_that_no_ingress_uses_any_more_is_forgotten() {
    let good = built(Some(issued(HOST)), &Memory::default());
    let gone = translate(&Snapshot::default(), &options(good.memory));
    assert_eq!(gone.memory, Memory::default());
}

#[test]
fn last_good_default_certificate_stays_in_use() {
    let with_default = |secret: Option<Secret>, memory: &Memory| {
        let mut snapshot = Snapshot::default();
        secret.into_iter().for_each(|s| snapshot.add_secret(s));
        let mut options = options(memory.clone());
        options.default_certificate_secret = Some(ObjectName::new("default", "shop-tls"));
        translate(&snapshot, &options)
    };
    let good = with_default(Some(issued("example.net")), &Memory::default());
    assert!(good.model.default_certificate.is_some());
    for (secret, code) in [
        (None, Code::RH206),
        (Some(secret("no PEM", "at all")), Code::RH207),
    ] {
        let now = with_default(secret.clone(), &good.memory);
        assert_eq!(now.model, good.model);
        assert_eq!(with_default(secret, &now.memory).model, good.model);
        let words = told(&now, code);
        assert!(
            words.ends_with("The last good certificate stays in use."),
            "{words}"
        );
    }
}

#[test]
fn a_memo_knows_a_secret_by_its_content_and_not_by_its_name() {
    let mut memo = Memo::default();
    let states = [
        Some(issued(HOST)),
        Some(issued(HOST)),
        None,
        Some(secret("", "")),
    ];
    for state in states.iter().chain(states.iter().rev()) {
        let (snapshot, options) = (snapshot(state.clone()), options(Memory::default()));
        let found = translate_with(&snapshot, &options, &mut memo);
        assert_eq!(found, translate(&snapshot, &options));
    }
}
