//! Where two JSON values differ, which says more than both of them printed.

use std::collections::BTreeSet;

use serde_json::Value;

/// Each path with what one has and the other has. A number is its value, however it is written: there
/// is only one 5 in JSON.
pub fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", one, other, &mut found);
    found
}

fn compare(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(some), Value::Object(others)) => {
            let keys: BTreeSet<&String> = some.keys().chain(others.keys()).collect();
            for key in keys {
                let (one, other) = (&one[key.as_str()], &other[key.as_str()]);
                compare(&format!("{path}.{key}"), one, other, found);
            }
        }
        (Value::Array(some), Value::Array(others)) if some.len() == others.len() => {
            for (number, (one, other)) in some.iter().zip(others).enumerate() {
                compare(&format!("{path}[{number}]"), one, other, found);
            }
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
        _ if one == other => {}
        _ => found.push(format!("{path}: {} / {}", short(one), short(other))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(120).collect()
}
