//! What the API server was asked for, and by whom, in its own words.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub const POLICY_FILE: &str = "audit-policy.yaml";
pub const LOG_FILE: &str = "audit.log";

/// Only what accounts of tests ask for: neither the tests themselves nor the cluster's own parts.
pub const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [admin, 'system:apiserver', 'system:kube-controller-manager', 'system:anonymous']
- level: None
  userGroups: ['system:serviceaccounts:kube-system']
- level: Metadata
";

/// A request as the API server took it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub verb: String,
    /// With its subresource, as `ingresses/status`; the path where it is for no object, as `/api`.
    pub resource: String,
    /// Empty where it is for all, or for what lies in none.
    pub namespace: String,
    pub name: String,
    /// The status of the answer.
    pub code: u16,
}

impl Asked {
    pub fn is_forbidden(&self) -> bool {
        self.code == 403
    }
}

/// All that a user has asked for until now, in order; each once, also where it goes on, as a watch does.
/// What is answered is told a moment later: wait for what must be there.
pub fn requests_of(directory: &Path, user: &str) -> Vec<Asked> {
    let log = fs::read_to_string(directory.join(LOG_FILE)).unwrap_or_default();
    let mut found: Vec<(String, Asked)> = Vec::new();
    for line in log.lines().filter(|line| line.contains(user)) {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if event["user"]["username"] != user {
            continue;
        }
        let id = text(&event["auditID"]);
        let asked = asked(&event);
        match found.iter_mut().find(|(other, _)| *other == id) {
            Some((_, earlier)) => *earlier = asked,
            None => found.push((id, asked)),
        }
    }
    found.into_iter().map(|(_, asked)| asked).collect()
}

fn asked(event: &Value) -> Asked {
    let object = &event["objectRef"];
    let resource = match (object["resource"].as_str(), object["subresource"].as_str()) {
        (Some(resource), Some(part)) => format!("{resource}/{part}"),
        (Some(resource), None) => resource.to_owned(),
        (None, _) => text(&event["requestURI"]),
    };
    let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    Asked {
        verb: text(&event["verb"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: u16::try_from(code).expect("a status"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
