//! Small models.

use std::sync::Arc;

use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};

pub fn origin(name: &str) -> Origin {
    Origin::new(
        ObjectRef::new(Kind::Ingress, "shop", name),
        FieldPath::new("spec.rules[0]"),
    )
}

pub fn rendered(model: &Model) -> Bundle {
    let placement = Placement {
        http: vec!["0.0.0.0:8080".parse().expect("an address")],
        https: vec!["[::]:8443".parse().expect("an address")],
        https_redirect_port: None,
        resolvers: Vec::new(),
    };
    render(
        model,
        &Capabilities::assumed(ProxyKind::Haproxy),
        &placement,
    )
}

pub fn upstream_name(service: &str) -> UpstreamName {
    UpstreamName::new("shop", service, "80", "http")
}

pub fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.parse().expect("a path"))
}

pub fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.parse().expect("a path"))
}

pub fn plain_prefix(path: &str) -> PathMatch {
    PathMatch::PlainPrefix(path.parse().expect("a path"))
}

pub fn regex(path: &str) -> PathMatch {
    PathMatch::Regex(PathRegex::ignoring_case(path).expect("a regex"))
}

pub fn to(service: &str) -> Forward {
    Forward {
        split: Split::to(upstream_name(service)),
        rewrite: None,
        forwarded_prefix: None,
        upstream_host: None,
    }
}

pub fn forward(service: &str) -> Action {
    Action::Forward(to(service))
}

pub fn rewrite(service: &str, template: &str) -> Action {
    Action::Forward(Forward {
        rewrite: Some(template.parse().expect("a template")),
        ..to(service)
    })
}

pub fn redirect(location: &str, code: u16) -> Action {
    Action::Redirect(Redirect {
        location: location.parse().expect("a template"),
        code: StatusCode::redirect(code).expect("a code"),
    })
}

pub fn header(name: &str) -> SplitField {
    SplitField::Header(HeaderName::header(name).expect("a name"))
}

pub fn cookie(name: &str) -> SplitField {
    SplitField::Cookie(HeaderName::cookie(name).expect("a name"))
}

pub fn rule(field: SplitField, value: ValueMatch) -> SplitRule {
    SplitRule {
        field,
        value,
        upstream: upstream_name("up"),
        origin: origin("canary"),
    }
}

pub fn policy() -> Policy {
    Policy {
        https_redirect: None,
        hsts: None,
        timeouts: Timeouts::default(),
        body_limit: BodyLimit::default(),
        access: None,
    }
}

/// Adds a route, and the upstream `up`.
pub fn add<'a>(model: &'a mut Model, host: &str, path: PathMatch, action: Action) -> &'a mut Route {
    let endpoint = Endpoint {
        address: [10, 0, 0, 1].into(),
        port: 8080,
    };
    let upstream = Upstream {
        label: "shop/up:80".into(),
        service_port: 80,
        protocol: Protocol::Http,
        port: None,
        endpoints: Endpoints::Addresses(vec![endpoint]),
        origin: Origin::new(
            ObjectRef::new(Kind::Service, "shop", "up"),
            FieldPath::default(),
        ),
    };
    model.upstreams.insert(upstream_name("up"), upstream);
    let name: HostMatch = host.parse().expect("a host");
    let host = Arc::make_mut(&mut model.hosts)
        .entry(name.clone())
        .or_insert(Host {
            certificates: Vec::new(),
            routes: Vec::new(),
        });
    host.routes.push(Route {
        id: RouteId::new(&name.to_string(), path.kind(), &path.to_string()),
        path,
        action,
        policy: policy(),
        origin: origin("web"),
    });
    host.routes.last_mut().expect("a route")
}

/// Uses everything that a model can ask for.
pub fn one_of_each() -> Model {
    let mut model = Model::default();
    let host = "a.example";
    add(&mut model, host, prefix("/"), forward("up"));
    add(&mut model, host, exact("/a b/é\""), forward("up"));
    add(
        &mut model,
        host,
        plain_prefix("/plain"),
        rewrite("up", "/lit"),
    );
    add(
        &mut model,
        host,
        prefix("/query"),
        rewrite("up", "/q?x=$host"),
    );
    for code in 300..=308 {
        let path = prefix(&format!("/{code}"));
        add(
            &mut model,
            host,
            path,
            redirect("https://www.a.example$request_uri", code),
        );
    }
    add(
        &mut model,
        host,
        prefix("/closed"),
        Action::Refuse(Refusal::GuardNotHonoured),
    );
    let guarded = add(&mut model, host, prefix("/guarded"), forward("up"));
    guarded.policy = Policy {
        https_redirect: Some(HttpsRedirect {
            code: StatusCode::PERMANENT_REDIRECT,
            strip_trailing_slash: true,
        }),
        hsts: Some(Hsts {
            max_age: 1,
            include_subdomains: true,
            preload: true,
        }),
        timeouts: Timeouts {
            connect: std::time::Duration::from_secs(1),
            ..Timeouts::default()
        },
        body_limit: BodyLimit {
            octets: None,
            origin: None,
        },
        access: Some(AccessList {
            deny: vec!["10.0.0.1/32".parse().expect("a network")],
            allow: vec![
                "10.0.0.0/9".parse().expect("a network"),
                "fd00::/7".parse().expect("a network"),
            ],
        }),
    };
    let mut split = to("up");
    let exactly = ValueMatch::Exact("always".parse().expect("a value"));
    split.split.rules = vec![
        rule(
            header("x-canary"),
            ValueMatch::Regex("^v[0-9]+ b$".parse().expect("a regex")),
        ),
        rule(header("x-canary"), exactly.clone()),
        rule(cookie("canary"), exactly),
    ];
    split.split.shares = vec![Share {
        upstream: upstream_name("up"),
        parts: 2963,
        origin: origin("canary"),
    }];
    split.forwarded_prefix = Some("/old".parse().expect("a value"));
    split.upstream_host = Some("inner.example".parse().expect("a value"));
    add(&mut model, host, prefix("/split"), Action::Forward(split));
    for (path, action) in [
        ("/api(/|$)(.*)", rewrite("up", "/new/$2")),
        ("/php/(.*)", rewrite("up", "/index.php?p=$1")),
        ("/host/(.*)", rewrite("up", "/$host/$1")),
        ("/go/(.*)", redirect("https://b.example/$1", 302)),
        ("/[a b]+(?<name>x)", redirect("$scheme://$host/$1", 301)),
    ] {
        add(&mut model, "*.example", regex(path), action);
    }
    add(&mut model, "", prefix("/"), forward("up"));
    for (number, protocol) in [
        Protocol::Https,
        Protocol::H2c,
        Protocol::Grpc,
        Protocol::Grpcs,
    ]
    .into_iter()
    .enumerate()
    {
        let name = UpstreamName::new("shop", "up", &number.to_string(), protocol.as_str());
        let mut upstream = model.upstreams[&upstream_name("up")].clone();
        upstream.protocol = protocol;
        upstream.endpoints = Endpoints::Addresses(vec![Endpoint {
            address: IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
            port: 8443,
        }]);
        model.upstreams.insert(name, upstream);
    }
    let name = UpstreamName::new("shop", "elsewhere", "80", "http");
    let mut upstream = model.upstreams[&upstream_name("up")].clone();
    upstream.endpoints = Endpoints::Name {
        name: "db.example.com".parse().expect("a name"),
        port: 80,
    };
    model.upstreams.insert(name, upstream);
    model.fallback = model.hosts[&HostMatch::Any].routes.first().cloned();
    model
}

pub fn trusting(proxy_protocol: bool) -> Model {
    Model {
        listeners: Listeners {
            proxy_protocol,
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        },
        ..one_of_each()
    }
}

/// A certificate for a host's name.
pub fn certify(model: &mut Model, host: &str, id: &str, pem: &str) -> CertificateId {
    let id = CertificateId::new("shop", id);
    let certificate = Certificate {
        pem: PrivatePem::new(pem),
        key: KeyKind::Ecdsa,
        names: Vec::new(),
        not_after: jiff::civil::date(2100, 1, 1),
        origin: origin("tls"),
    };
    model.certificates.insert(id.clone(), certificate);
    if let Some(host) = Arc::make_mut(&mut model.hosts).get_mut(&host.parse().expect("a host")) {
        host.certificates.push(id.clone());
    }
    id
}
