//! The words of the format: texts and patterns, amounts, times, and maps in the order written.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use fancy_regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::support::echo::duration;

/// A text, or after a tilde a regular expression: `~^https://`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    regex: Option<Regex>,
}

impl TryFrom<String> for Pattern {
    type Error = fancy_regex::Error;

    fn try_from(text: String) -> Result<Self, fancy_regex::Error> {
        let regex = text.strip_prefix('~').map(Regex::new).transpose()?;
        Ok(Pattern { text, regex })
    }
}

impl Pattern {
    /// Is it this, or does the expression match somewhere in it?
    pub fn is(&self, seen: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(seen).unwrap_or(false),
            None => self.text == seen,
        }
    }

    /// Is it somewhere in there?
    pub fn is_in(&self, seen: &str) -> bool {
        match &self.regex {
            Some(_) => self.is(seen),
            None => seen.contains(&self.text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

/// Keeps `key: null` apart from a key that is not there.
pub fn even_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Headers in the order written: a name with nothing (null), one value, or a list of values.
#[derive(Clone, Debug)]
pub struct Fields<V>(pub Vec<(String, Option<Vec<V>>)>);

impl<V> Default for Fields<V> {
    fn default() -> Self {
        Fields(Vec::new())
    }
}

impl<'de, V> Deserialize<'de> for Fields<V>
where
    V: TryFrom<String, Error: fmt::Display>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<V>(PhantomData<V>);

impl<'de, V> Visitor<'de> for FieldsVisitor<V>
where
    V: TryFrom<String, Error: fmt::Display>,
{
    type Value = Fields<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of header names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<V>, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, OneOrMany(values))) = map.next_entry::<String, OneOrMany>()? {
            let convert = |text| V::try_from(text).map_err(A::Error::custom);
            let values = values
                .map(|values| values.into_iter().map(convert).collect())
                .transpose()?;
            fields.push((name, values));
        }
        Ok(Fields(fields))
    }
}

struct OneOrMany(Option<Vec<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts or null (a number with a dot needs quotes)")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany(Some(vec![text.to_owned()])))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<OneOrMany, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<OneOrMany, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<OneOrMany, E> {
        self.visit_str(if truth { "true" } else { "false" })
    }

    fn visit_unit<E: Error>(self) -> Result<OneOrMany, E> {
        Ok(OneOrMany(None))
    }

    fn visit_none<E: Error>(self) -> Result<OneOrMany, E> {
        Ok(OneOrMany(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element::<String>()? {
            values.push(value);
        }
        Ok(OneOrMany(Some(values)))
    }
}

/// A duration: `250ms` or `2s`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let complaint = || format!("`{text}` is no duration such as 250ms or 2s");
        duration(&text).map(Time).ok_or_else(complaint)
    }
}

/// From, to: `1s..3s`, `..500ms` or `2s..`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeSpan {
    from: Duration,
    to: Duration,
}

impl TryFrom<String> for TimeSpan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bound = |part: &str, open| match part {
            "" => Some(open),
            part => duration(part),
        };
        let parsed = text.split_once("..").and_then(|(from, to)| {
            Some(TimeSpan {
                from: bound(from, Duration::ZERO)?,
                to: bound(to, Duration::MAX)?,
            })
        });
        parsed.ok_or_else(|| format!("`{text}` is no span of time such as 1s..3s or ..500ms"))
    }
}

impl TimeSpan {
    pub fn contains(&self, time: Duration) -> bool {
        self.from <= time && time <= self.to
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from > Duration::ZERO {
            write!(f, "{:?}", self.from)?;
        }
        f.write_str("..")?;
        if self.to < Duration::MAX {
            write!(f, "{:?}", self.to)?;
        }
        Ok(())
    }
}

/// How many answers: `3`, `1..5`, `70%` or `80..100%`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Amount {
    from: f64,
    to: f64,
    percent: bool,
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (numbers, percent) = match text.strip_suffix('%') {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let (from, to) = numbers.split_once("..").unwrap_or((numbers, numbers));
        match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) => Ok(Amount { from, to, percent }),
            _ => Err(format!("`{text}` is no amount such as 3, 1..5 or 80..100%")),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Amount {
    pub fn contains(&self, count: usize, of: usize) -> bool {
        let count = count as f64;
        let measured = if self.percent {
            count * 100.0 / of as f64
        } else {
            count
        };
        self.from <= measured && measured <= self.to
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.percent { "%" } else { "" };
        write!(f, "{}..{}{unit}", self.from, self.to)
    }
}
