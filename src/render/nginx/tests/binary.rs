//! The real nginx reads everything that the renderer can write, where one is installed.

#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};
use std::process::Command;

use super::builders::*;
use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};

fn binaries() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let versions = ["nginx-1.28", "nginx-1.30"];
    let binaries = versions.map(|v| home.join(".cache/vigie/proxies").join(v).join("nginx"));
    binaries
        .into_iter()
        .filter(|binary| binary.exists())
        .collect()
}

fn write(bundle: &Bundle, directory: &Path) {
    std::fs::create_dir(directory.join("run")).expect("run/");
    for (name, text) in bundle.files() {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text.as_bytes()).expect("a file");
    }
}

/// Accepted, and without a word of warning.
fn check(bundle: &Bundle) {
    for binary in binaries() {
        let directory = tempfile::tempdir().expect("a directory");
        write(bundle, directory.path());
        let output = Command::new(&binary)
            .current_dir(directory.path())
            .args(["-t", "-q", "-e", "stderr", "-p", ".", "-c", "nginx.conf"])
            .output()
            .expect("nginx runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !said.contains("[warn]"),
            "{}: {said}",
            binary.display()
        );
    }
}

#[test]
fn it_takes_one_of_each() {
    check(&rendered(&one_of_each()));
    let mut model = one_of_each();
    model.listeners.proxy_protocol = true;
    check(&rendered(&model));
    check(&rendered(&Model::default()));
}

#[test]
fn it_takes_long_names_and_many() {
    let mut model = Model::default();
    let label = "x".repeat(60);
    let long = format!("{label}.{label}.{label}.{label}");
    add(&mut model, &long, prefix("/"), forward("up"));
    for number in 0..1000 {
        add(
            &mut model,
            &format!("h{number}.some.example.com"),
            prefix("/"),
            forward("up"),
        );
    }
    check(&rendered(&model));
}

#[test]
fn a_refusal_leads_to_the_object() {
    let Some(binary) = binaries().pop() else {
        return;
    };
    let mut model = one_of_each();
    // Rust's engines know this escape, PCRE does not.
    let culprit = Origin::new(
        ObjectRef::new(Kind::Ingress, "shop", "culprit"),
        FieldPath::default(),
    );
    add(&mut model, "z.example", regex("/\\u{61}"), forward("up")).origin = culprit.clone();
    let bundle = rendered(&model);
    let directory = tempfile::tempdir().expect("a directory");
    write(&bundle, directory.path());
    let output = Command::new(binary)
        .current_dir(directory.path())
        .args(["-t", "-q", "-e", "stderr", "-p", ".", "-c", "nginx.conf"])
        .output()
        .expect("nginx runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let place = said
        .rsplit_once(" in ")
        .map_or("", |(_, place)| place.lines().next().unwrap_or(""));
    let (file, line) = place.rsplit_once(':').expect("a place");
    let line: usize = line.parse().expect("a line");
    let ranges = bundle.origins.iter();
    let smallest = ranges
        .filter(|r| file.ends_with(&r.file) && (r.first..=r.last).contains(&line))
        .min_by_key(|r| r.last - r.first);
    assert_eq!(smallest.map(|r| &r.origin), Some(&culprit), "{said}");
}
