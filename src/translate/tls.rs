//! spec.tls → certificates of hosts. A Secret that cannot be used never takes a working certificate
//! away: the last good one stays.

mod pem;

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use k8s_openapi::api::core::v1::Secret;

use super::class::Claimed;
use super::memo::Certificates;
use super::quarantine::Quarantine;
use super::{Memory, Options};
use crate::model::diagnostics::{Diagnostic, FieldPath, Kind, ObjectRef, Origin, references};
use crate::model::names::{CertificateId, HostMatch, shown};
use crate::model::{Certificate, certificate_covers};
use crate::snapshot::{ObjectName, Snapshot};

pub use pem::certificate;

/// A certificate this near to its end is warned about.
const SOON_DAYS: i32 = 14;

/// Which hosts have TLS, and with which certificates.
#[derive(Default)]
pub struct Tls {
    pub certificates: BTreeMap<CertificateId, Certificate>,
    pub of_host: BTreeMap<HostMatch, Vec<CertificateId>>,
    pub memory: Memory,
}

/// One use of a Secret by an Ingress.
struct Use {
    origin: Origin,
    /// Rule hosts that this entry speaks for.
    hosts: Vec<HostMatch>,
}

/// Reads spec.tls of all Ingresses, the oldest first.
pub fn tls(
    snapshot: &Snapshot,
    options: &Options,
    quarantine: &Quarantine,
    claimed: &[Claimed<'_>],
    certificates: &mut Certificates,
    findings: &mut Vec<Diagnostic>,
) -> Tls {
    let mut uses: BTreeMap<ObjectName, Vec<Use>> = BTreeMap::new();
    let mut order: Vec<(ObjectName, HostMatch)> = Vec::new();
    for ingress in claimed {
        for (secret, used) in entries(ingress, findings) {
            order.extend(used.hosts.iter().map(|host| (secret.clone(), host.clone())));
            uses.entry(secret).or_default().push(used);
        }
    }
    let mut tls = Tls::default();
    // Of a Secret that was set aside its own finding tells.
    let kept = |(secret, _): &(&ObjectName, _)| !quarantine.leaves_out_secret(secret);
    for (secret, uses) in uses.iter().filter(kept) {
        let read = snapshot.secrets.get(secret);
        let read = read.map(|object| certificates.of(secret, object));
        if let Some(certificate) = usable(read, options, secret, uses, findings) {
            tls.memory
                .certificates
                .insert(secret.clone(), certificate.clone());
            tls.certificates.insert(
                CertificateId::new(&secret.namespace, &secret.name),
                certificate,
            );
        }
    }
    tls.assign(order);
    tls
}

impl Tls {
    /// Gives each host its oldest fitting certificate, and beside it one of another kind of key.
    fn assign(&mut self, order: Vec<(ObjectName, HostMatch)>) {
        for (secret, host) in order {
            let id = CertificateId::new(&secret.namespace, &secret.name);
            let Some(certificate) = self.certificates.get(&id) else {
                continue;
            };
            if !certificate_covers(&certificate.names, &host) {
                continue;
            }
            let chosen = self.of_host.entry(host).or_default();
            let kinds = |id: &CertificateId| self.certificates.get(id).map(|c| c.key);
            if chosen
                .iter()
                .all(|other| kinds(other) != Some(certificate.key))
            {
                chosen.push(id);
            }
        }
    }

    /// The certificate that is served where no other fits: the Secret's, the last good one of it, or the
    /// one that the options hold.
    pub fn default_certificate(
        &mut self,
        snapshot: &Snapshot,
        options: &Options,
        quarantine: &Quarantine,
        certificates: &mut Certificates,
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Certificate> {
        let made = options.default_certificate.clone();
        let secret = options.default_certificate_secret.as_ref();
        let Some(secret) = secret.filter(|secret| !quarantine.leaves_out_secret(secret)) else {
            return made;
        };
        let object = ObjectRef::new(Kind::Option, "", "default-certificate");
        let origin = Origin::new(object, FieldPath::default());
        let last_good = options.memory.certificates.get(secret);
        let served = match last_good {
            Some(_) => "The last good certificate stays in use.",
            None => "A certificate made at the start is served.",
        };
        let name = shown(&secret.to_string());
        let read = snapshot.secrets.get(secret);
        let found = match read.map(|object| certificates.of(secret, object)) {
            Some(Ok(certificate)) => Some(certificate),
            Some(Err(why)) => {
                findings.push(references::tls_secret_invalid(origin, &name, &why, served));
                last_good.cloned()
            }
            None => {
                findings.push(references::default_certificate_not_found(
                    origin, &name, served,
                ));
                last_good.cloned()
            }
        };
        if let Some(certificate) = &found {
            let remembered = &mut self.memory.certificates;
            remembered.insert(secret.clone(), certificate.clone());
        }
        found.or(made)
    }
}

/// The hosts of an Ingress's rules.
pub fn rule_hosts(claimed: &Claimed<'_>) -> BTreeSet<HostMatch> {
    let spec = claimed.ingress.spec.as_ref();
    let rules = spec
        .and_then(|spec| spec.rules.as_deref())
        .unwrap_or_default();
    rules
        .iter()
        .filter_map(|r| r.host.as_deref().unwrap_or_default().parse().ok())
        .collect()
}

/// Whether one of the hosts of a spec.tls entry speaks for a rule's host.
pub fn speaks_for(tls_hosts: &[String], host: &HostMatch) -> bool {
    tls_hosts.is_empty() || certificate_covers(tls_hosts, host)
}

/// The entries of spec.tls that name a Secret; tells of those that do not, and of hosts without rule.
fn entries(claimed: &Claimed<'_>, findings: &mut Vec<Diagnostic>) -> Vec<(ObjectName, Use)> {
    let mut used = Vec::new();
    let spec = claimed.ingress.spec.as_ref();
    let entries = spec
        .and_then(|spec| spec.tls.as_deref())
        .unwrap_or_default();
    if entries.is_empty() {
        return used;
    }
    let rule_hosts = rule_hosts(claimed);
    for (i, entry) in entries.iter().enumerate() {
        let field = FieldPath::new("spec.tls").index(i);
        let hosts = entry.hosts.as_deref().unwrap_or_default();
        for (j, host) in hosts.iter().enumerate() {
            let has_rule = match host.parse::<HostMatch>() {
                Ok(HostMatch::Exact(_)) => rule_hosts.iter().any(|rule| rule.to_string() == *host),
                Ok(_) => rule_hosts
                    .iter()
                    .any(|rule| speaks_for(std::slice::from_ref(host), rule)),
                Err(_) => false,
            };
            if !has_rule {
                let of_rules: Vec<String> = rule_hosts.iter().map(ToString::to_string).collect();
                let of_rules = if of_rules.is_empty() {
                    "none".into()
                } else {
                    of_rules.join(", ")
                };
                let origin = Origin::new(claimed.object.clone(), field.key("hosts").index(j));
                findings.push(references::tls_host_unused(origin, &shown(host), &of_rules));
            }
        }
        let Some(secret) = entry.secret_name.as_deref().filter(|name| !name.is_empty()) else {
            if !hosts.is_empty() {
                let origin = Origin::new(claimed.object.clone(), field.clone());
                findings.push(references::tls_entry_without_secret(
                    origin,
                    &hosts.join(", "),
                ));
            }
            continue;
        };
        let secret = ObjectName::new(claimed.name.namespace.clone(), secret);
        let origin = Origin::new(claimed.object.clone(), field.key("secretName"));
        let hosts = rule_hosts
            .iter()
            .filter(|host| speaks_for(hosts, host))
            .cloned()
            .collect();
        used.push((secret, Use { origin, hosts }));
    }
    used
}

/// The certificate that was read of a Secret, or the last good one; tells every Ingress that uses it
/// what is wrong.
fn usable(
    read: Option<Result<Certificate, String>>,
    options: &Options,
    secret: &ObjectName,
    uses: &[Use],
    findings: &mut Vec<Diagnostic>,
) -> Option<Certificate> {
    let last_good = options.memory.certificates.get(secret);
    let served = instead(last_good);
    let name = shown(&secret.name);
    let found = match read {
        Some(Ok(certificate)) => certificate,
        Some(Err(why)) => {
            for used in uses {
                let origin = used.origin.clone();
                findings.push(references::tls_secret_invalid(origin, &name, &why, served));
            }
            return last_good.cloned();
        }
        None => {
            for used in uses {
                let (origin, hosts) = (used.origin.clone(), join(&used.hosts));
                let finding = references::tls_secret_not_found(origin, &name, &hosts, served);
                findings.push(finding);
            }
            return last_good.cloned();
        }
    };
    // A certificate for none of the hosts is not put in place of one that fits.
    let fits = |c: &Certificate| {
        uses.iter()
            .flat_map(|used| &used.hosts)
            .any(|host| certificate_covers(&c.names, host))
    };
    let stays = last_good.filter(|last| !fits(&found) && fits(last));
    let served = instead(stays);
    for used in uses {
        let hosts = used.hosts.iter();
        for host in hosts.filter(|host| !certificate_covers(&found.names, host)) {
            findings.push(references::tls_host_mismatch(
                used.origin.clone(),
                &name,
                &host.to_string(),
                &found.names,
                served,
            ));
        }
        expiry(options, &found, &name, used, findings);
    }
    Some(stays.cloned().unwrap_or(found))
}

/// What is served in place of a certificate that cannot be used, as a sentence.
fn instead(last_good: Option<&Certificate>) -> &'static str {
    match last_good {
        Some(_) => "The last good certificate stays in use.",
        None => "The default certificate is served.",
    }
}

fn expiry(
    options: &Options,
    certificate: &Certificate,
    secret: &str,
    used: &Use,
    findings: &mut Vec<Diagnostic>,
) {
    let end = certificate.not_after;
    let soon = options.today.saturating_add(SOON_DAYS.days());
    if end < options.today {
        findings.push(references::tls_expired(
            used.origin.clone(),
            secret,
            &end.to_string(),
        ));
    } else if end <= soon {
        findings.push(references::tls_expires_soon(
            used.origin.clone(),
            secret,
            &end.to_string(),
        ));
    }
}

fn join(hosts: &[HostMatch]) -> String {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "of no rule".into()
    } else {
        names.join(", ")
    }
}

/// Reads a Secret of type kubernetes.io/tls; any Secret with its two keys is taken.
pub fn of_secret(name: &ObjectName, secret: &Secret) -> Result<Certificate, String> {
    let data = secret.data.as_ref();
    let part = |key: &str| {
        let found = data
            .and_then(|data| data.get(key))
            .filter(|bytes| !bytes.0.is_empty());
        found.map(|bytes| bytes.0.as_slice()).ok_or_else(|| {
            let keys: Vec<&str> = data
                .into_iter()
                .flatten()
                .map(|(key, _)| key.as_str())
                .collect();
            let keys = if keys.is_empty() {
                "none".into()
            } else {
                keys.join(", ")
            };
            format!("it has no {key}; its keys: {keys}")
        })
    };
    certificate(name, part("tls.crt")?, part("tls.key")?)
}

#[cfg(test)]
mod tests;
