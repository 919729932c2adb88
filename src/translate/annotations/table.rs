//! The one table of annotations: each name with what it does, an example, what is allowed, and how
//! it is handled. An annotation is added here, gets a field of `Settings` and a reader in `parse`.

use super::{Problem, Settings};
use super::{health, parse};

/// One annotation, without its prefix.
pub struct Annotation {
    pub name: &'static str,
    /// What it does, in sentences for the reference.
    pub doc: &'static str,
    pub example: &'static str,
    /// What is allowed, in the imperative; the help line of a finding.
    pub allowed: &'static str,
    pub handling: Handling,
}

pub enum Handling {
    /// Read into the settings. `guards`: a bad value closes the route. `steers`: it decides where a
    /// request goes, so a bad value is an error.
    Honoured {
        read: fn(&mut Settings, &str) -> Result<(), Problem>,
        guards: bool,
        steers: bool,
    },
    /// Stands for a field of a RouteHealth. Only Vigie's own prefix has it.
    Health {
        read: fn(&mut Settings, &str) -> Result<(), Problem>,
    },
    /// Known, reported, not honoured. `guards`: the route is closed. `inert`: values that ask for
    /// nothing, because they are what happens anyway.
    NotYet {
        guards: bool,
        inert: &'static [&'static str],
    },
    /// ingress-nginx never or no longer read it; `instead` says what to do.
    Nothing { instead: &'static str },
}

impl Annotation {
    /// Whether it is meant to keep somebody out.
    pub fn guards(&self) -> bool {
        match self.handling {
            Handling::Honoured { guards, .. } | Handling::NotYet { guards, .. } => guards,
            Handling::Health { .. } | Handling::Nothing { .. } => false,
        }
    }
}

/// The entry of a name without prefix.
pub fn find(name: &str) -> Option<&'static Annotation> {
    TABLE.iter().find(|entry| entry.name == name)
}

/// The entry whose name is nearest to a misspelt one, if it is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static Annotation> {
    // The API takes no longer one, and comparing takes the product of the lengths.
    if name.len() > 63 {
        return None;
    }
    let near = TABLE
        .iter()
        .map(|entry| (strsim::damerau_levenshtein(entry.name, name), entry));
    let (distance, entry) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2.max(name.len() / 6)).then_some(entry)
}

const fn honoured(
    name: &'static str,
    read: fn(&mut Settings, &str) -> Result<(), Problem>,
    doc: &'static str,
    example: &'static str,
    allowed: &'static str,
) -> Annotation {
    let handling = Handling::Honoured {
        read,
        guards: false,
        steers: false,
    };
    Annotation {
        name,
        doc,
        example,
        allowed,
        handling,
    }
}

const fn of_health(
    name: &'static str,
    read: fn(&mut Settings, &str) -> Result<(), Problem>,
    doc: &'static str,
    example: &'static str,
    allowed: &'static str,
) -> Annotation {
    let handling = Handling::Health { read };
    Annotation {
        name,
        doc,
        example,
        allowed,
        handling,
    }
}

/// What is reported and not honoured has nothing to be documented.
const fn reported(name: &'static str, handling: Handling) -> Annotation {
    Annotation {
        name,
        doc: "",
        example: "",
        allowed: "",
        handling,
    }
}

const fn later(name: &'static str, inert: &'static [&'static str]) -> Annotation {
    let guards = false;
    reported(name, Handling::NotYet { guards, inert })
}

const fn nothing(name: &'static str, instead: &'static str) -> Annotation {
    reported(name, Handling::Nothing { instead })
}

impl Annotation {
    /// It keeps somebody out.
    const fn guarding(mut self) -> Self {
        match &mut self.handling {
            Handling::Honoured { guards, .. } | Handling::NotYet { guards, .. } => *guards = true,
            Handling::Health { .. } | Handling::Nothing { .. } => {}
        }
        self
    }

    /// It decides where a request goes.
    const fn steering(mut self) -> Self {
        if let Handling::Honoured { steers, .. } = &mut self.handling {
            *steers = true;
        }
        self
    }
}

pub static TABLE: &[Annotation] = &[
    honoured(
        "rewrite-target",
        parse::rewrite_target,
        "Replaces the whole path before the request goes to the backend; the query stays. $1 to $9 are groups of the path's regular expression. A URL redirects there with 302.",
        "/$2",
        "Use a path such as /$2, or a URL.",
    ).steering(),
    honoured(
        "use-regex",
        parse::use_regex,
        "Reads paths of type ImplementationSpecific as regular expressions. With path semantics ingress-nginx: every path of the host, ignoring case.",
        "true",
        "Use \"true\" or \"false\".",
    ),
    honoured(
        "x-forwarded-prefix",
        parse::x_forwarded_prefix,
        "Sent to the backend as X-Forwarded-Prefix, together with rewrite-target only.",
        "/shop",
        "Use a path such as /shop.",
    ),
    honoured(
        "app-root",
        parse::app_root,
        "Redirects / to this path with 302.",
        "/app",
        "Use an absolute path such as /app.",
    ).steering(),
    honoured(
        "ssl-redirect",
        parse::ssl_redirect,
        "Whether requests by http are redirected to https with 308 where the host has TLS. Default true.",
        "false",
        "Use \"true\" or \"false\".",
    ),
    honoured(
        "force-ssl-redirect",
        parse::force_ssl_redirect,
        "Redirects requests by http to https even where the host has no TLS here. Default false.",
        "true",
        "Use \"true\" or \"false\".",
    ),
    honoured(
        "permanent-redirect",
        parse::permanent_redirect,
        "Answers every request with a redirect to this URL or path; $request_uri, $host and $scheme are put in.",
        "https://new.example.com$request_uri",
        "Use a URL or an absolute path.",
    ).steering(),
    honoured(
        "permanent-redirect-code",
        parse::permanent_redirect_code,
        "The code of permanent-redirect. Default 301.",
        "308",
        "Use a code between 300 and 308.",
    ),
    honoured(
        "temporal-redirect",
        parse::temporal_redirect,
        "As permanent-redirect, with 302; where both are given, this one decides.",
        "https://status.example.com",
        "Use a URL or an absolute path.",
    ).steering(),
    honoured(
        "temporal-redirect-code",
        parse::temporal_redirect_code,
        "The code of temporal-redirect. Default 302.",
        "307",
        "Use a code between 300 and 307.",
    ),
    honoured(
        "backend-protocol",
        parse::backend_protocol,
        "What is spoken to the endpoints. Default: the Service port's appProtocol, otherwise HTTP.",
        "HTTPS",
        "Use HTTP, HTTPS, GRPC or GRPCS.",
    ).steering(),
    honoured(
        "proxy-connect-timeout",
        parse::proxy_connect_timeout,
        "Seconds to wait for a connection to an endpoint. Default 5.",
        "10",
        "Use a whole number of seconds without a unit.",
    ),
    honoured(
        "proxy-read-timeout",
        parse::proxy_read_timeout,
        "Seconds between two reads from an endpoint. Default 60.",
        "120",
        "Use a whole number of seconds without a unit.",
    ),
    honoured(
        "proxy-send-timeout",
        parse::proxy_send_timeout,
        "Seconds between two writes to an endpoint. Default 60.",
        "120",
        "Use a whole number of seconds without a unit.",
    ),
    honoured(
        "proxy-body-size",
        parse::proxy_body_size,
        "The largest request body; a larger one gets 413. 0 is no limit. Default 1m.",
        "20m",
        "Use a number with k, m or g, such as 20m.",
    ),
    honoured(
        "upstream-vhost",
        parse::upstream_vhost,
        "Sent to the backend as Host; $service_name, $namespace and $service_port are put in.",
        "$service_name.$namespace.svc.cluster.local",
        "Use a host with an optional port.",
    ),
    honoured(
        "service-upstream",
        parse::service_upstream,
        "Sends requests to the Service's cluster IP instead of its endpoints. Default false.",
        "true",
        "Use \"true\" or \"false\".",
    ),
    honoured(
        "allowlist-source-range",
        parse::allowlist_source_range,
        "Only these client addresses may use the route; others get 403.",
        "10.0.0.0/8,192.168.1.7",
        "Use addresses and networks such as 10.0.0.0/8, separated by commas.",
    ).guarding(),
    honoured(
        "whitelist-source-range",
        parse::whitelist_source_range,
        "The older name of allowlist-source-range.",
        "10.0.0.0/8",
        "Use addresses and networks such as 10.0.0.0/8, separated by commas.",
    ).guarding(),
    honoured(
        "denylist-source-range",
        parse::denylist_source_range,
        "These client addresses get 403, before any allow-list.",
        "203.0.113.0/24",
        "Use addresses and networks such as 10.0.0.0/8, separated by commas.",
    ).guarding(),
    honoured(
        "canary",
        parse::canary,
        "Makes this Ingress another version of the same hosts and paths, chosen by the annotations below. Any number of canaries may stand beside the main Ingress.",
        "true",
        "Use \"true\" or \"false\".",
    ).steering(),
    honoured(
        "canary-by-header",
        parse::canary_by_header,
        "The header that decides: always chooses the canary, never the main version.",
        "X-Canary",
        "Use a header name.",
    ),
    honoured(
        "canary-by-header-value",
        parse::canary_by_header_value,
        "The header's value that chooses the canary, instead of always.",
        "beta",
        "Use a header value.",
    ),
    honoured(
        "canary-by-header-pattern",
        parse::canary_by_header_pattern,
        "A regular expression; a header value in which it is found chooses the canary.",
        "^v[0-9]+$",
        "Use a regular expression.",
    ),
    honoured(
        "canary-by-cookie",
        parse::canary_by_cookie,
        "The cookie that decides: always chooses the canary, never the main version.",
        "canary",
        "Use a cookie name.",
    ),
    honoured(
        "canary-weight",
        parse::canary_weight,
        "The share of other requests that goes to the canary, out of canary-weight-total.",
        "20",
        "Use a whole number.",
    ),
    honoured(
        "canary-weight-total",
        parse::canary_weight_total,
        "What canary-weight counts as the whole. Default and least 100.",
        "1000",
        "Use a whole number.",
    ),
    later("proxy-buffer-size", &[]),
    later("proxy-buffering", &["off"]),
    later("proxy-request-buffering", &["off"]),
    later("auth-type", &[]).guarding(),
    later("auth-secret", &[]).guarding(),
    later("auth-secret-type", &[]),
    later("auth-realm", &[]),
    later("auth-url", &[]).guarding(),
    later("auth-signin", &[]).guarding(),
    later("auth-response-headers", &[]),
    later("auth-request-redirect", &[]),
    later("enable-cors", &["false"]),
    later("cors-allow-origin", &[]),
    later("cors-allow-methods", &[]),
    later("cors-allow-headers", &[]),
    later("cors-allow-credentials", &[]),
    later("cors-expose-headers", &[]),
    later("cors-max-age", &[]),
    later("affinity", &[]),
    later("session-cookie-name", &[]),
    later("session-cookie-path", &[]),
    later("session-cookie-max-age", &[]),
    later("session-cookie-expires", &[]),
    later("session-cookie-samesite", &[]),
    later("session-cookie-secure", &[]),
    later("session-cookie-domain", &[]),
    later("from-to-www-redirect", &["false"]),
    later("ssl-passthrough", &["false"]),
    later("limit-rps", &["0"]).guarding(),
    later("limit-rpm", &["0"]).guarding(),
    later("limit-connections", &["0"]).guarding(),
    later("limit-burst-multiplier", &[]),
    later("limit-allowlist", &[]),
    later("limit-whitelist", &[]),
    later("limit-rate", &["0"]).guarding(),
    later("limit-rate-after", &["0"]),
    later("custom-http-errors", &[]),
    later("default-backend", &[]),
    later("custom-headers", &[]),
    later("server-alias", &[]),
    later("auth-tls-secret", &[]).guarding(),
    later("auth-tls-verify-client", &["off"]).guarding(),
    later("auth-tls-verify-depth", &[]),
    later("auth-tls-pass-certificate-to-upstream", &["false"]),
    later("auth-tls-match-cn", &[]).guarding(),
    later("auth-tls-error-page", &[]),
    later("proxy-ssl-secret", &[]),
    later("proxy-ssl-verify", &["off"]).guarding(),
    later("proxy-ssl-verify-depth", &[]),
    later("proxy-ssl-name", &[]),
    later("proxy-ssl-server-name", &["on"]),
    later("proxy-ssl-protocols", &[]),
    later("proxy-ssl-ciphers", &[]),
    later("proxy-next-upstream", &[]),
    later("proxy-next-upstream-timeout", &["0"]),
    later("proxy-next-upstream-tries", &[]),
    later("client-body-buffer-size", &[]),
    later("proxy-buffers-number", &[]),
    later("proxy-busy-buffers-size", &[]),
    later("proxy-max-temp-file-size", &[]),
    later("proxy-http-version", &["1.1"]),
    later("proxy-redirect-from", &["off"]),
    later("proxy-redirect-to", &["off"]),
    later("proxy-cookie-path", &["off"]),
    later("proxy-cookie-domain", &["off"]),
    later("affinity-mode", &[]),
    later("affinity-canary-behavior", &[]),
    later("session-cookie-change-on-failure", &["false"]),
    later("session-cookie-conditional-samesite-none", &["false"]),
    later("upstream-hash-by", &[]),
    later("load-balance", &["round_robin"]),
    later("auth-method", &[]),
    later("auth-signin-redirect-param", &[]),
    later("auth-proxy-set-headers", &[]),
    later("auth-always-set-cookie", &["false"]),
    later("enable-global-auth", &["true", "false"]),
    later("satisfy", &["all"]).guarding(),
    later("preserve-trailing-slash", &[]),
    later("enable-access-log", &["true"]),
    later("disable-proxy-intercept-errors", &[]),
    later("relative-redirects", &[]),
    later("use-port-in-redirects", &["false"]),
    later("ssl-ciphers", &[]),
    later("ssl-prefer-server-ciphers", &[]),
    later("connection-proxy-header", &[]),
    later("mirror-target", &[]),
    later("mirror-request-body", &[]),
    later("mirror-host", &[]),
    later("configuration-snippet", &[]),
    later("server-snippet", &[]),
    later("auth-snippet", &[]).guarding(),
    later("stream-snippet", &[]),
    later("modsecurity-snippet", &[]),
    later("enable-modsecurity", &["false"]),
    later("enable-owasp-core-rules", &["false"]),
    later("modsecurity-transaction-id", &[]),
    later("auth-cache-key", &[]),
    later("auth-cache-duration", &[]),
    later("auth-keepalive", &[]),
    later("auth-keepalive-requests", &[]),
    later("auth-keepalive-timeout", &[]),
    later("auth-keepalive-share-vars", &[]),
    later("upstream-hash-by-subset", &["false"]),
    later("upstream-hash-by-subset-size", &[]),
    later("enable-opentelemetry", &["false"]),
    later("opentelemetry-trust-incoming-span", &[]),
    later("opentelemetry-operation-name", &[]),
    later("enable-rewrite-log", &["false"]),
    later("http2-push-preload", &["false"]),
    later("fastcgi-index", &[]),
    later("fastcgi-params-configmap", &[]),
    of_health("probe", health::probe, "How endpoints are probed; off: not at all. Default: as the readinessProbe of each pod.", "http", "Use http, tcp, grpc or off."),
    of_health("probe-path", health::probe_path, "The path of the probe, sent to the pod as it is. Default: that of the readinessProbe.", "/health", "Use an absolute path that the application serves, without the public prefix."),
    of_health("probe-port", health::probe_port, "The container's port, by number or name; never that of the Service.", "8000", "Use a port of a container, as 8000 or http."),
    of_health("probe-host", health::probe_host, "The Host header of the probe.", "shop.example.com", "Use a host name."),
    of_health("probe-status", health::probe_status, "Statuses that pass, single or as inclusive ranges. Default 200-399.", "200-299,401", "Use statuses and ranges with commas between, as 200-299,401."),
    of_health("probe-period", health::probe_period, "Seconds between two probes of an endpoint.", "10", "Use a whole number of seconds from 1 to 300, as \"10\"."),
    of_health("probe-timeout", health::probe_timeout, "Seconds within which the answer must be there.", "2", "Use a whole number of seconds from 1 to 60, at most probe-period."),
    of_health("failure-threshold", health::failure_threshold, "Failures in a row that make an endpoint fail.", "3", "Use a whole number from 1 to 10."),
    of_health("success-threshold", health::success_threshold, "Passes in a row that make a failing endpoint pass again.", "2", "Use a whole number from 1 to 10."),
    of_health("prefix-check", health::prefix_check, "Whether the application answers below the public path: auto, off, or a path below it that clients use.", "/items", "Use auto, off, or an absolute path."),
    of_health("app-base-path", health::app_base_path, "The path that the application is mounted at.", "/shop", "Use an absolute path."),
    of_health("ejection", health::ejection, "Whether failing endpoints are only reported or taken out of rotation.", "report", "Use report or eject."),
    of_health("keep-percent", health::keep_percent, "Share of the ready endpoints that stays in rotation.", "50", "Use a whole number from 0 to 100."),
    of_health("below-keep", health::below_keep, "What happens where fewer would stay.", "use-all-ready", "Use use-all-ready, stop-ejecting or reject-requests."),
    nothing("secure-backends", "Use backend-protocol: HTTPS."),
    nothing("session-cookie-hash", "Remove it."),
    nothing(
        "proxy-set-headers",
        "Remove it; headers cannot be set by annotation.",
    ),
    nothing("client-max-body-size", "Use proxy-body-size."),
    nothing(
        "large-client-header-buffers",
        "Remove it; large headers are accepted.",
    ),
    nothing(
        "enable-websockets",
        "Remove it; WebSocket works without configuration.",
    ),
];
