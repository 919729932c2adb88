//! The proxies that `make proxies` got.

use std::path::PathBuf;

use vigie::render::ProxyKind;
use vigie::standalone::find::find;

/// The program of a proxy.
pub fn binary(proxy: ProxyKind) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = runtime.expect("a runtime").block_on(find(proxy, None));
    found.expect("make proxies gets it").binary
}
