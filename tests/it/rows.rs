//! Every row of the diagnosis table is a case: a folder of what a cluster would hold (`tests/rows`), and
//! what is told of it, by `lint`, by status, and by a controller beside a real API server; then its
//! healthy twin, of which nothing is told. What is unusual and healthy (`tests/rows-healthy`) brings no
//! error anywhere. `ROW=` chooses by a part of the name; `BLESS=1` writes messages and fixes.

mod api_server;
mod row;
mod seen;

use std::fmt::Debug;

use vigie::model::diagnostics::{Diagnostic, Severity};
use vigie::snapshot::Evidence;

use row::{Row, Unusual};
use seen::{Sight, Telling, telling};

/// Or what else is told.
type Told = Result<(), String>;

/// Runs a check of each, and shows all that fail.
fn each<T>(all: &[T], name: impl Fn(&T) -> &str, check: impl Fn(&T) -> Told) {
    let failed = all.iter().filter_map(|one| {
        let words = check(one).err()?;
        Some(format!("{}: {words}", name(one)))
    });
    let failed: Vec<String> = failed.collect();
    let count = failed.len();
    assert!(
        failed.is_empty(),
        "{count} failed\n\n{}",
        failed.join("\n\n")
    );
}

fn ensure(holds: bool, what: &str, seen: &dyn Debug) -> Told {
    match holds {
        true => Ok(()),
        false => Err(format!("{what}: {seen:#?}")),
    }
}

/// Findings in a line each.
fn short<'d>(findings: impl IntoIterator<Item = &'d Diagnostic>) -> Vec<String> {
    let line = |found: &Diagnostic| {
        let Diagnostic {
            origin,
            code,
            severity,
            message,
            ..
        } = found;
        format!(
            "{code} {severity:?} {} {}: {message}",
            origin.object, origin.field
        )
    };
    findings.into_iter().map(line).collect()
}

fn errors(findings: &[Diagnostic]) -> Vec<&Diagnostic> {
    findings.iter().filter(|f| f.is_error()).collect()
}

fn faults(findings: &[Diagnostic]) -> Vec<&Diagnostic> {
    let of = |finding: &&Diagnostic| finding.severity != Severity::Info;
    findings.iter().filter(of).collect()
}

#[test]
fn every_row_is_found_with_its_object_and_field_and_nothing_else_is() {
    let rows = Row::all();
    if std::env::var_os("BLESS").is_some() {
        for row in &rows {
            let findings = Sight::of(&row.broken, Evidence::Cluster).findings;
            let mut found = findings.iter().filter(|found| row.expected.is(found));
            found.next().into_iter().for_each(|found| row.bless(found));
        }
    }
    each(
        &Row::all(),
        |row| &row.name,
        |row| {
            let findings = Sight::of(&row.broken, Evidence::Cluster).findings;
            let found = findings.iter().find(|found| row.expected.is(found));
            let found = found.ok_or_else(|| format!("it is not found: {:#?}", short(&findings)))?;
            let told = [&found.message, &found.fix];
            let wanted = [&row.expected.message, &row.expected.fix];
            ensure(told == wanted, "other words", &told)?;
            let others: Vec<_> = errors(&findings)
                .into_iter()
                .filter(|f| *f != found)
                .collect();
            ensure(others.is_empty(), "further errors", &short(others))
        },
    );
}

#[test]
fn every_row_makes_its_stage_false_or_is_told_beside_it() {
    each(
        &Row::all(),
        |row| &row.name,
        |row| {
            let sight = Sight::of(&row.broken, Evidence::Cluster);
            row.expected.is_told(&sight.statuses, "default")
        },
    );
}

#[test]
fn of_the_healthy_twin_of_every_row_nothing_is_told() {
    each(
        &Row::all(),
        |row| &row.name,
        |row| {
            let sight = Sight::of(&row.healthy, Evidence::Cluster);
            let faults = faults(&sight.findings);
            ensure(faults.is_empty(), "findings", &short(faults))?;
            for status in sight.statuses.values() {
                ensure(
                    telling(status) == Telling::healthy(),
                    "told",
                    &telling(status),
                )?;
            }
            Ok(())
        },
    );
}

/// What is applied, without what a cluster makes of it.
#[test]
fn lint_says_of_every_row_what_manifests_show() {
    each(
        &Row::all(),
        |row| &row.name,
        |row| {
            let twin = Sight::of_manifests(&row.healthy).findings;
            ensure(
                faults(&twin).is_empty(),
                "of the healthy twin",
                &faults(&twin),
            )?;
            let findings = Sight::of_manifests(&row.broken).findings;
            let wanted = row.expected.lint.as_str();
            let others: Vec<_> = faults(&findings)
                .into_iter()
                .filter(|finding| finding.code.as_str() != wanted)
                .collect();
            ensure(others.is_empty(), "further findings", &short(others))?;
            let found = findings
                .iter()
                .any(|finding| finding.code.as_str() == wanted);
            ensure(found || wanted == "silent", "not found", &short(&findings))
        },
    );
}

#[test]
fn what_is_unusual_and_healthy_brings_no_error_anywhere() {
    each(
        &Unusual::all(),
        |unusual| &unusual.name,
        |unusual| {
            let wholes = [Evidence::Manifests, Evidence::Cluster, Evidence::Hidden];
            for evidence in wholes.into_iter().filter(|_| !unusual.part) {
                let sight = Sight::of(&unusual.objects, evidence);
                let errors = errors(&sight.findings);
                ensure(errors.is_empty(), &format!("{evidence:?}"), &short(errors))?;
            }
            let lint = Sight::of_manifests(&unusual.objects).findings;
            ensure(errors(&lint).is_empty(), "lint", &short(errors(&lint)))?;
            let told = Sight::of(&unusual.objects, Evidence::Cluster).statuses;
            for status in told.values().filter(|_| !unusual.part) {
                ensure(
                    telling(status).is(&unusual.healthy),
                    "told",
                    &telling(status),
                )?;
            }
            Ok(())
        },
    );
}
