//! The folders: what they hold, and what they expect.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vigie::api::route_health::{ConditionStatus, RouteHealthStatus};
use vigie::model::diagnostics::{Diagnostic, ObjectRef};

use super::seen::{Telling, telling};
use super::{Told, ensure};

pub struct Row {
    pub name: String,
    directory: PathBuf,
    pub broken: String,
    pub healthy: String,
    pub expected: Expected,
}

/// `expect.yaml`; tests/rows/README.md says what its keys mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expected {
    #[serde(rename = "row")]
    _row: u16,
    pub code: String,
    reason: String,
    stage: String,
    severity: String,
    object: String,
    field: String,
    pub lint: String,
    status: Option<String>,
    pub cluster: Option<String>,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub fix: String,
}

/// A set-up of `tests/rows-healthy`.
pub struct Unusual {
    pub name: String,
    pub objects: String,
    /// Status and reason of its health.
    pub healthy: String,
    /// Only a part of what is applied: what is missing stands elsewhere.
    pub part: bool,
    pub cluster: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ExpectedOfUnusual {
    healthy: String,
    #[serde(default)]
    part: bool,
    cluster: Option<String>,
}

fn folders(root: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(root);
    let wanted = std::env::var("ROW").unwrap_or_default();
    let entries = fs::read_dir(&root).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| {
        path.file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    let named = paths
        .filter(|path| path.is_dir())
        .map(|path| (name(&path), path));
    let mut found: Vec<_> = named.filter(|(name, _)| name.contains(&wanted)).collect();
    found.sort();
    found
}

fn read(directory: &Path, file: &str) -> String {
    let path = directory.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Row {
    pub fn all() -> Vec<Self> {
        let open = |(name, directory): (String, PathBuf)| {
            let expected = serde_saphyr::from_str(&read(&directory, "expect.yaml"));
            Self {
                broken: read(&directory, "broken.yaml"),
                healthy: read(&directory, "healthy.yaml"),
                expected: expected.unwrap_or_else(|error| panic!("{name}: {error}")),
                directory,
                name,
            }
        };
        folders("rows").into_iter().map(open).collect()
    }

    /// Writes the words down; all else is asserted.
    pub fn bless(&self, found: &Diagnostic) {
        let text = read(&self.directory, "expect.yaml");
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("message: ") && !line.starts_with("fix: "));
        let mut lines: Vec<String> = kept.map(str::to_owned).collect();
        lines.push(format!("message: {:?}", found.message));
        lines.push(format!("fix: {:?}", found.fix));
        let path = self.directory.join("expect.yaml");
        fs::write(path, lines.join("\n") + "\n").expect("it can be written");
    }
}

impl Unusual {
    pub fn all() -> Vec<Self> {
        let open = |(name, directory): (String, PathBuf)| {
            let expected = serde_saphyr::from_str(&read(&directory, "expect.yaml"));
            let expected: ExpectedOfUnusual =
                expected.unwrap_or_else(|error| panic!("{name}: {error}"));
            Self {
                objects: read(&directory, "objects.yaml"),
                healthy: expected.healthy,
                part: expected.part,
                cluster: expected.cluster,
                name,
            }
        };
        folders("rows-healthy").into_iter().map(open).collect()
    }
}

impl Expected {
    pub fn is(&self, found: &Diagnostic) -> bool {
        found.code.as_str() == self.code
            && found.code.reason() == self.reason
            && format!("{:?}", found.severity).to_lowercase() == self.severity
            && found.origin.object.to_string() == self.object
            && found.origin.field.as_str() == self.field
    }

    pub fn is_advice(&self) -> bool {
        self.stage == "Advice"
    }

    /// One RouteHealth of all tells it, and the others are healthy.
    pub fn is_told(
        &self,
        statuses: &BTreeMap<ObjectRef, RouteHealthStatus>,
        namespace: &str,
    ) -> Told {
        let all: Vec<Telling> = statuses.values().map(telling).collect();
        let (tell, others): (Vec<&Telling>, Vec<&Telling>) = all
            .iter()
            .partition(|told| told.codes().any(|code| code == self.code));
        if self.status.as_deref() == Some("silent") {
            return ensure(tell.is_empty(), "told, not silent", &tell);
        }
        let healthy = others
            .iter()
            .all(|told| told.healthy.0 == ConditionStatus::True);
        ensure(healthy, "others are not healthy", &others)?;
        let [told] = tell.as_slice() else {
            return Err(format!("not told by one: {all:#?}"));
        };
        let here = |text: &str| text.replace("default/", &format!("{namespace}/"));
        let (message, fix) = (here(&self.message), here(&self.fix));
        let diagnosis = told
            .diagnoses
            .iter()
            .find(|diagnosis| diagnosis.code == self.code);
        let same = diagnosis.is_some_and(|diagnosis| {
            diagnosis.message == message
                && diagnosis.fix == fix
                && diagnosis.reason == self.reason
                && format!("{:?}", diagnosis.severity).to_lowercase() == self.severity
        });
        ensure(same, "the diagnosis differs", told)?;
        let broken: Vec<_> = told
            .broken
            .iter()
            .map(|(stage, reason, _)| (&**stage, &**reason))
            .collect();
        if self.is_advice() {
            ensure(
                broken.is_empty() && told.healthy.0 == ConditionStatus::True,
                "a stage is False",
                told,
            )
        } else {
            ensure(
                broken == [(&*self.stage, &*self.reason)],
                "another stage is False",
                told,
            )?;
            ensure(
                told.healthy == (ConditionStatus::False, self.reason.clone()),
                "Healthy differs",
                told,
            )?;
            ensure(
                told.broken[0].2 == message,
                "the condition's message differs",
                told,
            )
        }
    }
}
