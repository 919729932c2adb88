//! Codes of findings as arguments.

use crate::model::diagnostics::Code;
use crate::model::names::shown;

/// How many codes are named beside one that does not exist.
const NEAR: usize = 3;

/// Reads `RHnnn` or the reason of a code, in any letter case.
pub fn code(text: &str) -> Result<Code, String> {
    let named = |code: &Code| {
        code.as_str().eq_ignore_ascii_case(text) || code.reason().eq_ignore_ascii_case(text)
    };
    match Code::ALL.iter().copied().find(named) {
        Some(code) => Ok(code),
        None => Err(format!(
            "no finding has the code {}; near it are {}; docs/diagnostics.md lists all",
            shown(text),
            near(text)
        )),
    }
}

/// Whether a text can only be meant as a code: a URL never begins so.
pub fn looks_like_code(text: &str) -> bool {
    let reason = Code::ALL
        .iter()
        .any(|code| code.reason().eq_ignore_ascii_case(text));
    let mut octets = text.bytes();
    let begins = [octets.next(), octets.next()].map(|o| o.unwrap_or_default().to_ascii_uppercase());
    reason || begins == *b"RH" && octets.next().is_some_and(|octet| octet.is_ascii_digit())
}

/// `RH201 ServiceNotFound, RH202 ...`: the most similar ones, by number and by reason.
fn near(text: &str) -> String {
    let asked = text.to_ascii_uppercase();
    let distance = |code: &&Code| {
        let other_stage = code.as_str().get(..3) != asked.get(..3);
        let of_code = strsim::damerau_levenshtein(code.as_str(), &asked);
        let reason = code.reason().to_ascii_uppercase();
        let of_reason = strsim::damerau_levenshtein(&reason, &asked);
        (of_code.min(of_reason), other_stage)
    };
    let mut codes: Vec<&Code> = Code::ALL.iter().collect();
    codes.sort_by_cached_key(distance);
    let names = codes.iter().take(NEAR);
    let names = names.map(|code| format!("{code} {}", code.reason()));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_by_number_and_by_reason_in_any_letter_case() {
        for text in ["RH201", "rh201", "ServiceNotFound", "servicenotfound"] {
            assert_eq!(code(text), Ok(Code::RH201), "{text}");
            assert!(looks_like_code(text), "{text}");
        }
    }

    #[test]
    fn a_code_that_does_not_exist_is_refused_with_near_ones() {
        assert_eq!(
            code("RH499").expect_err("there is none"),
            "no finding has the code \"RH499\"; near it are RH409 OnlyTerminating, RH419 ContainerConfigError, RH401 SelectorMatchesNoPods; docs/diagnostics.md lists all"
        );
        let words = code("ServiceNotFuond").expect_err("there is none");
        assert!(
            words.contains("near it are RH201 ServiceNotFound,"),
            "{words}"
        );
    }

    #[test]
    fn urls_and_hosts_are_no_codes() {
        for text in [
            "http://rh201/",
            "shop.example.com",
            "rhine.example.com",
            "rh",
            "",
        ] {
            assert!(!looks_like_code(text), "{text}");
        }
    }
}
