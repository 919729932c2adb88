use std::ops::Range;

use serde::de::IgnoredAny;

/// JSON is YAML but for two things: tabs as white space, and characters written as two escapes. A
/// file's JSON documents without them; lines stay where they are.
pub fn as_yaml(text: &str, documents: &[Range<usize>]) -> Option<String> {
    let needed = |document: &&Range<usize>| {
        let text = &text[(*document).clone()];
        text.trim_start().starts_with('{')
            && (text.contains('\t') || text.contains("\\u"))
            && serde_json::from_str::<IgnoredAny>(text).is_ok()
    };
    let mut rewritten = String::new();
    let mut done = 0;
    for document in documents.iter().filter(needed) {
        rewritten.push_str(&text[done..document.start]);
        rewrite(&text[document.clone()], &mut rewritten);
        done = document.end;
    }
    if done == 0 {
        return None;
    }
    rewritten.push_str(&text[done..]);
    Some(rewritten)
}

/// Valid JSON has no tab inside of a string.
fn rewrite(json: &str, into: &mut String) {
    let mut rest = json;
    while let Some(at) = rest.find(['\t', '\\']) {
        into.push_str(&rest[..at]);
        rest = &rest[at..];
        let (written, length) = match surrogates(rest) {
            Some(character) => (character, 12),
            None if rest.starts_with('\t') => (' ', 1),
            None => {
                // A backslash and what it escapes, which may be another one.
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                into.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
        };
        into.push(written);
        rest = &rest[length..];
    }
    into.push_str(rest);
}

/// The character that two escapes at the beginning write.
fn surrogates(text: &str) -> Option<char> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let high = unit(0).filter(|unit| (0xd800..0xdc00).contains(unit))?;
    let units = [high, unit(6)?];
    char::decode_utf16(units).next()?.ok()
}
