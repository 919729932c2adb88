//! Addresses to listen on, as they are written on the command line.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::bail;

/// An address as given; None is the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(Option<SocketAddr>);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let port = text.strip_prefix(':').map(str::parse::<u16>);
        if let Some(Ok(port)) = port {
            return Ok(Self(Some((Ipv4Addr::UNSPECIFIED, port).into())));
        }
        let local = text.replacen("localhost:", "127.0.0.1:", 1);
        let address = local.parse();
        address.map(|a| Self(Some(a))).map_err(|_| {
            "write :8080, 127.0.0.1:8080, [::1]:8080, 127.0.0.1:0 for a free port, or none".into()
        })
    }
}

/// Sees that each address is free, and chooses a port where none is given. The proxy takes them a
/// moment later; what takes them in between is told by the proxy's own words.
pub fn take(option: &str, given: &[Address]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut listeners = Vec::new();
    let mut taken = Vec::new();
    for address in given.iter().filter_map(|a| a.0) {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) => bail!(why(option, address, &error)),
        };
        taken.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(taken)
}

fn why(option: &str, address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use: end what listens there, or give another address by {option} ({}:0 takes a free port)",
            host(address)
        ),
        io::ErrorKind::PermissionDenied => format!(
            "{address} may not be listened on: ports below 1024 need a privilege; give a higher one by {option}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine: give another one by {option}")
        }
        _ => format!("{address} cannot be listened on ({error}): give another address by {option}"),
    }
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// How a client on this machine reaches it.
pub fn url(scheme: &str, address: SocketAddr) -> String {
    let mut reached = address;
    if address.ip().is_unspecified() {
        reached.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{reached}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_their_usual_forms() {
        for (text, address) in [
            (":8080", Some("0.0.0.0:8080")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("localhost:81", Some("127.0.0.1:81")),
            ("[::]:80", Some("[::]:80")),
            ("none", None),
        ] {
            let expected = Address(address.map(|a| a.parse().unwrap()));
            assert_eq!(text.parse::<Address>().unwrap(), expected, "{text}");
        }
        for text in ["8080", ":", ":x", "example.com:80", "127.0.0.1", ""] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("127.0.0.1:8080"), "{text}");
        }
    }

    #[test]
    fn a_free_port_is_chosen_and_a_taken_one_is_named() {
        let free = "127.0.0.1:0".parse().unwrap();
        let two = take("--http", &[free, free]).unwrap();
        assert!(two[0].port() != 0 && two[0] != two[1]);
        let _holder = TcpListener::bind(two[0]).unwrap();
        let error = take("--http", &[Address(Some(two[0]))]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&two[0].to_string()), "{text}");
        assert!(
            text.contains("--http (127.0.0.1:0 takes a free port)"),
            "{text}"
        );
    }

    #[test]
    fn a_url_is_one_that_a_client_can_use() {
        assert_eq!(
            url("http", ([0, 0, 0, 0], 80).into()),
            "http://127.0.0.1:80"
        );
        assert_eq!(url("https", "[::]:1".parse().unwrap()), "https://[::1]:1");
    }
}
