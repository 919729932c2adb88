//! The routes of an Ingress as its rules write them: what the rows of a status are named by.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

/// One path of a rule, or the default backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `*` where the rule has none.
    pub host: String,
    pub path: String,
    /// Or DefaultBackend.
    pub path_type: String,
    /// As `shop:8080`; empty where there is no Service.
    pub backend: String,
    /// Where it stands in the Ingress.
    pub field: String,
    /// Stands for an Ingress without any route, so that what is wrong with it can be told.
    pub is_placeholder: bool,
}

impl Entry {
    /// `shop.example.com/api`.
    pub fn shown(&self) -> String {
        format!("{}{}", self.host, self.path)
    }

    /// Whether a finding at this field of the same Ingress is about this route too.
    pub fn concerned_by(&self, field: &str, ingress: &Ingress) -> bool {
        if self.is_placeholder {
            return true;
        }
        if let Some(rest) = field.strip_prefix(&self.field) {
            return rest.is_empty() || rest.starts_with(['.', '[']);
        }
        if field.starts_with("spec.rules[") {
            // Of the rule itself, such as its host.
            let own_rule = self.field.split(".http.").next().unwrap_or_default();
            let rest = field.strip_prefix(own_rule);
            return rest.is_some_and(|rest| rest.starts_with('.') && !rest.starts_with(".http."));
        }
        if field.starts_with("spec.defaultBackend") {
            return false;
        }
        match field.strip_prefix("spec.tls[") {
            Some(rest) => self.covered_by(rest, ingress),
            None => true,
        }
    }

    /// `place` is what follows `spec.tls[`.
    fn covered_by(&self, place: &str, ingress: &Ingress) -> bool {
        let number = place.split(']').next().and_then(|n| n.parse().ok());
        let tls = ingress.spec.as_ref().and_then(|spec| spec.tls.as_ref());
        let entry = tls.and_then(|tls| tls.get::<usize>(number?));
        let hosts = entry.and_then(|entry| entry.hosts.as_deref());
        let rules = ingress.spec.as_ref().and_then(|spec| spec.rules.as_ref());
        let ruled = |host: &String| {
            rules
                .into_iter()
                .flatten()
                .any(|r| r.host.as_ref() == Some(host))
        };
        // What stands for no route was meant for one of them.
        hosts.is_none_or(|hosts| hosts.contains(&self.host) || !hosts.iter().any(ruled))
    }
}

/// In the order of the Ingress; what is written twice is one route.
pub fn entries(ingress: &Ingress) -> Vec<Entry> {
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_deref());
    let mut entries = Vec::new();
    for (i, rule) in rules.unwrap_or_default().iter().enumerate() {
        let host = rule.host.as_deref().filter(|host| !host.is_empty());
        let paths = rule.http.as_ref().map(|http| http.paths.as_slice());
        for (j, path) in paths.unwrap_or_default().iter().enumerate() {
            let written = path.path.as_deref().filter(|path| !path.is_empty());
            entries.push(Entry {
                host: host.unwrap_or("*").to_owned(),
                path: written.unwrap_or("/").to_owned(),
                path_type: path.path_type.clone(),
                backend: shown_backend(&path.backend),
                field: format!("spec.rules[{i}].http.paths[{j}]"),
                is_placeholder: false,
            });
        }
    }
    let default = spec.and_then(|spec| spec.default_backend.as_ref());
    if default.is_some() || entries.is_empty() {
        entries.push(Entry {
            host: "*".to_owned(),
            path: "/".to_owned(),
            path_type: "DefaultBackend".to_owned(),
            backend: default.map(shown_backend).unwrap_or_default(),
            field: "spec.defaultBackend".to_owned(),
            is_placeholder: default.is_none(),
        });
    }
    let mut known = BTreeSet::new();
    entries.retain(|entry| {
        let Entry {
            host,
            path,
            path_type,
            ..
        } = entry;
        known.insert((host.clone(), path.clone(), path_type.clone()))
    });
    entries
}

fn shown_backend(backend: &IngressBackend) -> String {
    let Some(service) = &backend.service else {
        return match &backend.resource {
            Some(resource) => format!("{}/{}", resource.kind, resource.name),
            None => String::new(),
        };
    };
    let port = service.port.as_ref();
    let number = port.and_then(|port| port.number.map(|number| number.to_string()));
    let port = number.or_else(|| port.and_then(|port| port.name.clone()));
    match port {
        Some(port) => format!("{}:{port}", service.name),
        None => service.name.clone(),
    }
}
