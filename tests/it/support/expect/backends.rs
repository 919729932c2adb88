//! The echo backends of cases. One process runs many cases at once, so they share what they can.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;

use super::{BackendIdentity, Expectations, read};
use crate::support::echo::{Echo, Identity, Listen};

/// The backends that every case may point at without saying so.
pub const SHARED_BACKENDS: [&str; 6] = [
    "127.1.0.1:8080",
    "127.1.0.2:8080",
    "127.1.0.3:8080",
    "127.1.0.4:8080",
    "127.1.0.1:8443=https",
    "127.1.0.2:8443=https",
];

/// Backends that live as long as the process, because another case may be using them.
static SHARED: Mutex<Vec<Echo>> = Mutex::new(Vec::new());

/// Starts the backends of a case, unless they are running already.
///
/// What it returns must be kept for the time of the case: a case that brings an identity of its
/// own cannot share its backends.
pub fn start_backends(expectations: &Expectations) -> anyhow::Result<Option<Echo>> {
    let defaults = SHARED_BACKENDS.map(|text| text.parse().map_err(anyhow::Error::msg));
    let mut shared = defaults.into_iter().collect::<Result<Vec<Listen>, _>>()?;
    let wanted = expectations.listens()?;
    let own = match &expectations.backend_identity {
        Some(files) => {
            let identity = identity(files, &expectations.folder)?;
            Some(Echo::start("echo", &wanted, &identity)?)
        }
        None => {
            shared.extend(wanted);
            None
        }
    };
    share(&shared)?;
    Ok(own)
}

fn share(wanted: &[Listen]) -> anyhow::Result<()> {
    let mut running = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let known: Vec<Listen> = running.iter().flat_map(|e| e.listens().to_vec()).collect();
    let mut missing: Vec<Listen> = Vec::new();
    for listen in wanted {
        let same_address = |other: &&Listen| other.address == listen.address;
        let other = known.iter().chain(&missing).find(same_address);
        match other {
            None => missing.push(*listen),
            Some(other) => ensure!(
                other.mode == listen.mode,
                "{listen} is already shared as {other}: take another address"
            ),
        }
    }
    if !missing.is_empty() {
        running.push(Echo::start("echo", &missing, &Identity::self_signed()?)?);
    }
    Ok(())
}

fn identity(files: &BackendIdentity, folder: &Path) -> anyhow::Result<Identity> {
    let authorities = match &files.client_authorities {
        Some(file) => read(folder, file)?,
        None => String::new(),
    };
    let (chain, key) = (read(folder, &files.certificate)?, read(folder, &files.key)?);
    Ok(Identity::from_pem(&chain, &key, &authorities)?)
}
