//! The escaper of `.cfg` templates: it prints words, and fails on everything that could be more.

use std::fmt;

use askama::filters::Escaper;

/// Prints letters, digits and `._~/:*@,[]-`. There is nothing to escape, because everything else is
/// an error: no name or address of ours needs it, and none of these can end a word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cfg;

impl Escaper for Cfg {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        match text.bytes().all(is_word) {
            true => dest.write_str(text),
            false => Err(fmt::Error),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~/:*@,[]-".contains(&byte)
}
