//! Small models.

use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};

pub fn origin(name: &str) -> Origin {
    Origin::new(
        ObjectRef::new(Kind::Ingress, "shop", name),
        FieldPath::new("spec.rules[0]"),
    )
}

pub fn placement() -> Placement {
    Placement {
        http: vec!["127.0.0.1:18080".parse().expect("an address")],
        https: vec!["127.0.0.1:18443".parse().expect("an address")],
        https_redirect_port: Some(18443),
        resolvers: vec!["127.0.0.1:10053".parse().expect("an address")],
    }
}

pub fn rendered(model: &Model) -> Bundle {
    render(
        model,
        &Capabilities::assumed(ProxyKind::Nginx),
        &placement(),
    )
}

/// The public files.
pub fn texts(bundle: &Bundle) -> BTreeMap<String, String> {
    let files = bundle.files().into_iter();
    files
        .filter_map(|(name, text)| match text {
            FileText::Public(text) => Some((name.to_owned(), text)),
            FileText::Private(_) => None,
        })
        .collect()
}

/// All that stands in files of a folder.
pub fn folder(bundle: &Bundle, folder: &str) -> String {
    let files = texts(bundle).into_iter();
    files
        .filter(|(name, _)| name.starts_with(folder))
        .map(|(_, text)| text)
        .collect()
}

pub fn upstream_name(service: &str) -> UpstreamName {
    UpstreamName::new("shop", service, "80", "http")
}

pub fn upstream(endpoints: &[&str]) -> Upstream {
    let endpoint = |text: &&str| {
        let address: std::net::SocketAddr = text.parse().expect("an address");
        Endpoint {
            address: address.ip(),
            port: address.port(),
        }
    };
    Upstream {
        label: "shop/up:80".into(),
        service_port: 80,
        protocol: Protocol::Http,
        port: Some(8080),
        endpoints: Endpoints::Addresses(endpoints.iter().map(endpoint).collect()),
        origin: Origin::new(
            ObjectRef::new(Kind::Service, "shop", "up"),
            FieldPath::default(),
        ),
    }
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

pub fn forward(service: &str) -> Action {
    Action::Forward(Forward::to(upstream_name(service)))
}

pub fn redirect(location: &str, code: u16) -> Action {
    Action::Redirect(Redirect {
        location: location.parse().expect("a template"),
        code: StatusCode::redirect(code).expect("a code"),
    })
}

pub fn header_rule(name: &str, value: ValueMatch, service: &str) -> SplitRule {
    SplitRule {
        field: SplitField::Header(HeaderName::header(name).expect("a name")),
        value,
        upstream: upstream_name(service),
        origin: origin("canary"),
    }
}

pub fn share(service: &str, parts: u32) -> Share {
    Share {
        upstream: upstream_name(service),
        parts,
        origin: origin("canary"),
    }
}

pub fn exactly(value: &str) -> ValueMatch {
    ValueMatch::Exact(value.parse().expect("a value"))
}

pub fn route(host: &str, path: PathMatch, action: Action) -> Route {
    Route {
        id: RouteId::new(host, path.kind(), &path.to_string()),
        path,
        action,
        policy: Policy {
            https_redirect: None,
            hsts: None,
            timeouts: Timeouts::default(),
            body_limit: BodyLimit::default(),
            access: None,
        },
        origin: origin("web"),
    }
}

/// Adds a route, and the upstreams `up` and `other`.
pub fn add<'a>(model: &'a mut Model, host: &str, path: PathMatch, action: Action) -> &'a mut Route {
    for service in ["up", "other"] {
        let upstreams = &mut model.upstreams;
        upstreams
            .entry(upstream_name(service))
            .or_insert_with(|| upstream(&["10.0.0.1:8080"]));
    }
    let name: HostMatch = host.parse().expect("a host");
    let host = std::sync::Arc::make_mut(&mut model.hosts)
        .entry(name.clone())
        .or_insert(Host {
            certificates: Vec::new(),
            routes: Vec::new(),
        });
    host.routes.push(route(&name.to_string(), path, action));
    host.routes.last_mut().expect("a route")
}

/// Uses everything that a model can ask for.
pub fn one_of_each() -> Model {
    let mut model = Model::default();
    let host = "a.example";
    add(&mut model, host, prefix("/"), forward("up"));
    add(&mut model, host, exact("/a b/é\"$'\\"), forward("up"));
    add(&mut model, host, plain_prefix("/plain/"), forward("up"));
    let refused = Action::Refuse(Refusal::GuardNotHonoured);
    add(&mut model, host, prefix("/closed"), refused);
    add(
        &mut model,
        host,
        prefix("/to"),
        redirect("https://b.example$request_uri", 308),
    );
    let route = add(
        &mut model,
        host,
        prefix("/guarded"),
        redirect("/elsewhere", 302),
    );
    route.policy.access = Some(AccessList {
        deny: vec!["10.1.2.3/8".parse().expect("a network")],
        allow: vec!["fd00::/8".parse().expect("a network")],
    });
    let mut canary = Forward::to(upstream_name("up"));
    canary.split.rules = vec![
        header_rule("X-Canary", exactly("always"), "other"),
        header_rule(
            "X-Version",
            ValueMatch::Regex("v[0-9]{2}$".parse().expect("a regex")),
            "other",
        ),
    ];
    canary.split.shares = vec![share("other", 1234)];
    canary.rewrite = Some("/new?x=$host".parse().expect("a template"));
    canary.upstream_host = Some("inner.example".parse().expect("a value"));
    canary.forwarded_prefix = Some("/p$1".parse().expect("a value"));
    let route = add(&mut model, host, prefix("/canary"), Action::Forward(canary));
    route.policy.https_redirect = Some(HttpsRedirect {
        code: StatusCode::PERMANENT_REDIRECT,
        strip_trailing_slash: true,
    });
    route.policy.hsts = Some(Hsts {
        max_age: 60,
        include_subdomains: true,
        preload: true,
    });
    route.policy.timeouts.read = std::time::Duration::from_secs(3600);
    route.policy.body_limit.octets = None;
    let mut rewrite = Forward::to(upstream_name("up"));
    rewrite.rewrite = Some("/$2".parse().expect("a template"));
    let host = "*.example";
    add(
        &mut model,
        host,
        regex("/api{1}(/|$)(.*)"),
        Action::Forward(rewrite),
    );
    let location = Template::of(vec![TemplatePart::Group(1), TemplatePart::QuerySuffix]);
    let groups = Action::Redirect(Redirect {
        location,
        code: StatusCode::FOUND,
    });
    add(&mut model, host, regex("/go(/.*)"), groups);
    for (service, protocol) in [
        ("https", Protocol::Https),
        ("h2c", Protocol::H2c),
        ("grpc", Protocol::Grpc),
        ("grpcs", Protocol::Grpcs),
    ] {
        let pool = Upstream {
            protocol,
            ..upstream(&["[fd00::1]:8443"])
        };
        model.upstreams.insert(upstream_name(service), pool);
        add(
            &mut model,
            "",
            prefix(&format!("/{service}")),
            forward(service),
        );
    }
    model.upstreams.insert(upstream_name("none"), upstream(&[]));
    model.fallback = Some(self::route("", prefix("/"), forward("none")));
    model.listeners.trusted_proxies = vec!["192.168.1.1/16".parse().expect("a network")];
    model
}
