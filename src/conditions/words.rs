//! Texts and lists as small as the definition of RouteHealth wants them.

/// A text of at most `limit` characters: a longer one ends with '…' and a hash of the whole, so that
/// two that differ stay different.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit || text.chars().count() <= limit {
        return text.to_owned();
    }
    let hash: String = blake3::hash(text.as_bytes())
        .to_hex()
        .chars()
        .take(8)
        .collect();
    let kept: String = text.chars().take(limit.saturating_sub(9)).collect();
    format!("{kept}…{hash}")
}

pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// At most some of many names, joined by commas.
pub fn some(names: &[&str], limit: usize) -> String {
    let shown: Vec<&str> = names.iter().take(limit).copied().collect();
    match names.len().checked_sub(limit) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
