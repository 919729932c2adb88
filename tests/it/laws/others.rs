//! What others get: everything whose origin is an object that was there before.

use std::collections::BTreeMap;

use vigie::model::diagnostics::ObjectRef;
use vigie::render::Bundle;
use vigie::render::bundle::FileText;

use super::Outcome;

/// Lines of files by the object that asked for them.
type Lines = BTreeMap<ObjectRef, Vec<(String, String)>>;

/// Ranges count lines as they are while every pool is empty.
fn lines(bundle: &Bundle) -> Lines {
    let mut empty = bundle.clone();
    empty
        .pools
        .values_mut()
        .for_each(|pool| pool.endpoints.clear());
    let files = empty.files();
    let text = |name: &str| match files.get(name) {
        Some(FileText::Public(text)) => text.lines().collect(),
        _ => Vec::new(),
    };
    let by_file: BTreeMap<&str, Vec<&str>> = files.keys().map(|name| (*name, text(name))).collect();
    let mut lines = Lines::new();
    for range in bundle.origins.iter() {
        let file = by_file.get(range.file.as_str());
        let found = file.and_then(|file| file.get(range.first - 1..range.last));
        let of_object = lines.entry(range.origin.object.clone()).or_default();
        of_object.push((range.file.clone(), found.unwrap_or_default().join("\n")));
    }
    lines.values_mut().for_each(|of_object| of_object.sort());
    lines
}

/// Whether all that was there before is there now, byte for byte; otherwise what differs.
pub fn unchanged(before: &Outcome, after: &Outcome) -> Result<(), String> {
    for (host, was) in before.translation.model.hosts.iter() {
        if after.translation.model.hosts.get(host) != Some(was) {
            return Err(format!("host {host} means something else"));
        }
    }
    for (was, is) in before.bundles.iter().zip(&after.bundles) {
        for (name, pool) in &was.pools {
            if is.pools.get(name) != Some(pool) {
                return Err(format!("{}: pool {name} differs", was.proxy));
            }
        }
        let (mut is, was_lines) = (lines(is), lines(was));
        for (object, was_lines) in was_lines {
            // There may be more: a default backend stands in every host, so in a new one too.
            let is = is.remove(&object).unwrap_or_default();
            if let Some(lost) = was_lines.iter().find(|was| !is.contains(was)) {
                return Err(format!("{object} had\n{lost:?}\nand has\n{is:?}"));
            }
        }
    }
    let of_others = |outcome: &Outcome| {
        let theirs = before.findings.iter().map(|f| &f.origin.object);
        let theirs: std::collections::BTreeSet<_> = theirs.collect();
        let kept = outcome
            .findings
            .iter()
            .filter(|f| theirs.contains(&f.origin.object));
        kept.cloned().collect::<Vec<_>>()
    };
    match of_others(before) == of_others(after) {
        true => Ok(()),
        false => Err("another object's findings differ".into()),
    }
}
