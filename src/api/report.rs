//! What an agent says of its proxy: the data of a ConfigMap that nobody else writes. Whether it still
//! lives is said by a Lease beside it, so that a report changes only when there is something to say.
//!
//! ```text
//! format: "1"
//! pod: vigie-haproxy-7x2kq
//! proxy: haproxy
//! version: 3.4.7
//! revision: 2d1f0c9be1a4        of the structure that the proxy has proven to run; absent before that
//! refused: |                    absent while the proxy takes what is published
//!   {"revision":"…","words":"…","object":{"kind":"Ingress","namespace":"shop","name":"web","field":"spec"}}
//! ```
//!
//! As for bundles, readers of one format read the one before and the one after: keys are only added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format of what is written here.
pub const FORMAT: u32 = 1;

/// How often an agent renews its Lease, in seconds, and after how many a proxy does not count any more.
pub const RENEW_SECONDS: u64 = 10;
pub const LEASE_SECONDS: u64 = 40;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The name of the pod, for people.
    pub pod: String,
    /// `nginx` or `haproxy`.
    pub proxy: String,
    pub version: String,
    pub revision: Option<String>,
    pub refused: Option<RefusedReport>,
}

/// A structure that the proxy did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReport {
    pub revision: String,
    /// The proxy's own.
    pub words: String,
    /// What the words lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<RefusedObject>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedObject {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub field: String,
}

/// Why the data of a ConfigMap is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("key {0} is missing; every report has it")]
    Missing(&'static str),
    #[error(
        "it is of format {found}; this version reads formats up to {}",
        FORMAT + 1
    )]
    Format { found: String },
    #[error("key refused cannot be read: {0}")]
    Refused(String),
}

impl Report {
    pub fn write(&self) -> BTreeMap<String, String> {
        let mut data = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_string()),
            ("pod".to_owned(), self.pod.clone()),
            ("proxy".to_owned(), self.proxy.clone()),
            ("version".to_owned(), self.version.clone()),
        ]);
        if let Some(revision) = &self.revision {
            data.insert("revision".to_owned(), revision.clone());
        }
        // It is made of strings alone, which always can be written.
        if let Some(refused) = &self.refused
            && let Ok(text) = serde_json::to_string(refused)
        {
            data.insert("refused".to_owned(), text);
        }
        data
    }

    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, ReportError> {
        let text = |key: &'static str| data.get(key).cloned().ok_or(ReportError::Missing(key));
        let format = text("format")?;
        match format.parse::<u32>() {
            Ok(number) if number <= FORMAT + 1 => {}
            _ => return Err(ReportError::Format { found: format }),
        }
        let refused = data.get("refused");
        let refused = refused.map(|text| serde_json::from_str(text)).transpose();
        Ok(Self {
            pod: text("pod")?,
            proxy: text("proxy")?,
            version: text("version")?,
            revision: data.get("revision").cloned(),
            refused: refused.map_err(|error| ReportError::Refused(error.to_string()))?,
        })
    }
}

/// The name of the ConfigMap and of the Lease of a pod, whose UID or, outside of a cluster, name it is
/// made of: `vigie-report-` and ten hexadecimal digits.
pub fn report_name(pod: &str) -> String {
    let digest = blake3::hash(pod.as_bytes()).to_hex();
    format!("vigie-report-{}", &digest[..10])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            pod: "proxy-1".into(),
            proxy: "nginx".into(),
            version: "1.30.6".into(),
            revision: Some("2d1f0c9be1a4".into()),
            refused: Some(RefusedReport {
                revision: "aaaaaaaaaaaa".into(),
                words: "unknown directive \"x\"\nin line 3".into(),
                object: None,
            }),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        assert_eq!(Report::read(&report().write()), Ok(report()));
        let plain = Report {
            revision: None,
            refused: None,
            ..report()
        };
        assert_eq!(Report::read(&plain.write()), Ok(plain));
    }

    #[test]
    fn a_report_of_the_next_format_is_read_and_one_of_a_later_one_refused() {
        let mut data = report().write();
        data.insert("novelty".into(), "?".into());
        data.insert("format".into(), (FORMAT + 1).to_string());
        assert_eq!(Report::read(&data), Ok(report()));
        data.insert("format".into(), (FORMAT + 2).to_string());
        let found = (FORMAT + 2).to_string();
        assert_eq!(Report::read(&data), Err(ReportError::Format { found }));
    }

    #[test]
    fn a_report_without_a_proxy_is_none() {
        let mut data = report().write();
        data.remove("proxy");
        assert_eq!(Report::read(&data), Err(ReportError::Missing("proxy")));
    }
}
