//! One reader for each honoured annotation. Values arrive trimmed.

use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Problem, Settings};
use crate::model::names::{HeaderName, HeaderValue, NameError, StatusCode, Template};
use crate::model::{AccessList, Protocol};

pub type Read = Result<(), Problem>;

pub fn problem(found: impl Into<String>, kept: &'static str) -> Problem {
    Problem {
        found: found.into(),
        kept,
    }
}

fn named<T>(parsed: Result<T, NameError>, kept: &'static str) -> Result<T, Problem> {
    parsed.map_err(|error| problem(error.to_string(), kept))
}

/// `true` and `false` in the spellings that Go's strconv.ParseBool knows, as ingress-nginx reads them.
fn boolean(value: &str, kept: &'static str) -> Result<bool, Problem> {
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
        _ => Err(problem("it is neither true nor false", kept)),
    }
}

fn number<T: FromStr>(value: &str, kept: &'static str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|_| problem("it is not a whole number of the allowed range", kept))
}

/// HAProxy counts a time-out in milliseconds below 2^31; a day over three weeks is below that.
const LONGEST_TIMEOUT: u64 = 24 * 24 * 3600;

/// Whole seconds; ingress-nginx takes no unit, but many a manifest has an `s`.
fn seconds(value: &str, kept: &'static str) -> Result<Duration, Problem> {
    let seconds: u64 = number(value.strip_suffix('s').unwrap_or(value), kept)?;
    if (1..=LONGEST_TIMEOUT).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(problem(
            format!("it is not between 1 and {LONGEST_TIMEOUT} seconds"),
            kept,
        ))
    }
}

pub fn rewrite_target(settings: &mut Settings, value: &str) -> Read {
    let kept = "the path is sent unchanged";
    let target: Template = named(value.parse(), kept)?;
    if !target.is_path() && !target.is_url() && target.highest_group() == 0 {
        return Err(problem(
            "it begins neither with '/' nor with http:// or https://",
            kept,
        ));
    }
    settings.rewrite_target = Some(target);
    Ok(())
}

pub fn use_regex(settings: &mut Settings, value: &str) -> Read {
    settings.use_regex = boolean(value, "paths are taken literally")?;
    Ok(())
}

pub fn x_forwarded_prefix(settings: &mut Settings, value: &str) -> Read {
    let kept = "the header is not sent";
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~!&()*+,;=:@%".contains(c);
    if !value.starts_with('/') || !value.chars().all(allowed) {
        return Err(problem("it is not a path", kept));
    }
    settings.forwarded_prefix = Some(named(value.parse::<HeaderValue>(), kept)?);
    Ok(())
}

pub fn app_root(settings: &mut Settings, value: &str) -> Read {
    let kept = "/ is not redirected";
    let target: Template = named(value.parse(), kept)?;
    if !value.starts_with('/') || value.starts_with("//") || target.highest_group() > 0 {
        return Err(problem("it is not an absolute path", kept));
    }
    settings.app_root = Some(target);
    Ok(())
}

pub fn ssl_redirect(settings: &mut Settings, value: &str) -> Read {
    settings.ssl_redirect = Some(boolean(value, "true is used")?);
    Ok(())
}

pub fn force_ssl_redirect(settings: &mut Settings, value: &str) -> Read {
    settings.force_ssl_redirect = boolean(value, "false is used")?;
    Ok(())
}

/// A redirect goes to a URL or to a path; a group has no path to come from.
fn location(value: &str) -> Result<Template, Problem> {
    let kept = "requests are not redirected";
    let location: Template = named(value.parse(), kept)?;
    let absolute_path = location.is_path() && !value.starts_with("//");
    if !(location.is_url() || absolute_path) || location.highest_group() > 0 {
        return Err(problem(
            "it is neither an http:// or https:// URL nor a path",
            kept,
        ));
    }
    Ok(location)
}

pub fn permanent_redirect(settings: &mut Settings, value: &str) -> Read {
    settings.permanent_redirect = Some(location(value)?);
    Ok(())
}

pub fn temporal_redirect(settings: &mut Settings, value: &str) -> Read {
    settings.temporal_redirect = Some(location(value)?);
    Ok(())
}

pub fn permanent_redirect_code(settings: &mut Settings, value: &str) -> Read {
    let kept = "301 is used";
    let code = StatusCode::redirect(number(value, kept)?);
    settings.permanent_redirect_code =
        Some(code.ok_or_else(|| problem("it is not between 300 and 308", kept))?);
    Ok(())
}

pub fn temporal_redirect_code(settings: &mut Settings, value: &str) -> Read {
    let kept = "302 is used";
    let code = StatusCode::redirect(number(value, kept)?).filter(|code| code.get() <= 307);
    settings.temporal_redirect_code =
        Some(code.ok_or_else(|| problem("it is not between 300 and 307", kept))?);
    Ok(())
}

pub fn backend_protocol(settings: &mut Settings, value: &str) -> Read {
    settings.protocol = Some(match value.to_ascii_uppercase().as_str() {
        "HTTP" => Protocol::Http,
        "HTTPS" => Protocol::Https,
        "GRPC" => Protocol::Grpc,
        "GRPCS" => Protocol::Grpcs,
        "AUTO_HTTP" | "FCGI" => {
            return Err(problem(
                "this protocol is not honoured by this release",
                "HTTP is used",
            ));
        }
        _ => return Err(problem("no such protocol is known", "HTTP is used")),
    });
    Ok(())
}

pub fn proxy_connect_timeout(settings: &mut Settings, value: &str) -> Read {
    settings.timeouts.connect = seconds(value, "5 is used")?;
    Ok(())
}

pub fn proxy_read_timeout(settings: &mut Settings, value: &str) -> Read {
    settings.timeouts.read = seconds(value, "60 is used")?;
    Ok(())
}

pub fn proxy_send_timeout(settings: &mut Settings, value: &str) -> Read {
    settings.timeouts.send = seconds(value, "60 is used")?;
    Ok(())
}

/// A size as nginx writes it: a number with k, m or g, each a power of 1024; 0 is no limit.
pub fn proxy_body_size(settings: &mut Settings, value: &str) -> Read {
    let kept = "1m is used";
    let (digits, factor) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 1_u64 << 10),
        Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&value[..at], 1 << 30),
        _ => (value, 1),
    };
    let size = number::<u64>(digits, kept)?
        .checked_mul(factor)
        .filter(|size| *size <= 1 << 50)
        .ok_or_else(|| problem("it is larger than 1024 TiB", kept))?;
    settings.body_limit.octets = Some(size).filter(|size| *size > 0);
    Ok(())
}

/// The Host that is sent. The variables are those that ingress-nginx's users put here; each is known
/// when the route is built.
pub fn upstream_vhost(settings: &mut Settings, value: &str) -> Read {
    let kept = "the client's Host is sent";
    let filled = value
        .replace("$service_name", "service")
        .replace("$service_port", "80")
        .replace("$namespace", "namespace");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if filled.is_empty() || filled.len() > 253 {
        return Err(problem("a host has 1 to 253 characters", kept));
    }
    if !filled.chars().all(allowed) {
        return Err(problem("it is not a host with an optional port", kept));
    }
    settings.upstream_vhost = Some(value.to_owned());
    Ok(())
}

pub fn service_upstream(settings: &mut Settings, value: &str) -> Read {
    settings.service_upstream = boolean(value, "endpoints are used")?;
    Ok(())
}

/// Addresses and networks, separated by commas. One bad entry makes the whole list unreadable:
/// dropping it would allow, or deny, other addresses than were asked for.
fn networks(value: &str) -> Result<Vec<IpNet>, Problem> {
    let mut networks = Vec::new();
    for entry in value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let network = crate::translate::network(entry).ok_or_else(|| {
            let entry = crate::model::names::shown(entry);
            problem(format!("holds {entry}, which is no address or network"), "")
        })?;
        networks.push(network);
    }
    if networks.is_empty() {
        return Err(problem("holds no address", ""));
    }
    networks.sort();
    networks.dedup();
    Ok(networks)
}

pub fn allowlist_source_range(settings: &mut Settings, value: &str) -> Read {
    settings
        .access
        .get_or_insert_with(AccessList::default)
        .allow = networks(value)?;
    Ok(())
}

/// The older name; where both are given, allowlist-source-range decides.
pub fn whitelist_source_range(settings: &mut Settings, value: &str) -> Read {
    let networks = networks(value)?;
    let access = settings.access.get_or_insert_with(AccessList::default);
    if access.allow.is_empty() {
        access.allow = networks;
    }
    Ok(())
}

pub fn denylist_source_range(settings: &mut Settings, value: &str) -> Read {
    settings.access.get_or_insert_with(AccessList::default).deny = networks(value)?;
    Ok(())
}

pub fn canary(settings: &mut Settings, value: &str) -> Read {
    settings.canary.enabled = boolean(value, "this Ingress is no canary")?;
    Ok(())
}

pub fn canary_by_header(settings: &mut Settings, value: &str) -> Read {
    settings.canary.header = Some(named(HeaderName::header(value), "no header decides")?);
    Ok(())
}

pub fn canary_by_header_value(settings: &mut Settings, value: &str) -> Read {
    settings.canary.header_value = Some(named(
        value.parse(),
        "the header decides by always and never",
    )?);
    Ok(())
}

pub fn canary_by_header_pattern(settings: &mut Settings, value: &str) -> Read {
    settings.canary.header_pattern = Some(named(
        value.parse(),
        "the header decides by always and never",
    )?);
    Ok(())
}

pub fn canary_by_cookie(settings: &mut Settings, value: &str) -> Read {
    settings.canary.cookie = Some(named(HeaderName::cookie(value), "no cookie decides")?);
    Ok(())
}

pub fn canary_weight(settings: &mut Settings, value: &str) -> Read {
    settings.canary.weight = number(value, "0 is used")?;
    Ok(())
}

pub fn canary_weight_total(settings: &mut Settings, value: &str) -> Read {
    settings.canary.weight_total = Some(number(value, "100 is used")?);
    Ok(())
}

/// What holds between annotations, once all are read.
pub fn join(settings: &mut Settings) {
    // X-Forwarded-Prefix goes out only together with a rewrite, as in ingress-nginx.
    if settings.rewrite_target.is_none() {
        settings.forwarded_prefix = None;
    }
}
