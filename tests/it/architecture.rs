//! The house as it is drawn in src/lib.rs: who may know whom, and what is generated is fresh.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use vigie::translate::{ANNOTATIONS, Handling};

/// A room, and the rooms that it may use. What is not listed (cli, standalone, main) only wires.
const ROOMS: [(&str, &[&str]); 14] = [
    ("api", &[]),
    ("snapshot", &["api"]),
    ("model", &[]),
    ("translate", &["api", "snapshot", "model"]),
    ("render", &["model"]),
    ("plan", &["model", "render"]),
    ("diagnose", &["snapshot", "model"]),
    ("conditions", &["api", "model"]),
    ("explain", &["snapshot", "model", "diagnose"]),
    ("source", &["api", "snapshot", "model", "telemetry"]),
    (
        "operator",
        &[
            "api",
            "snapshot",
            "model",
            "translate",
            "render",
            "diagnose",
            "conditions",
            "source",
            "self_signed",
            "telemetry",
        ],
    ),
    ("agent", &["api", "model", "render", "plan", "telemetry"]),
    ("server", &["telemetry"]),
    ("telemetry", &[]),
];

/// Rooms without clock, disk, network and client; clippy holds them to it where they say so.
const PURE: [&str; 8] = [
    "snapshot",
    "model",
    "translate",
    "render",
    "plan",
    "diagnose",
    "conditions",
    "explain",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source files of a room: `room.rs` and all below `room/`, without tests.
fn files(room: &str) -> Vec<PathBuf> {
    let mut files = vec![root().join(format!("src/{room}.rs"))];
    let mut folders = vec![root().join(format!("src/{room}"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() && !path.ends_with("tests") => folders.push(path),
                path if path.extension().is_some_and(|e| e == "rs")
                    && !path.ends_with("tests.rs") =>
                {
                    files.push(path);
                }
                _ => {}
            }
        }
    }
    files
}

/// Rooms that a file names after `crate::`.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut used: BTreeSet<String> = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => used.extend(
                group
                    .split(['}', ';'])
                    .next()
                    .unwrap_or("")
                    .split(',')
                    .map(|n| word(n.trim())),
            ),
            None => {
                used.insert(word(rest));
            }
        }
    }
    used
}

#[test]
fn rooms_know_only_whom_they_may() {
    let known: BTreeSet<&str> = ROOMS
        .iter()
        .map(|(room, _)| *room)
        .chain(["cli", "standalone"])
        .collect();
    let mut wrong = String::new();
    for (room, allowed) in ROOMS {
        for file in files(room) {
            let text =
                fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for used in rooms_used(&text) {
                if known.contains(used.as_str())
                    && used != room
                    && !allowed.contains(&used.as_str())
                {
                    let _ = writeln!(wrong, "{} uses crate::{used}", file.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn pure_rooms_are_fenced() {
    for room in PURE {
        let text = fs::read_to_string(root().join(format!("src/{room}.rs"))).expect("a room");
        assert!(
            text.contains("#![deny(clippy::disallowed_methods, clippy::disallowed_types)]"),
            "src/{room}.rs does not deny what clippy.toml lists"
        );
        for file in files(room) {
            let text = fs::read_to_string(&file).expect("a file");
            for forbidden in ["tokio", "std::fs", "tracing::", "println!", "eprintln!"] {
                assert!(
                    !text.contains(forbidden),
                    "{} holds {forbidden}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_honoured_annotation_has_a_case() {
    let manifests: String = files_below(&root().join("tests/cases"))
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "json"))
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect();
    let without: Vec<&str> = ANNOTATIONS
        .iter()
        .filter(|entry| matches!(entry.handling, Handling::Honoured { .. }))
        .map(|entry| entry.name)
        .filter(|name| !manifests.contains(&format!("/{name}:")))
        .collect();
    assert!(without.is_empty(), "no case has {without:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn the_reference_of_annotations_is_fresh() {
    fresh("docs/annotations.md", &reference());
}

#[test]
fn the_custom_resource_is_fresh() {
    fresh(
        "crds/routehealths.yaml",
        &vigie::api::route_health::crd_yaml().expect("it prints"),
    );
}

/// A generated file is committed as it is generated; `BLESS=1` writes it.
pub fn fresh(file: &str, now: &str) {
    let path = root().join(file);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&path, now).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        before == now,
        "{file} is stale: BLESS=1 cargo test --test it fresh"
    );
}

/// docs/annotations.md.
fn reference() -> String {
    let mut text = String::from(
        "# Annotations\n\n\
         Generated from the table in src/translate/annotations/table.rs.\n\n\
         Each annotation is read as `vigie.dev/NAME` and as `nginx.ingress.kubernetes.io/NAME`; where an\n\
         Ingress has both, `vigie.dev/` decides. A value that cannot be used is told on the Ingress with\n\
         what holds instead; none is ignored in silence.\n\n\
         ## Honoured\n\n| name | what it does | example |\n|---|---|---|\n",
    );
    let escaped = |text: &str| text.replace('|', "\\|");
    for entry in ANNOTATIONS {
        if let Handling::Honoured { guards, .. } = entry.handling {
            let closing = if guards {
                " A value that cannot be read closes the route with 503."
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "| `{}` | {}{closing} | `{}` |",
                entry.name,
                escaped(entry.doc),
                escaped(entry.example)
            );
        }
    }
    text.push_str(
        "\n## For the health of routes\n\nThese stand for a RouteHealth of the Ingress, with the prefix `vigie.dev/` alone. They are read and\n\
         checked; the probes that go by them are not part of this release, and no traffic changes by them.\n\
         With `--compat-annotations agic` the health probes of `appgw.ingress.kubernetes.io/` are read as these.\n\n\
         | name | what it says | example |\n|---|---|---|\n",
    );
    for entry in ANNOTATIONS {
        if let Handling::Health { .. } = entry.handling {
            let (name, doc, example) = (entry.name, escaped(entry.doc), entry.example);
            let _ = writeln!(text, "| `{name}` | {doc} | `{example}` |");
        }
    }
    text.push_str(
        "\n## Known, not yet honoured\n\nThese give finding RH910. Those that guard access close their routes with 503, because a route\n\
         that should be guarded must not stand open.\n\n| name | closes the route | values that ask for nothing |\n|---|---|---|\n",
    );
    for entry in ANNOTATIONS {
        if let Handling::NotYet { guards, inert } = entry.handling {
            let inert: Vec<String> = inert.iter().map(|value| format!("`{value}`")).collect();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |",
                entry.name,
                if guards { "yes" } else { "no" },
                inert.join(", ")
            );
        }
    }
    text.push_str("\n## Does nothing\n\nNames that are met in the wild and that ingress-nginx never or no longer read.\n\n| name | instead |\n|---|---|\n");
    for entry in ANNOTATIONS {
        if let Handling::Nothing { instead } = entry.handling {
            let _ = writeln!(text, "| `{}` | {instead} |", entry.name);
        }
    }
    text
}

#[test]
fn status_is_written_in_one_place() {
    let sources = files_below(&root().join("src"));
    let writes = |path: &&PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.contains(".patch_status(") || text.contains(".replace_status(")
    };
    let found: Vec<&PathBuf> = sources.iter().filter(writes).collect();
    assert_eq!(found, [&root().join("src/operator/status/write.rs")]);
}

/// The wall clock jumps; what waits or measures uses a clock that does not.
#[test]
fn the_agent_has_no_wall_clock() {
    // A Lease says when it was renewed; only its change means something.
    let renews = |path: &PathBuf| path.ends_with("agent/report.rs");
    for path in files("agent").into_iter().filter(|path| !renews(path)) {
        let text = fs::read_to_string(&path).expect("a source file");
        for clock in ["SystemTime", "UNIX_EPOCH", "Timestamp::now", "Zoned::now"] {
            assert!(!text.contains(clock), "{}: {clock}", path.display());
        }
    }
}
