use std::io::Write;

use super::GOOD;
use crate::api::route_health::crd_yaml;

pub fn crds() -> anyhow::Result<u8> {
    std::io::stdout().lock().write_all(crd_yaml()?.as_bytes())?;
    Ok(GOOD)
}
