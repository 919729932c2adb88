//! Bytes beside a good Ingress → bundle, and what must hold of it.

use std::collections::BTreeMap;

use vigie::api::CONTROLLER_NAME;
use vigie::render::bundle::FileText;
use vigie::render::{self, Bundle, Capabilities, Placement, ProxyKind};
use vigie::source::folder::{File, Folder};
use vigie::translate::{Options, PathSemantics, Translation, translate};

/// Older than anything that the bytes hold without saying so.
const GOOD: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: untouched, namespace: untouched, creationTimestamp: '1970-01-01T00:00:00Z'}
spec:
  ingressClassName: vigie
  rules:
  - host: untouched.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: untouched, port: {number: 80}}}}]
---
apiVersion: v1
kind: Service
metadata: {name: untouched, namespace: untouched}
spec: {selector: {app: untouched}, ports: [{port: 80}]}
";

pub fn beside_a_good_one(bytes: &[u8], proxy: ProxyKind) {
    let alone = build(&[]);
    let both = build(bytes);
    for finding in &both.diagnostics {
        let texts = [
            finding.message.as_str(),
            &finding.fix,
            finding.origin.field.as_str(),
        ];
        assert!(
            texts.iter().all(|text| !text.chars().any(char::is_control)),
            "{finding:?}"
        );
    }
    let (before, after) = (bundle(&alone, proxy), bundle(&both, proxy));
    // The bytes may speak of the good objects themselves, or of the class that they name.
    let speaks_of = |name: &str| {
        bytes
            .windows(name.len())
            .any(|word| word == name.as_bytes())
    };
    if !speaks_of("untouched") && !speaks_of("IngressClass") {
        for (host, routes) in &alone.model.hosts {
            assert_eq!(both.model.hosts.get(host), Some(routes));
        }
        assert_eq!(
            ranges(&before),
            ranges(&after),
            "lines of the good Ingress differ"
        );
    }
    let _ = render::unsupported(&both.model, &Capabilities::assumed(proxy));
}

fn build(bytes: &[u8]) -> Translation {
    let file = |name: &str, content: &[u8]| File {
        name: name.into(),
        content: Ok(content.to_vec()),
    };
    let files = vec![
        file("good.yaml", GOOD.as_bytes()),
        file("other.yaml", bytes),
    ];
    let mut options = Options::of_class("vigie", jiff::civil::date(2026, 11, 24));
    let ours = (CONTROLLER_NAME.into(), PathSemantics::Strict);
    options.classes.controllers.push(ours);
    options.classes.without_class = true;
    translate(&Folder::of(files).snapshot, &options)
}

fn bundle(translation: &Translation, proxy: ProxyKind) -> Bundle {
    let placement = Placement {
        http: vec![([0, 0, 0, 0], 80).into()],
        https: vec![([0, 0, 0, 0], 443).into()],
        https_redirect_port: None,
        resolvers: vec![([127, 0, 0, 53], 5353).into()],
    };
    render::render(
        &translation.model,
        &Capabilities::assumed(proxy),
        &placement,
    )
}

/// The lines that the good objects asked for, by file.
fn ranges(bundle: &Bundle) -> BTreeMap<String, Vec<String>> {
    // Lines are counted as they are while every pool is empty.
    let mut empty = bundle.clone();
    empty
        .pools
        .values_mut()
        .for_each(|pool| pool.endpoints.clear());
    let files = empty.files();
    let mut ranges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for range in bundle.origins.iter() {
        if &*range.origin.object.namespace != "untouched" {
            continue;
        }
        if let Some(FileText::Public(text)) = files.get(range.file.as_str()) {
            let lines = text.lines().skip(range.first - 1);
            let lines: Vec<&str> = lines.take(range.last + 1 - range.first).collect();
            ranges
                .entry(range.file.clone())
                .or_default()
                .push(lines.join("\n"));
        }
    }
    ranges.values_mut().for_each(|lines| lines.sort());
    ranges
}
