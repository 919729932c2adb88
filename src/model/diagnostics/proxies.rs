//! 3xx: what the proxies make of an Ingress.

use super::{Code, Diagnostic, Origin};

pub fn no_proxies(origin: Origin) -> Diagnostic {
    Diagnostic::new(
        Code::RH304,
        origin,
        "No proxy is running.",
        "Scale the proxies up; an Ingress without a running proxy does nothing.",
    )
}

/// `running` as `2 of 3 proxies`; `behind` is one that does not run the route.
pub fn partially_programmed(origin: Origin, running: &str, behind: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH305,
        origin,
        format!("{running} run this route as it is now; {behind} does not."),
        format!("Look at the log of {behind}; restart it if it is stuck."),
    )
}

/// `words` are the proxy's own.
pub fn proxy_refuses(origin: Origin, running: &str, proxy: &str, words: &str) -> Diagnostic {
    Diagnostic::new(
        Code::RH302,
        origin,
        format!(
            "{running} run this route as it is now; {proxy} refuses the configuration: {words}"
        ),
        format!("Correct what these words point at, or look at the log of {proxy}."),
    )
}
