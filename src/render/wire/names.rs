use std::fmt;
use std::str::FromStr;

use crate::model::names::{NameError, shown};
use crate::render::ProxyKind;

/// The name of an installation, first in the names of all its objects: a DNS label of at most 53
/// characters, as Helm has it for releases.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installation(String);

impl FromStr for Installation {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let label = raw.chars().all(|c| letter(c) || c == '-')
            && raw.starts_with(letter)
            && raw.ends_with(letter);
        match label && raw.len() <= 53 {
            true => Ok(Self(raw.to_owned())),
            false => Err(NameError::new(format!(
                "{} is no name of an installation; it has 1 to 53 lower-case letters, digits and '-', \
                 and neither begins nor ends with '-'",
                shown(raw)
            ))),
        }
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Installation {
    /// The ConfigMap that names all others.
    pub fn index(&self, proxy: ProxyKind) -> String {
        format!("{self}-{proxy}")
    }

    pub(super) fn shard(&self, proxy: ProxyKind, digest: &str) -> String {
        format!("{self}-{proxy}-{digest}")
    }

    pub(super) fn endpoints(&self, proxy: ProxyKind, bucket: u8) -> String {
        format!("{self}-{proxy}-endpoints-{bucket:02x}")
    }
}
