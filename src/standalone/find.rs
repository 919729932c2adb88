//! The proxy's program: the one that is named, the one in our cache, or the one in PATH.

use std::env;
use std::path::{Path, PathBuf};

use crate::agent::driver::{DriverError, Found};
use crate::render::Capabilities;
use crate::render::bundle::ProxyKind;
use crate::render::capabilities::Version;

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(
        "no {proxy} is here: neither {} nor anything in PATH; install {proxy} {oldest} or newer, or name its program by --proxy-binary",
        cached.display()
    )]
    NotFound {
        proxy: ProxyKind,
        cached: PathBuf,
        oldest: Version,
    },
    #[error(transparent)]
    Unusable(#[from] DriverError),
}

/// Finds a program and asks for its version.
pub async fn find(proxy: ProxyKind, named: Option<&Path>) -> Result<Found, FindError> {
    if let Some(named) = named {
        return Ok(Found::at(proxy, named).await?);
    }
    let cached = cached(proxy);
    if cached.is_file() {
        return Ok(Found::at(proxy, &cached).await?);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join(proxy.as_str()));
    match candidates.find(|candidate| candidate.is_file()) {
        Some(binary) => Ok(Found::at(proxy, &binary).await?),
        None => Err(FindError::NotFound {
            proxy,
            cached,
            oldest: Capabilities::oldest(proxy),
        }),
    }
}

fn cached(proxy: ProxyKind) -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let given = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = given.filter(|path| path.is_absolute()).or_else(home);
    let program = match proxy {
        ProxyKind::Nginx => "nginx-1.30/nginx",
        ProxyKind::Haproxy => "haproxy-3.4/haproxy",
    };
    let cache = cache.unwrap_or_default();
    cache.join("vigie/proxies").join(program)
}
