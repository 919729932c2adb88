//! Every case renders to the bytes and findings that are committed beside it. `BLESS=1` writes them.

use std::path::Path;

use vigie::render::{self, Capabilities, ProxyKind};

use crate::case::{self, Case};

#[test]
fn every_case_renders_and_tells_as_committed() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in case::all() {
        for (file, now) in printed(&case) {
            if bless {
                write(&case.path(file), &now);
            } else if let Some(difference) = difference(&case.path(file), &now) {
                wrong.push(format!("{}/{file}: {difference}", case.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} files differ; read them, then BLESS=1 cargo test --test it golden\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// The committed files of a case. Findings of one proxy alone stand below its name.
fn printed(case: &Case) -> Vec<(&'static str, String)> {
    let (translation, findings) = case.translate();
    let mut told = case::told(&findings);
    for proxy in ProxyKind::ALL {
        let of_proxy = render::unsupported(&translation.model, &Capabilities::assumed(proxy));
        if !of_proxy.is_empty() {
            told.push_str(&format!("# {proxy}\n{}", case::told(&of_proxy)));
        }
    }
    vec![
        ("diagnostics.txt", told),
        (
            "nginx.conf",
            case::printed(&translation.model, ProxyKind::Nginx),
        ),
        (
            "haproxy.cfg",
            case::printed(&translation.model, ProxyKind::Haproxy),
        ),
    ]
}

/// A file that would be empty is not kept.
fn write(path: &Path, text: &str) {
    let _ = std::fs::remove_file(path);
    if !text.is_empty() {
        std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The first line that differs from the committed file.
fn difference(path: &Path, now: &str) -> Option<String> {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    if before == now {
        return None;
    }
    let line = before
        .lines()
        .zip(now.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let shown = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_owned();
    Some(format!(
        "line {}:\n  committed: {}\n  now:       {}",
        line + 1,
        shown(&before),
        shown(now)
    ))
}
