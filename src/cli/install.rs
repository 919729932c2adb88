//! `vigie install`: puts this program where another container of the pod can run it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::GOOD;

#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The file to write
    file: PathBuf,
}

pub fn install(args: &InstallArgs) -> anyhow::Result<u8> {
    let from = std::env::current_exe().context("cannot tell where this program lies")?;
    let file = &args.file;
    let failed = || format!("cannot write {}", file.display());
    // Whoever runs the file there goes on to run the old one.
    let next = file.with_extension("next");
    fs::copy(&from, &next).with_context(failed)?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).with_context(failed)?;
    fs::rename(&next, file).with_context(failed)?;
    Ok(GOOD)
}
