//! The health probe annotations of Azure's Application Gateway Ingress Controller, which mean what ours do.
//! They are read where that is asked for, and told of where it is not.

use crate::api::ANNOTATION_PREFIX;
use crate::model::diagnostics::{Diagnostic, Origin, settings};

pub const PREFIX: &str = "appgw.ingress.kubernetes.io/";

/// What a name of theirs stands for.
pub enum Alias {
    /// One of ours.
    Of(&'static str),
    /// It is met in the wild, and theirs is spelt otherwise.
    Misspelt {
        theirs: &'static str,
        ours: &'static str,
    },
}

/// None of what has nothing to do with health, or is no name of theirs.
pub fn alias(name: &str) -> Option<Alias> {
    let ours = match name {
        "health-probe-hostname" => "probe-host",
        "health-probe-port" => "probe-port",
        "health-probe-path" => "probe-path",
        "health-probe-status-codes" => "probe-status",
        "health-probe-interval" => "probe-period",
        "health-probe-timeout" => "probe-timeout",
        "health-probe-unhealthy-threshold" => "failure-threshold",
        "health-probe-status-code" => {
            return Some(Alias::Misspelt {
                theirs: "health-probe-status-codes",
                ours: "probe-status",
            });
        }
        _ => return None,
    };
    Some(Alias::Of(ours))
}

impl Alias {
    /// That a key is not read. `reads_agic`: those that are spelt well are.
    pub fn finding(&self, origin: Origin, key: &str, reads_agic: bool) -> Diagnostic {
        let near = match self {
            Self::Misspelt { theirs, .. } if reads_agic => format!("{PREFIX}{theirs}"),
            Self::Misspelt { ours, .. } | Self::Of(ours) => format!("{ANNOTATION_PREFIX}{ours}"),
        };
        settings::unknown_annotation(origin, key, Some(&near), false)
    }
}
