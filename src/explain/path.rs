//! The path as both proxies look it up: percent-escapes decoded once, slashes merged, dot elements
//! removed.

use serde::Serialize;

use super::request::Url;

/// A path on its way to the look-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathStep {
    /// As the client sends it.
    pub sent: String,
    /// What routes are held against; None where the proxy refuses the path.
    pub looked_up: Option<String>,
    /// Why it is refused.
    pub problem: Option<&'static str>,
    /// [`looked_up`](Self::looked_up), also where it is no UTF-8.
    #[serde(skip)]
    pub octets: Vec<u8>,
    /// The same for expressions: an octet that is no UTF-8 is [one character](stand_in).
    #[serde(skip)]
    pub text: String,
}

impl PathStep {
    pub fn is_changed(&self) -> bool {
        self.looked_up
            .as_ref()
            .is_some_and(|path| *path != self.sent)
    }
}

pub fn step(url: &Url) -> PathStep {
    let sent = url.path.clone();
    match normalised(&sent) {
        Ok(octets) => PathStep {
            sent,
            looked_up: Some(String::from_utf8_lossy(&octets).into_owned()),
            problem: None,
            text: text(&octets),
            octets,
        },
        Err(problem) => PathStep {
            sent,
            looked_up: None,
            problem: Some(problem),
            octets: Vec::new(),
            text: String::new(),
        },
    }
}

/// `raw` begins with '/'.
pub fn normalised(raw: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = decode(raw)?;
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_with_slash = false;
    for element in decoded.split(|byte| *byte == b'/').skip(1) {
        ends_with_slash = matches!(element, b"" | b"." | b"..");
        match element {
            b"" | b"." => {}
            b".." if kept.pop().is_none() => return Err("it leads above the root"),
            b".." => {}
            element => kept.push(element),
        }
    }
    let mut path = Vec::with_capacity(decoded.len());
    for element in &kept {
        path.push(b'/');
        path.extend_from_slice(element);
    }
    if ends_with_slash {
        path.push(b'/');
    }
    Ok(path)
}

/// The last plane of characters for private use, which no path means.
const STAND_INS: u32 = 0x10_F000;

fn stand_in(octet: u8) -> char {
    char::from_u32(STAND_INS + u32::from(octet)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The octet that a character stands for.
pub fn stood_for(c: char) -> Option<u8> {
    u32::from(c)
        .checked_sub(STAND_INS)
        .and_then(|octet| u8::try_from(octet).ok())
}

fn text(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|octet| stand_in(*octet)));
    }
    text
}

fn decode(raw: &str) -> Result<Vec<u8>, &'static str> {
    let mut octets = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            octets.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(0), Some(0)) => return Err("it holds %00"),
            (Some(high), Some(low)) => octets.push((high * 16 + low) as u8),
            _ => return Err("it holds a '%' that no two hexadecimal digits follow"),
        }
    }
    Ok(octets)
}
