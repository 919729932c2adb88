//! The support itself, tested without a proxy: clients against the echo backend, and the checker
//! of expectations both ways, because a checker that cannot fail proves nothing.

mod clients;
mod expectations;

use std::net::SocketAddr;

use super::echo::{Echo, Identity};

/// A backend on free ports of the loopback address: plain, then TLS, then one that hangs up.
fn backend() -> anyhow::Result<(Echo, Ports)> {
    let wanted = ["127.0.0.1:0", "127.0.0.1:0=https", "127.0.0.1:0=close"];
    let listens = wanted.map(|text| text.parse().map_err(anyhow::Error::msg));
    let listens = listens.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let echo = Echo::start("test", &listens, &Identity::self_signed()?)?;
    let address = |index: usize| echo.listens()[index].address;
    let ports = Ports {
        plain: address(0),
        tls: address(1),
        closing: address(2),
    };
    Ok((echo, ports))
}

struct Ports {
    plain: SocketAddr,
    tls: SocketAddr,
    closing: SocketAddr,
}
