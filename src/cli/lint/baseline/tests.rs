use super::*;
use crate::model::diagnostics::{Code, FieldPath, ObjectRef, Origin};

fn finding(code: Code, kind: Kind, name: &str, field: &str, message: &str) -> Diagnostic {
    let object = ObjectRef::new(kind, "shop", name);
    Diagnostic::new(
        code,
        Origin::new(object, FieldPath::new(field)),
        message,
        "Fix.",
    )
}

fn found() -> Vec<Diagnostic> {
    vec![
        finding(Code::RH201, Kind::Ingress, "web", "spec.rules[0]", "One."),
        finding(
            Code::RH105,
            Kind::Manifest,
            "a.yaml",
            "line 3, column 1",
            "Two.",
        ),
    ]
}

#[test]
fn a_baseline_has_one_finding_a_line_and_is_read_as_it_was_written() {
    let baseline = Baseline::of(&found());
    let text = baseline.text().expect("it is JSON");
    assert_eq!(
        text,
        r#"{"version": 1, "findings": [
{"code":"RH105","kind":"Manifest","namespace":"shop","name":"a.yaml","field":""},
{"code":"RH201","kind":"Ingress","namespace":"shop","name":"web","field":"spec.rules[0]"}
]}
"#
    );
    assert_eq!(Baseline::parse(&text).expect("it is read"), baseline);
    let empty = Baseline::of(&[]);
    let text = empty.text().expect("it is JSON");
    assert_eq!(Baseline::parse(&text).expect("it is read"), empty);
}

#[test]
fn neither_words_nor_lines_make_a_finding_a_new_one() {
    let baseline = Baseline::of(&found());
    let mut later = vec![
        finding(
            Code::RH201,
            Kind::Ingress,
            "web",
            "spec.rules[0]",
            "Better words.",
        ),
        finding(
            Code::RH105,
            Kind::Manifest,
            "a.yaml",
            "line 9, column 5",
            "Two.",
        ),
        finding(Code::RH201, Kind::Ingress, "web", "spec.rules[1]", "One."),
    ];
    let known = baseline.leave_out(&mut later);
    assert_eq!(
        known,
        Known {
            hidden: 2,
            stale: 0
        }
    );
    assert_eq!(later.len(), 1);
    assert_eq!(later[0].origin.field.as_str(), "spec.rules[1]");
}

#[test]
fn entries_that_match_nothing_are_counted() {
    let sentence = |hidden, stale| Known { hidden, stale }.sentence();
    let known = Baseline::of(&found()).leave_out(&mut Vec::new());
    assert_eq!(
        known,
        Known {
            hidden: 0,
            stale: 2
        }
    );
    assert_eq!(sentence(1, 0), "1 known finding is left out");
    assert_eq!(
        sentence(0, 2),
        "0 known findings are left out; 2 entries of the baseline match nothing any more: --write-baseline drops them"
    );
}

#[test]
fn what_is_no_baseline_is_refused_with_what_to_do() {
    for (text, words) in [
        ("", "write it anew"),
        ("[]", "write it anew"),
        (
            r#"{"version": 1, "findings": [{"code": "RH201"}]}"#,
            "missing field `kind`",
        ),
        (
            r#"{"version": 2, "findings": []}"#,
            "its version is 2, and this program reads version 1",
        ),
    ] {
        let error = Baseline::parse(text).expect_err("it is refused");
        let error = format!("{error:#}");
        assert!(error.contains(words), "{text}: {error}");
    }
}
