//! A proxy's own words about a configuration that it refuses, and where they point to. Pure text
//! work; it must never know a running process.

use crate::model::diagnostics::Origin;
use crate::render::bundle::{Bundle, Content};

/// What a proxy said, in one line, and the file and line of the bundle that it named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub words: String,
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1, in the file as it is on disk.
    pub line: usize,
}

/// Levels that stop a configuration from being loaded, as both proxies print them.
const FATAL: [&str; 4] = ["[emerg]", "[ALERT]", "[crit]", "[alert]"];

impl Refusal {
    /// Reads what a proxy printed about a bundle. The first fatal line is the cause; those after it
    /// only say that the whole was refused.
    pub fn read(output: &str, bundle: &Bundle) -> Self {
        let lines = || output.lines().filter(|line| !line.trim().is_empty());
        let mut from_fatal = lines().skip_while(|line| fatal_words(line).is_none());
        let fatal = from_fatal.next().and_then(fatal_words);
        // HAProxy goes on in lines that are indented.
        let more = from_fatal.take_while(|line| line.starts_with(' '));
        let words: Vec<&str> = match fatal {
            Some(first) => std::iter::once(message(first)).chain(more).collect(),
            None => lines().next_back().into_iter().collect(),
        };
        let words: Vec<&str> = words.into_iter().map(str::trim).collect();
        let words = match words.is_empty() {
            true => "it said nothing".to_owned(),
            false => words.join(" ").trim_end_matches('.').to_owned(),
        };
        let place = find_place(&words, bundle);
        Self {
            words: shorten(&words, bundle),
            place,
        }
    }

    /// The object that asked for the line.
    pub fn origin(&self, bundle: &Bundle) -> Option<Origin> {
        let place = self.place.as_ref()?;
        let line = without_endpoints(bundle, place);
        let holds = |r: &&crate::render::bundle::RenderedRange| {
            r.file == place.file && (r.first..=r.last).contains(&line)
        };
        // Ranges may be nested: the smallest says most.
        let ranges = bundle.origins.iter().filter(holds);
        let smallest = ranges.min_by_key(|range| range.last - range.first);
        smallest.map(|range| range.origin.clone())
    }
}

/// What follows the level of a line that stops a configuration.
fn fatal_words(line: &str) -> Option<&str> {
    let level = FATAL.iter().find(|level| line.contains(**level))?;
    line.split_once(level).map(|(_, words)| words)
}

/// Cuts what stands between the level and the message: `1234#1234: *5 ` or `   (1234) : `.
fn message(words: &str) -> &str {
    let marks = |c: char| c.is_ascii_digit() || " #:()".contains(c);
    words.trim_start_matches(marks)
}

/// nginx names a place as `in /directory/file:line`, HAProxy as `parsing [file:line]`; where the cause is
/// in a file that this one names, HAProxy goes on with `at line 2 of file 'file'` or `line 2 in file
/// 'file'`, and that is the place.
fn find_place(words: &str, bundle: &Bundle) -> Option<Place> {
    let named = bundle.structure.keys();
    let inner = named.clone().find_map(|name| {
        let quoted = format!(" file '{name}'");
        let before = &words[..words.find(&quoted)?];
        let before = before.trim_end_matches(" of").trim_end_matches(" in");
        let (_, line) = before.rsplit_once("line ")?;
        let line = line.parse().ok()?;
        let file = name.clone();
        Some(Place { file, line })
    });
    inner.or_else(|| named_place(words, bundle))
}

fn named_place(words: &str, bundle: &Bundle) -> Option<Place> {
    let mut found = None;
    for name in bundle.structure.keys() {
        for (start, _) in words.match_indices(name.as_str()) {
            // "a/b.conf" must not be taken for "b.conf".
            let before = words[..start].chars().next_back();
            let whole = before.is_none_or(|c| " [\"'(".contains(c) || c == '/');
            let rest = words[start + name.len()..].strip_prefix(':');
            let digits = rest.map(|r| r.split(|c: char| !c.is_ascii_digit()).next());
            let line = digits.flatten().and_then(|d| d.parse().ok());
            let longer =
                |other: &Option<Place>| other.as_ref().is_none_or(|o| o.file.len() < name.len());
            if let (true, Some(line)) = (whole && longer(&found), line) {
                let file = name.clone();
                found = Some(Place { file, line });
            }
        }
    }
    found
}

/// Takes the directory off every path of the bundle: it means nothing to whoever reads the words.
fn shorten(words: &str, bundle: &Bundle) -> String {
    let mut short = String::new();
    for (index, word) in words.split(' ').enumerate() {
        if index > 0 {
            short.push(' ');
        }
        let quote = word.find('/').unwrap_or(0);
        let known = bundle.structure.keys().filter_map(|name| {
            let at = word.rfind(&format!("/{name}"))?;
            Some((at, name))
        });
        let bare = bundle.structure.keys().any(|name| {
            let at = word.find(name.as_str());
            at.is_some_and(|at| word[..at].chars().all(|c| "['\"(".contains(c)))
        });
        match known.max_by_key(|(_, name)| name.len()) {
            Some((at, _)) if !bare => {
                // `[./haproxy.cfg:6]` is a path too.
                short.push_str(word[..quote.min(at)].trim_end_matches('.'));
                short.push_str(&word[at + 1..]);
            }
            _ => short.push_str(word),
        }
    }
    short
}

/// A line of a file on disk, counted as if every pool were empty (as origins count): an endpoint's own
/// line counts as its section's head.
fn without_endpoints(bundle: &Bundle, place: &Place) -> usize {
    if bundle.structure.get(&place.file) != Some(&Content::Pools) {
        return place.line;
    }
    let mut on_disk = 0;
    let mut heads = 0;
    for pool in bundle.pools.values().filter(|pool| pool.section.is_some()) {
        heads += 1;
        on_disk += 1 + pool.endpoints.len();
        if place.line <= on_disk {
            return heads;
        }
    }
    heads + place.line.saturating_sub(on_disk)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Endpoint;
    use crate::model::diagnostics::{FieldPath, Kind, ObjectRef};
    use crate::model::names::UpstreamName;
    use crate::render::bundle::{FORMAT, Pool, ProxyKind, RenderedRange, Section};

    fn bundle() -> Bundle {
        let endpoint = |last| Endpoint {
            address: [10, 0, 0, last].into(),
            port: 80,
        };
        let range = |file: &str, first, last, field: &str| RenderedRange {
            file: file.into(),
            first,
            last,
            origin: Origin::new(
                ObjectRef::new(Kind::Ingress, "default", "web"),
                FieldPath::new(field),
            ),
        };
        let text = |t: &str| Content::Text(t.into());
        let pool = |service: &str| {
            let name = UpstreamName::new("default", service, "80", "http");
            let pool = Pool {
                endpoints: vec![endpoint(1), endpoint(2)],
                name: None,
                section: Some(Section {
                    head: format!("backend {service}"),
                    before: "  server ".into(),
                    after: String::new(),
                }),
            };
            (name, pool)
        };
        Bundle {
            format: FORMAT,
            proxy: ProxyKind::Haproxy,
            structure: BTreeMap::from([
                ("haproxy.cfg".into(), Content::Pools),
                ("hosts/07.conf".into(), text("x\ny\n")),
                ("07.conf".into(), text("x\ny\n")),
            ]),
            pools: BTreeMap::from([pool("api"), pool("web")]),
            origins: [
                range("haproxy.cfg", 1, 1, "a"),
                range("haproxy.cfg", 2, 2, "b"),
                range("hosts/07.conf", 1, 2, "c"),
                range("hosts/07.conf", 2, 2, "d"),
            ]
            .into(),
        }
    }

    fn read(output: &str) -> (String, Option<String>) {
        let bundle = bundle();
        let refusal = Refusal::read(output, &bundle);
        let field = refusal.origin(&bundle).map(|o| o.field.to_string());
        (refusal.words, field)
    }

    #[test]
    fn words_of_nginx_lead_to_the_innermost_range() {
        let (words, field) = read(concat!(
            "2026/11/24 03:14:59 [emerg] 28735#28735: unknown directive \"frob\" in /tmp/x/generation-2/hosts/07.conf:2\n",
            "nginx: configuration file /tmp/x/generation-2/nginx.conf test failed\n"
        ));
        assert_eq!(words, "unknown directive \"frob\" in hosts/07.conf:2");
        assert_eq!(field.as_deref(), Some("d"));
    }

    #[test]
    fn words_of_haproxy_lead_past_the_lines_of_endpoints() {
        let (words, field) = read(concat!(
            "[NOTICE]   (31749) : haproxy version is 3.4.7-1\n",
            "[ALERT]    (31749) : config : parsing [haproxy.cfg:6] : unknown keyword 'two'\n",
            "[ALERT]    (31749) : config : Fatal errors found in configuration.\n"
        ));
        assert_eq!(
            words,
            "config : parsing [haproxy.cfg:6] : unknown keyword 'two'"
        );
        assert_eq!(field.as_deref(), Some("b"));
        let (_, of_a_server_line) =
            read("[ALERT] (1) : config : parsing [haproxy.cfg:3] : 'server'");
        assert_eq!(of_a_server_line.as_deref(), Some("a"));
    }

    #[test]
    fn words_of_haproxy_lead_into_the_files_that_others_name() {
        let (words, field) = read(concat!(
            "[ALERT]    (32319) : config : parsing [haproxy.cfg:1] : 'bind 127.0.0.1:18443' in section 'frontend' : \n",
            "  'crt-list' : error processing line 2 in file 'hosts/07.conf' : inconsistencies between private key and certificate loaded 'certs/bad.pem'.\n",
            "  unable to load SSL private key.\n",
            "[ALERT]    (32319) : config : Error(s) found in configuration file : haproxy.cfg\n",
        ));
        assert!(
            words.ends_with("'certs/bad.pem'. unable to load SSL private key"),
            "{words}"
        );
        assert_eq!(field.as_deref(), Some("d"));
        let (_, of_a_map) = read(
            "[ALERT] (1) : config : parsing [haproxy.cfg:1] : invalid args in converter 'map_regm' : regex '^/(' is invalid (error=missing closing parenthesis, erroffset=3) at line 1 of file 'hosts/07.conf'.",
        );
        assert_eq!(of_a_map.as_deref(), Some("c"));
    }

    #[test]
    fn words_without_a_place_stay_whole() {
        let said = "nginx: [emerg] cannot load certificate \"/tmp/x/certs/a.pem\"";
        let (words, field) = read(said);
        assert_eq!(words, "cannot load certificate \"/tmp/x/certs/a.pem\"");
        assert_eq!(field, None);
        assert_eq!(read("").0, "it said nothing");
    }
}
