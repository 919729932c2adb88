//! The escaper of `.conf` templates. Words come to it ready (see `words`), so it has nothing to
//! escape: it lets a text through that cannot leave the quotes around it, and fails on any other.

use std::fmt;

use askama::filters::Escaper;

/// Templates put `"` around words, never `'`. Fails on control characters, on a `"` that no backslash precedes, and on a backslash that
/// escapes anything but a quote or a backslash (nginx would read `\n` as a line break).
#[derive(Clone, Copy, Debug, Default)]
pub struct Conf;

impl Escaper for Conf {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            let fits = match c {
                '\\' => matches!(characters.next(), Some('\\' | '"')),
                '"' => false,
                c => !c.is_control(),
            };
            if !fits {
                return Err(fmt::Error);
            }
        }
        dest.write_str(text)
    }
}
