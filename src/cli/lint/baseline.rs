//! Findings that are known already and are not to be told again: a list in a file, each by its code,
//! its object and its field, so that neither moved lines nor better words make it a new one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::model::diagnostics::{Diagnostic, Kind};

/// The form that this program reads and writes.
const VERSION: u32 = 1;

/// What makes a finding the same one again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub code: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub field: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Baseline(BTreeSet<Identity>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    findings: Vec<Identity>,
}

/// What a baseline did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Findings that are left out.
    pub hidden: usize,
    /// Entries that match nothing any more.
    pub stale: usize,
}

impl Identity {
    pub fn of(finding: &Diagnostic) -> Self {
        let object = &finding.origin.object;
        // In a file that cannot be read the field is a line.
        let field = match object.kind {
            Kind::Manifest => "",
            _ => finding.origin.field.as_str(),
        };
        Self {
            code: finding.code.to_string(),
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            field: field.to_owned(),
        }
    }
}

impl Baseline {
    pub fn of(found: &[Diagnostic]) -> Self {
        Self(found.iter().map(Identity::of).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the baseline {}", file.display());
        let text = std::fs::read_to_string(file).with_context(cannot)?;
        Self::parse(&text).with_context(cannot)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let written: Written = serde_json::from_str(text)
            .context("it is not what `vigie lint --write-baseline` writes; write it anew")?;
        if written.version != VERSION {
            bail!(
                "its version is {}, and this program reads version {VERSION}; write it anew with --write-baseline",
                written.version
            );
        }
        Ok(Self(written.findings.into_iter().collect()))
    }

    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = self.text()?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// One finding a line, in order, so that differences are read easily.
    fn text(&self) -> serde_json::Result<String> {
        let lines = self.0.iter().map(serde_json::to_string);
        let lines = lines.collect::<Result<Vec<_>, _>>()?.join(",\n");
        let lines = match lines.as_str() {
            "" => String::new(),
            lines => format!("\n{lines}\n"),
        };
        Ok(format!(
            "{{\"version\": {VERSION}, \"findings\": [{lines}]}}\n"
        ))
    }

    /// Takes away the findings that are listed.
    pub fn leave_out(&self, found: &mut Vec<Diagnostic>) -> Known {
        let before = found.len();
        let mut met = BTreeSet::new();
        found.retain(|finding| match self.0.get(&Identity::of(finding)) {
            Some(entry) => {
                met.insert(entry);
                false
            }
            None => true,
        });
        Known {
            hidden: before - found.len(),
            stale: self.0.len() - met.len(),
        }
    }
}

/// A baseline that lies among the manifests is none of them.
pub fn leave_out(found: &mut Vec<Diagnostic>, baseline: &Path) {
    let Ok(baseline) = baseline.canonicalize() else {
        return;
    };
    let is_baseline = |finding: &Diagnostic| {
        let object = &finding.origin.object;
        object.kind == Kind::Manifest
            && Path::new(object.name.as_ref())
                .canonicalize()
                .is_ok_and(|file| file == baseline)
    };
    found.retain(|finding| !is_baseline(finding));
}

impl Known {
    /// `3 known findings are left out`.
    pub fn sentence(self) -> String {
        let hidden = match self.hidden {
            1 => "1 known finding is left out".to_owned(),
            n => format!("{n} known findings are left out"),
        };
        match self.stale {
            0 => hidden,
            1 => format!(
                "{hidden}; 1 entry of the baseline matches nothing any more: --write-baseline drops it"
            ),
            n => format!(
                "{hidden}; {n} entries of the baseline match nothing any more: --write-baseline drops them"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
