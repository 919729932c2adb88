//! What a route does to requests whatever its action: redirect to https, HSTS, limits and lists.

use super::action::annotation;
use super::class::Claimed;
use super::ingress::Entry;
use super::tls::{Tls, speaks_for};
use super::{Options, PathSemantics};
use crate::model::diagnostics::{Diagnostic, programmed};
use crate::model::names::{HostMatch, StatusCode};
use crate::model::{BodyLimit, Hsts, HttpsRedirect, Policy, Timeouts};

/// One year, as ingress-nginx sends it.
const HSTS_SECONDS: u64 = 31_536_000;

/// The policy of an Ingress's routes under a host.
pub fn policy(tls: &Tls, host: &HostMatch, claimed: &Claimed<'_>) -> Policy {
    let settings = &claimed.settings;
    let compatible = claimed.semantics == PathSemantics::IngressNginx;
    let wanted = settings.ssl_redirect.unwrap_or(true) && has_tls(tls, host, claimed);
    let https_redirect = (settings.force_ssl_redirect || wanted).then_some(HttpsRedirect {
        code: StatusCode::PERMANENT_REDIRECT,
        strip_trailing_slash: compatible,
    });
    let hsts = compatible.then_some(Hsts {
        max_age: HSTS_SECONDS,
        include_subdomains: true,
        preload: false,
    });
    Policy {
        https_redirect,
        hsts,
        timeouts: settings.timeouts.clone(),
        body_limit: settings.body_limit.clone(),
        access: settings.access.clone(),
    }
}

/// The policy of a route that no Ingress speaks for.
pub fn unset() -> Policy {
    Policy {
        https_redirect: None,
        hsts: None,
        timeouts: Timeouts::default(),
        body_limit: BodyLimit::default(),
        access: None,
    }
}

/// The redirect follows spec.tls, whether or not the Secret can be used. In compatible classes any
/// entry of spec.tls speaks for all rules of its Ingress, as ingress-nginx has it. Another Ingress
/// speaks for a host only by a certificate that is served for it.
fn has_tls(tls: &Tls, host: &HostMatch, claimed: &Claimed<'_>) -> bool {
    let spec = claimed.ingress.spec.as_ref();
    let entries = spec
        .and_then(|spec| spec.tls.as_deref())
        .unwrap_or_default();
    let own = match claimed.semantics {
        PathSemantics::IngressNginx => !entries.is_empty(),
        PathSemantics::Strict => entries
            .iter()
            .any(|entry| speaks_for(entry.hosts.as_deref().unwrap_or_default(), host)),
    };
    own || tls.of_host.contains_key(host)
}

/// Tells of a redirect to https that could loop: TLS may end in front, and we would not know.
pub fn advise_redirect_loop(
    options: &Options,
    tls: &Tls,
    entries: &[Entry<'_>],
    findings: &mut Vec<Diagnostic>,
) {
    if options.proxy_protocol || !options.trusted_proxies.is_empty() {
        return;
    }
    let risky = entries.iter().find(|entry| {
        entry.claimed.settings.force_ssl_redirect && !has_tls(tls, &entry.host, entry.claimed)
    });
    if let Some(entry) = risky {
        let origin = annotation(entry.claimed, "force-ssl-redirect");
        findings.push(programmed::redirect_loop_risk(origin));
    }
}
