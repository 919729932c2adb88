//! Bundles of real manifests on their way through the cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use vigie::model::Model;
use vigie::render::wire::{Publication, Shard, decode, encode};
use vigie::render::{self, Bundle, Capabilities, ProxyKind};

use crate::case;

fn published(bundle: &Bundle) -> Publication {
    let installation = "main".parse().expect("it is a label");
    encode(bundle, &installation, &BTreeMap::new())
}

fn bundle(model: &Model, proxy: ProxyKind) -> Bundle {
    render::render(model, &Capabilities::assumed(proxy), &case::placement())
}

#[test]
fn the_bundle_of_every_case_comes_back_as_it_was() {
    for case in case::all() {
        let model = case.translate().0.model;
        for proxy in ProxyKind::ALL {
            let bundle = bundle(&model, proxy);
            let publication = published(&bundle);
            assert!(published(&bundle) == publication, "{}, {proxy}", case.name);
            let back = decode(&publication);
            let back = back.unwrap_or_else(|error| panic!("{}, {proxy}: {error}", case.name));
            assert!(back == bundle, "{}, {proxy}: something differs", case.name);
        }
    }
}

/// One host with its Service, endpoints, and TLS from a shared Secret for one in ten.
fn host(number: usize) -> String {
    let name = format!("shop-{number:05}");
    let tls = match number.is_multiple_of(10) {
        true => format!("  tls: [{{hosts: [{name}.example.com], secretName: {name}}}]\n"),
        false => String::new(),
    };
    let (a, b) = (number / 250, number % 250);
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, namespace: team, annotations: {{vigie.dev/proxy-read-timeout: '30'}}}}
spec:
  ingressClassName: vigie
{tls}  rules:
    - host: {name}.example.com
      http:
        paths:
          - {{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: team}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: team, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{{addresses: [10.{a}.{b}.1]}}, {{addresses: [10.{a}.{b}.2]}}]
"
    )
}

fn secret(number: usize, pem: &(String, String)) -> String {
    let indent = |text: &str| text.trim_end().replace('\n', "\n    ");
    let (chain, key) = (indent(&pem.0), indent(&pem.1));
    format!(
        "---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: shop-{number:05}, namespace: team}}
stringData:
  tls.crt: |
    {chain}
  tls.key: |
    {key}
"
    )
}

/// The model of the hosts of these numbers.
fn estate(numbers: impl Iterator<Item = usize>) -> Model {
    let made = rcgen::generate_simple_self_signed(vec!["*.example.com".into()]);
    let made = made.expect("a certificate can be made");
    let pem = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut text = String::from(
        "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: vigie}
spec: {controller: vigie.dev/ingress-controller}
",
    );
    for number in numbers {
        text += &host(number);
        if number.is_multiple_of(10) {
            text += &secret(number, &pem);
        }
    }
    case::of_text(&text).translate().0.model
}

/// Every number but some, so that the hosts between can come later.
const LATER: [usize; 3] = [7, 1003, 1999];

#[test]
fn one_more_ingress_among_2000_rewrites_a_few_small_shards() {
    let few = estate((0..2000).filter(|number| !LATER.contains(number)));
    let mut words = String::new();
    for later in LATER {
        let mut more = few.clone();
        let one = estate([later].into_iter());
        Arc::make_mut(&mut more.hosts).extend(Arc::unwrap_or_clone(one.hosts));
        more.upstreams.extend(one.upstreams);
        for proxy in ProxyKind::ALL {
            let (old, new) = (
                published(&bundle(&few, proxy)),
                published(&bundle(&more, proxy)),
            );
            let shards = new.shards.iter();
            let fresh: Vec<usize> = shards
                .filter(|(name, _)| !old.shards.contains_key(*name))
                .map(|(_, shard)| shard.bytes())
                .collect();
            let octets: usize = fresh.iter().sum();
            let _ = writeln!(words, "{proxy}: {fresh:?} of {} shards", new.shards.len());
            assert!(fresh.len() <= 8 && octets < 128 << 10, "{words}");
            let others = old.endpoints.iter();
            let touched = others.filter(|(name, data)| new.endpoints.get(*name) != Some(*data));
            assert!(touched.count() <= 1, "endpoints of others are rewritten");
            let private = |publication: &Publication| -> Vec<String> {
                let shards = publication.shards.iter();
                let private = shards.filter(|(_, shard)| matches!(shard, Shard::Private(_)));
                private.map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(private(&new), private(&old));
        }
    }
}
