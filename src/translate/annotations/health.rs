//! The annotations that stand for a RouteHealth of their Ingress: one reader each, into a spec for all its
//! routes. What a RouteHealth may not say, annotations may not either ([`join`]).

use super::parse::{Read, problem};
use super::{Problem, Settings};
use crate::api::route_health::check::{self, is_host, is_path, is_status};
use crate::api::route_health::{
    BelowKeep, CheckMode, EjectionMode, HttpProbe, ProbeType, RouteHealthSpec,
};

/// What holds where a value cannot be used.
const KEPT: &str = "it is not used";

fn spec(settings: &mut Settings) -> &mut RouteHealthSpec {
    settings.health.get_or_insert_default()
}

fn http(settings: &mut Settings) -> &mut HttpProbe {
    spec(settings).probe.http.get_or_insert_default()
}

fn number(value: &str, least: i32, most: i32, unit: &str) -> Result<i32, Problem> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let parsed = value.parse().ok().filter(|_| digits);
    match parsed {
        None => Err(problem(format!("it is not a whole number{unit}"), KEPT)),
        Some(number) if !(least..=most).contains(&number) => {
            let found = format!("it is not between {least} and {most}");
            Err(problem(found, KEPT))
        }
        Some(number) => Ok(number),
    }
}

fn choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
    let found = choices.iter().find(|(name, _)| *name == value);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        problem(format!("it is none of {}", names.join(", ")), KEPT)
    })
}

pub fn probe(settings: &mut Settings, value: &str) -> Read {
    let choices = [
        ("http", ProbeType::Http),
        ("tcp", ProbeType::Tcp),
        ("grpc", ProbeType::Grpc),
        ("off", ProbeType::None),
    ];
    spec(settings).probe.type_ = Some(choice(value, &choices)?);
    Ok(())
}

pub fn probe_path(settings: &mut Settings, value: &str) -> Read {
    if !is_path(value) {
        let found = "it is not an absolute path without blanks and '#'";
        return Err(problem(found, KEPT));
    }
    http(settings).path = Some(value.to_owned());
    Ok(())
}

pub fn probe_port(settings: &mut Settings, value: &str) -> Read {
    if value.bytes().all(|b| b.is_ascii_digit()) {
        spec(settings).probe.port = Some(number(value, 1, 65535, "")?);
    } else if check::is_port_name(value) {
        spec(settings).probe.port_name = Some(value.to_owned());
    } else {
        let found = "it is neither a port's number nor the name of a container's port";
        return Err(problem(found, KEPT));
    }
    Ok(())
}

pub fn probe_host(settings: &mut Settings, value: &str) -> Read {
    if !is_host(value) {
        return Err(problem("it is not a host name", KEPT));
    }
    http(settings).host = Some(value.to_owned());
    Ok(())
}

pub fn probe_status(settings: &mut Settings, value: &str) -> Read {
    let statuses: Vec<String> = value
        .split(',')
        .map(|part| part.trim().to_owned())
        .collect();
    if let Some(bad) = statuses.iter().find(|status| !is_status(status)) {
        let bad = crate::model::names::shown(bad);
        let found = format!("{bad} is neither a status, as 200, nor a range, as 200-399");
        return Err(problem(found, KEPT));
    }
    if statuses.len() > check::MOST_STATUSES {
        let found = format!("it has more than {} entries", check::MOST_STATUSES);
        return Err(problem(found, KEPT));
    }
    http(settings).expected_statuses = statuses;
    Ok(())
}

pub fn probe_period(settings: &mut Settings, value: &str) -> Read {
    spec(settings).probe.period_seconds = Some(number(value, 1, 300, " of seconds")?);
    Ok(())
}

pub fn probe_timeout(settings: &mut Settings, value: &str) -> Read {
    spec(settings).probe.timeout_seconds = Some(number(value, 1, 60, " of seconds")?);
    Ok(())
}

pub fn failure_threshold(settings: &mut Settings, value: &str) -> Read {
    spec(settings).probe.failure_threshold = Some(number(value, 1, 10, "")?);
    Ok(())
}

pub fn success_threshold(settings: &mut Settings, value: &str) -> Read {
    spec(settings).probe.success_threshold = number(value, 1, 10, "")?;
    Ok(())
}

pub fn prefix_check(settings: &mut Settings, value: &str) -> Read {
    let check = &mut spec(settings).prefix_check;
    match value {
        "off" => check.mode = CheckMode::Disabled,
        "auto" => check.mode = CheckMode::Auto,
        path if check::is_public_path(path) => check.path = Some(path.to_owned()),
        _ => {
            return Err(problem(
                "it is neither auto, off nor an absolute path",
                KEPT,
            ));
        }
    }
    Ok(())
}

pub fn app_base_path(settings: &mut Settings, value: &str) -> Read {
    if !check::is_public_path(value) {
        return Err(problem("it is not an absolute path", KEPT));
    }
    spec(settings).prefix_check.app_base_path = Some(value.to_owned());
    Ok(())
}

pub fn ejection(settings: &mut Settings, value: &str) -> Read {
    let choices = [
        ("report", EjectionMode::Report),
        ("eject", EjectionMode::Eject),
    ];
    spec(settings).ejection.mode = choice(value, &choices)?;
    Ok(())
}

pub fn keep_percent(settings: &mut Settings, value: &str) -> Read {
    spec(settings).ejection.keep_percent = number(value, 0, 100, "")?;
    Ok(())
}

pub fn below_keep(settings: &mut Settings, value: &str) -> Read {
    let choices = [
        ("use-all-ready", BelowKeep::UseAllReady),
        ("stop-ejecting", BelowKeep::StopEjecting),
        ("reject-requests", BelowKeep::RejectRequests),
    ];
    spec(settings).ejection.below_keep = choice(value, &choices)?;
    Ok(())
}

/// What holds only together. Returns the name of each annotation that cannot hold beside the others, and
/// why; it is taken back.
pub fn join(settings: &mut Settings) -> Vec<(&'static str, String)> {
    let Some(spec) = settings.health.as_deref_mut() else {
        return Vec::new();
    };
    let mut refused = Vec::new();
    let probe = &mut spec.probe;
    if let Some(http) = &probe.http {
        match probe.type_ {
            None | Some(ProbeType::Http) => probe.type_ = Some(ProbeType::Http),
            Some(_) => {
                let parts = [
                    ("probe-path", http.path.is_some()),
                    ("probe-host", http.host.is_some()),
                    ("probe-status", !http.expected_statuses.is_empty()),
                ];
                let given = parts.into_iter().filter(|(_, given)| *given);
                let why = "the probe is not of type http";
                refused.extend(given.map(|(name, _)| (name, why.to_owned())));
                probe.http = None;
            }
        }
    }
    if let (Some(period), Some(timeout)) = (probe.period_seconds, probe.timeout_seconds)
        && timeout > period
    {
        let why = format!("it is longer than probe-period, {period}");
        refused.push(("probe-timeout", why));
        probe.timeout_seconds = None;
    }
    if spec.ejection.mode == EjectionMode::Eject && probe.type_ == Some(ProbeType::None) {
        let why = "nothing is ejected without a probe, and probe is off";
        refused.push(("ejection", why.to_owned()));
        spec.ejection.mode = EjectionMode::Report;
    }
    refused
}
