use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};

use super::yaml::Value;

/// What a scalar is to the API server: it reads YAML 1.1, where `yes` and `on` are booleans and a
/// leading 0 means octal. Only a plain scalar is anything but a string.
pub fn resolve<'a>(text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value<'a> {
    match tag.filter(|tag| tag.is_yaml_core_schema()) {
        Some(tag) if tag.suffix == "str" || tag.suffix == "binary" => Value::Text(text),
        Some(tag) if matches!(tag.suffix.as_str(), "int" | "float" | "bool" | "null") => {
            plain(text)
        }
        _ if style == ScalarStyle::Plain => plain(text),
        _ => Value::Text(text),
    }
}

fn plain(text: Cow<'_, str>) -> Value<'_> {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    match number(&text) {
        Some(value) => value,
        None => Value::Text(text),
    }
}

fn number(text: &str) -> Option<Value<'static>> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) || text.len() > 64 {
        return None;
    }
    let digits = text.replace('_', "");
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    integer(unsigned)
        .and_then(|magnitude| whole(magnitude, negative))
        .or_else(|| float(unsigned, negative))
}

/// The prefixes of Go's `strconv.ParseInt` with base 0, with which the API server's reader works.
fn integer(unsigned: &str) -> Option<u64> {
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    // `from_str_radix` takes a sign of its own, which must not stand here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

fn whole(magnitude: u64, negative: bool) -> Option<Value<'static>> {
    match (i64::try_from(magnitude), negative) {
        (Ok(value), true) => Some(Value::Int(-value)),
        (Ok(value), false) => Some(Value::Int(value)),
        (Err(_), false) => Some(Value::Uint(magnitude)),
        (Err(_), true) => None,
    }
}

fn float(unsigned: &str, negative: bool) -> Option<Value<'static>> {
    let mantissa = unsigned
        .split_once(['e', 'E'])
        .map_or(unsigned, |(mantissa, _)| mantissa);
    let well_formed = mantissa.bytes().any(|b| b.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !well_formed {
        return None;
    }
    let value: f64 = unsigned.parse().ok()?;
    Some(Value::Float(if negative { -value } else { value }))
}
