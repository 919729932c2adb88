use std::fmt;
use std::str::FromStr;

use fancy_regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::{NameError, named};

const LONGEST: usize = 2048;

/// A regular expression of a path, without the '^' that anchors it: it begins with '/' or with a
/// group, so that it can only be matched from the start of a path.
///
/// The syntax is that of PCRE as far as Rust's `fancy-regex` knows it too (look-around and
/// back-references included), so what is accepted here compiles in both proxies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PathRegex {
    source: String,
    groups: usize,
    ignore_case: bool,
}

impl PathRegex {
    /// Reads a path as ingress-nginx does: a prefix that ignores case.
    pub fn ignoring_case(raw: &str) -> Result<Self, NameError> {
        Self::parse(raw, true)
    }

    /// Reads a path as a prefix that heeds case.
    pub fn heeding_case(raw: &str) -> Result<Self, NameError> {
        Self::parse(raw, false)
    }

    fn parse(raw: &str, ignore_case: bool) -> Result<Self, NameError> {
        let source = raw.strip_prefix('^').unwrap_or(raw);
        if !source.starts_with(['/', '(']) {
            return Err(NameError::new(
                "it begins neither with '/' nor with a group",
            ));
        }
        // By itself too: a parenthesis too many would end the group that anchors it.
        compile(source, ignore_case)?;
        let regex = compile(&anchored(source), ignore_case)?;
        Ok(Self {
            source: source.to_owned(),
            groups: regex.captures_len().saturating_sub(1),
            ignore_case,
        })
    }

    /// The expression without its anchor.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The expression with its anchor, which holds for every alternative.
    pub fn anchored(&self) -> String {
        anchored(&self.source)
    }

    /// How many capture groups it has; `$1` is the first.
    pub fn groups(&self) -> usize {
        self.groups
    }

    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether a normalised, decoded path matches. None when the expression needs more steps than
    /// are allowed, as a proxy's engine would give up too.
    pub fn is_match(&self, path: &str) -> Option<bool> {
        compile(&self.anchored(), self.ignore_case)
            .ok()?
            .is_match(path)
            .ok()
    }

    /// What the groups hold, from `$1` on, where a normalised, decoded path matches.
    pub fn groups_of(&self, path: &str) -> Option<Vec<String>> {
        let regex = compile(&self.anchored(), self.ignore_case).ok()?;
        let captures = regex.captures(path).ok()??;
        let groups = captures.iter().skip(1);
        let text = groups.map(|group| group.map(|g| g.as_str().to_owned()));
        Some(text.map(Option::unwrap_or_default).collect())
    }
}

impl fmt::Display for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A regular expression of a header's value, as written; it is not anchored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ValueRegex(String);

impl ValueRegex {
    pub fn source(&self) -> &str {
        &self.0
    }

    /// Whether it matches somewhere in a value.
    pub fn is_found(&self, value: &str) -> bool {
        compile(&self.0, false).is_ok_and(|regex| regex.is_match(value).unwrap_or(false))
    }
}

impl FromStr for ValueRegex {
    type Err = NameError;

    fn from_str(raw: &str) -> Result<Self, NameError> {
        if raw.is_empty() {
            return Err(NameError::new("it is empty"));
        }
        compile(raw, false)?;
        Ok(Self(raw.to_owned()))
    }
}

fn anchored(source: &str) -> String {
    match has_alternatives(source) {
        true => format!("^(?:{source})"),
        false => format!("^{source}"),
    }
}

/// Whether a '|' stands outside of groups. Odd classes may say so without need, never the reverse.
fn has_alternatives(source: &str) -> bool {
    let (mut depth, mut in_class) = (0, false);
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => depth += 1,
            ')' if !in_class => depth -= 1,
            '|' if !in_class && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn compile(source: &str, ignore_case: bool) -> Result<Regex, NameError> {
    if source.len() > LONGEST {
        return Err(NameError::new(format!(
            "it is {} characters long; a regular expression has at most {LONGEST}",
            source.len()
        )));
    }
    if let Some(c) = source.chars().find(|c| c.is_control()) {
        return Err(NameError::new(format!("it holds {}", named(c))));
    }
    RegexBuilder::new(source)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|error| {
            NameError::new(format!("it is not a regular expression: {}", words(&error)))
        })
}

/// What is wrong, without the expression and the engine's own words around it.
fn words(error: &fancy_regex::Error) -> String {
    use fancy_regex::{CompileError, Error};
    let syntax = match error {
        Error::CompileError(error) => match &**error {
            CompileError::InnerError(error) => error.syntax_error().map(ToString::to_string),
            _ => None,
        },
        _ => None,
    };
    let text = syntax.unwrap_or_else(|| error.to_string());
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
