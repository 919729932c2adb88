use super::*;
use crate::source::folder::{File, Folder};

#[track_caller]
fn check_error(text: &str, expect: &str) {
    let error = text.parse::<StandIn>().expect_err("it must be refused");
    assert_eq!(error.to_string(), format!("{expect}; {FORM}"));
}

#[test]
fn forms_that_are_refused() {
    check_error("shop/api", "it has no '='");
    check_error("api=h:1", "\"api\" is not NAMESPACE/SERVICE");
    check_error("shop/Api=h:1", "\"shop/Api\" is not NAMESPACE/SERVICE");
    check_error(
        "shop/api:0=h:1",
        "port \"0\" of the Service is neither 1 to 65535 nor a port's name",
    );
    check_error("shop/api=host", "\"host\" has no port");
    check_error("shop/api=host:99999", "port \"99999\" is not 1 to 65535");
    check_error("shop/api=host:+1", "port \"+1\" is not 1 to 65535");
    check_error(
        "shop/api=::1:80",
        "\"::1\" is neither a host name nor an address",
    );
    check_error("shop/api=:80", "\"\" is neither a host name nor an address");
}

#[test]
fn forms_that_are_taken() {
    let read = |text: &str| {
        let StandIn {
            service,
            port,
            host,
            host_port,
        } = text.parse().expect("it is taken");
        format!("{service} {port:?} {host} {host_port}")
    };
    assert_eq!(read("shop/api=localhost:80"), "shop/api None localhost 80");
    assert_eq!(
        read("shop/api:http=[::1]:80"),
        "shop/api Some(\"http\") ::1 80"
    );
    assert_eq!(
        read("shop/api:8000=127.0.0.1:9"),
        "shop/api Some(\"8000\") 127.0.0.1 9"
    );
}

fn snapshot(text: &str) -> Snapshot {
    let content = Ok(text.as_bytes().to_vec());
    let folder = Folder::of(vec![File {
        name: "a.yaml".into(),
        content,
    }]);
    assert_eq!(folder.diagnostics, []);
    folder.snapshot
}

/// One line a port of a Service, then one an endpoint: `address:port (port's name)`.
#[track_caller]
fn check(text: &str, stand_ins: &[&str], expect: &[&str]) {
    let parse = |text: &&str| {
        let stand_in: StandIn = text.parse().expect("it is taken");
        let address = stand_in.host.parse().expect("an address");
        (stand_in, address)
    };
    let stand_ins: Vec<_> = stand_ins.iter().map(parse).collect();
    let (found, diagnostics) = stand_in(&snapshot(text), &stand_ins);
    let mut lines = Vec::new();
    for (name, service) in found.services.iter() {
        for port in service.spec.iter().flat_map(|s| s.ports.iter().flatten()) {
            let port_name = port.name.as_deref().unwrap_or_default();
            lines.push(format!("{name} {} {port_name}", port.port));
        }
        for slice in found.slices_of(name) {
            let ports = slice.ports.iter().flatten().map(|port| {
                let name = port.name.as_deref().unwrap_or_default();
                format!("{}={}", name, port.port.unwrap_or_default())
            });
            let addresses: Vec<_> = slice
                .endpoints
                .iter()
                .flat_map(|e| e.addresses.clone())
                .collect();
            lines.push(format!(
                "{} {}",
                addresses.join(","),
                ports.collect::<Vec<_>>().join(",")
            ));
        }
    }
    lines.extend(diagnostics.into_iter().map(|d| d.message));
    assert_eq!(lines, expect);
}

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: shop}
spec:
  defaultBackend: {service: {name: api, port: {number: 8000}}}
  rules:
  - http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
      - {path: /a, pathType: Prefix, backend: {service: {name: api, port: {name: admin}}}}
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: admin, port: 81}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 8080}, {name: admin, port: 8081}]
";

#[test]
fn a_service_that_is_not_there_is_made_as_ingresses_call_it() {
    check(
        INGRESS,
        &["shop/web=127.0.0.1:1"],
        &["shop/web 80 http", "127.0.0.1 http=1"],
    );
    check(
        INGRESS,
        &["shop/api=127.0.0.1:1"],
        &[
            "shop/api 8000 port-8000",
            "shop/api 80 admin",
            "127.0.0.1 port-8000=1,admin=1",
        ],
    );
    check(
        INGRESS,
        &["shop/else=[::1]:1"],
        &["shop/else 80 ", "::1 =1"],
    );
}

#[test]
fn one_port_of_a_service_is_replaced_and_the_others_stay() {
    check(
        SERVICE,
        &["shop/api:80=127.0.0.1:1"],
        &[
            "shop/api 80 http",
            "shop/api 81 admin",
            "10.0.0.1 admin=8081",
            "127.0.0.1 http=1",
        ],
    );
    check(
        SERVICE,
        &["shop/api:http=127.0.0.1:1", "shop/api:admin=127.0.0.2:2"],
        &[
            "shop/api 80 http",
            "shop/api 81 admin",
            "127.0.0.1 http=1",
            "127.0.0.2 admin=2",
        ],
    );
    check(
        SERVICE,
        &["shop/api=127.0.0.1:1"],
        &[
            "shop/api 80 http",
            "shop/api 81 admin",
            "127.0.0.1 http=1,admin=1",
        ],
    );
}

#[test]
fn a_port_that_the_service_does_not_have_is_told() {
    check(
        SERVICE,
        &["shop/api:9=127.0.0.1:1"],
        &[
            "shop/api 80 http",
            "shop/api 81 admin",
            "10.0.0.1 http=8080,admin=8081",
            "--backend shop/api:9 is not valid: Service shop/api has no port 9; it has 80 (http), 81 (admin).",
        ],
    );
}
