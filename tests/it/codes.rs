//! What `vigie explain RHnnn` and docs/diagnostics.md say of each code: that it is true of its
//! example, and that the page is fresh.

use std::fmt::Write as _;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use vigie::model::diagnostics::examples::Shown;
use vigie::model::diagnostics::{Code, Severity};

use crate::architecture::fresh;
use crate::lint::{Here, findings};

#[test]
fn every_example_can_be_read() {
    for &code in Code::ALL {
        let example = code.meaning().shown.example();
        for text in [example.broken(), example.mended()] {
            let documents: Result<Vec<serde_json::Value>, _> = serde_saphyr::from_multiple(&text);
            if let Err(error) = documents {
                panic!("{code}: {error}\n{text}");
            }
        }
    }
}

/// Where lint comes to decide a code by objects alone, its example is to be held to that.
#[test]
fn a_broken_example_brings_its_code_and_the_mended_one_does_not() {
    let mut wrong = String::new();
    for &code in Code::ALL {
        let shown = code.meaning().shown;
        let tells = |text: String| {
            let found = findings(&with_certificates(&text));
            found.iter().any(|(found, _)| found == code.as_str())
        };
        let told = tells(shown.example().broken());
        match shown {
            Shown::InFolder(example) if !told || tells(example.mended()) => {
                let _ = writeln!(wrong, "{code} is not what its example brings and mends");
            }
            Shown::InCluster(_) if told => {
                let _ = writeln!(wrong, "lint tells {code} of its example: mark it InFolder");
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_mended_example_brings_no_error_and_no_warning() {
    for &code in Code::ALL {
        if let Shown::InFolder(example) = code.meaning().shown {
            let found = findings(&with_certificates(&example.mended()));
            let matters = |(found, _): &&(String, String)| {
                let mut all = Code::ALL.iter();
                let at_fault = |code: &&Code| {
                    code.severity() != Severity::Info
                    // What this release does not honour yet is no fault of the example's.
                    && **code != Code::RH910
                };
                all.any(|code| code.as_str() == found && at_fault(&code))
            };
            let found: Vec<_> = found.iter().filter(matters).collect();
            assert!(found.is_empty(), "{code}: {found:?}");
        }
    }
}

/// Puts certificates and keys where an example only says what they are.
fn with_certificates(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<certificate for ") else {
        return text.to_owned();
    };
    let (hosts, rest) = rest.split_once(" until ").expect("until when");
    let (date, after) = rest.split_once('>').expect("its end");
    let hosts: Vec<String> = hosts.split(", ").map(str::to_owned).collect();
    let date: Vec<i32> = date
        .split('-')
        .map(|n| n.parse().expect("a number"))
        .collect();
    let mut parameters = CertificateParams::new(hosts).expect("names");
    parameters.not_before = date_time_ymd(2025, 1, 1);
    parameters.not_after = date_time_ymd(date[0], date[1] as u8, date[2] as u8);
    let key = KeyPair::generate().expect("a key");
    let other = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let quoted = |pem: String| serde_json::Value::from(pem).to_string();
    let text = format!("{before}{}{after}", quoted(certificate.pem()));
    text.replace("<key of that certificate>", &quoted(key.serialize_pem()))
        .replace(
            "<key of another certificate>",
            &quoted(other.serialize_pem()),
        )
}

#[test]
fn the_reference_of_diagnostics_is_fresh() {
    fresh("docs/diagnostics.md", &reference());
}

/// docs/diagnostics.md.
fn reference() -> String {
    let mut text = String::from(
        "# Findings\n\n\
         Generated from the tables in src/model/diagnostics.\n\n\
         Each finding has a code that stays and a reason, which is also the reason of the condition in status.\n\
         `vigie explain CODE` prints what stands here. A finding of severity error at a stage makes the\n\
         condition of that name False; advice is told beside the conditions. Some objects bring a finding with\n\
         another severity than its usual one, which its text then says.\n\n\
         In the examples, lines with `-` bring the finding, and those with `+` mend it.\n\n\
         | code | reason | severity | stage |\n|---|---|---|---|\n",
    );
    for &code in Code::ALL {
        let anchor = code.as_str().to_lowercase();
        let (reason, severity, stage) = (code.reason(), severity(code), code.stage());
        let _ = writeln!(
            text,
            "| [{code}](#{anchor}) | {reason} | {severity} | {stage:?} |"
        );
    }
    for &code in Code::ALL {
        let meaning = code.meaning();
        let _ = write!(
            text,
            "\n<a id=\"{}\"></a>\n\n## {code} {}\n\n{} {}\n\n**Repair:** {}\n\n```diff\n{}```\n",
            code.as_str().to_lowercase(),
            code.reason(),
            meaning.title,
            meaning.explanation,
            meaning.repair,
            meaning.shown.example().as_difference(),
        );
    }
    text
}

fn severity(code: Code) -> String {
    format!("{:?}", code.severity()).to_lowercase()
}

#[test]
fn a_code_is_explained_in_any_letter_case_and_an_unknown_one_is_misuse() {
    let here = Here::new();
    let words = |args: &[&str]| {
        let output = here.vigie(&[&["explain"], args].concat(), "");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(text).expect("UTF-8"),
        )
    };
    let (good, text) = words(&["rh401"]);
    assert_eq!(good, Some(0));
    assert!(
        text.starts_with("RH401 SelectorMatchesNoPods: error, stage EndpointsReady\n"),
        "{text}"
    );
    assert_eq!(words(&["selectormatchesnopods"]).1, text);
    let (misuse, text) = words(&["RH400"]);
    assert_eq!(misuse, Some(2));
    assert!(
        text.contains("no finding has the code \"RH400\"; near it are RH40"),
        "{text}"
    );
    let (misuse, text) = words(&["RH401", "manifests"]);
    assert_eq!(misuse, Some(2));
    assert!(text.contains("RH401 means the same everywhere"), "{text}");
    let (_, json) = words(&["RH401", "--output=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["reason"], "SelectorMatchesNoPods");
    assert_eq!(json["stage"], "EndpointsReady");
    assert!(json["broken"] != json["repaired"]);
}
