use std::collections::BTreeMap;

use crate::model::names::{
    HeaderName, HostMatch, PathRegex, RouteId, StatusCode, Template, TemplatePart, UpstreamName,
};
use crate::model::*;
use crate::render::bundle::{Bundle, Content, FileText};
use crate::render::{Capabilities, Placement, ProxyKind};

use super::*;

mod binary;
pub(crate) mod builders;
mod hostile;
mod laws;
mod routes;
mod syntax;
