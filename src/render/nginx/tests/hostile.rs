//! No value changes how nginx reads a file: with any values, the tree of directives is that of
//! harmless ones, and the words hold what the model holds.

use proptest::prelude::*;

use super::builders::*;
use super::*;
use crate::model::diagnostics::{FieldPath, Kind, ObjectRef, Origin};

/// The places of a model that a user writes to.
#[derive(Clone, Debug)]
struct Values {
    path: String,
    regex: String,
    value: String,
    pattern: String,
    target: String,
    object: String,
}

const HARMLESS: [&str; 6] = ["/x", "/y(z)", "v", "w", "/t", "web"];

fn model(values: &Values) -> Option<Model> {
    let mut model = Model::default();
    let host = "a.example";
    let path: names::RoutePath = values.path.parse().ok()?;
    // Paths of other lengths have other locations beside them.
    if path.is_root() || path.as_str().ends_with('/') {
        return None;
    }
    let regex = PathRegex::heeding_case(&values.regex).ok()?;
    let pattern: names::ValueRegex = values.pattern.parse().ok()?;
    if limits::names_a_group(regex.source()) || limits::names_a_group(pattern.source()) {
        return None;
    }
    let value: names::HeaderValue = values.value.parse().ok()?;
    let target: Template = values.target.parse().ok()?;
    let origin = Origin::new(
        ObjectRef::new(Kind::Ingress, &values.object, &values.object),
        FieldPath::default(),
    );
    let mut to = Forward::to(upstream_name("up"));
    to.upstream_host = Some(value.clone());
    to.forwarded_prefix = Some(value.clone());
    to.rewrite = Some(target.clone());
    to.split.rules = vec![
        header_rule("x-a", ValueMatch::Exact(value), "other"),
        header_rule("x-b", ValueMatch::Regex(pattern), "other"),
    ];
    add(
        &mut model,
        host,
        PathMatch::Prefix(path.clone()),
        Action::Forward(to),
    )
    .origin = origin.clone();
    let redirect = Action::Redirect(Redirect {
        location: target,
        code: StatusCode::FOUND,
    });
    add(&mut model, host, PathMatch::Exact(path), redirect.clone()).origin = origin.clone();
    add(&mut model, "b.example", PathMatch::Regex(regex), redirect).origin = origin.clone();
    let pool = Upstream {
        label: values.object.clone(),
        ..upstream(&[])
    };
    model.upstreams.insert(upstream_name("up"), pool);
    Some(model)
}

fn tree(model: &Model) -> Result<Vec<syntax::Directive>, String> {
    let bundle = rendered(model);
    let text = ["hosts/", "splits/", "upstreams/"].map(|name| folder(&bundle, name));
    syntax::read(&text.concat())
}

/// Words in which nginx replaces variables: each must be one that this renderer means.
fn variables_are_ours(tree: &[syntax::Directive]) -> Result<(), TestCaseError> {
    let ours = [
        "dollar",
        "request_uri",
        "host",
        "client_scheme",
        "client_query",
        "route",
        "route_ingress",
        "route_upstream",
        "route_host",
        "route_prefix",
        "args",
        "is_args",
    ];
    for name in ["set", "return", "rewrite"] {
        let mut found = Vec::new();
        syntax::all(tree, name, &mut found);
        for directive in found {
            // The expression of a rewrite is taken as it is.
            let from = if name == "rewrite" { 2 } else { 1 };
            for word in &directive.words[from..] {
                for part in word.split('$').skip(1) {
                    let name: String = part
                        .trim_start_matches('{')
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect();
                    let group = part.starts_with(|c: char| ('1'..='9').contains(&c));
                    let split = name.starts_with("split_");
                    prop_assert!(
                        group || split || ours.contains(&name.as_str()),
                        "${name} in {:?}",
                        directive.words
                    );
                }
            }
        }
    }
    Ok(())
}

const NASTY: &str = "[a-z/ \"'\\\\{}();#$%*.?&=é^|+<>-]{0,12}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn values_stay_inside_their_words(
        path in NASTY, regex in NASTY, value in NASTY, pattern in NASTY, target in NASTY,
        object in "\\PC{0,6}[\"\\\\\n\r\t$;{}#]{0,4}",
    ) {
        let pick = |text: String, harmless: &str, fits: fn(&str) -> bool| {
            if fits(&text) { text } else { harmless.to_owned() }
        };
        let [p, r, v, w, t, o] = HARMLESS;
        let values = Values {
            path: pick(format!("/{path}"), p, |s| s.parse::<names::RoutePath>().is_ok_and(|p| !p.as_str().ends_with('/'))),
            regex: pick(format!("/{regex}"), r, |s| {
                PathRegex::heeding_case(s).is_ok() && !limits::names_a_group(s)
            }),
            value: pick(value, v, |s| s.parse::<names::HeaderValue>().is_ok()),
            pattern: pick(pattern, w, |s| {
                s.parse::<names::ValueRegex>().is_ok() && !limits::names_a_group(s)
            }),
            target: pick(format!("/{target}"), t, |s| s.parse::<Template>().is_ok_and(|t| t.highest_group() == 0)),
            object,
        };
        let harmless = Values {
            path: p.into(), regex: r.into(), value: v.into(), pattern: w.into(),
            target: t.into(), object: o.into(),
        };
        let hostile = model(&values).expect("a model");
        let tree_now = tree(&hostile).map_err(TestCaseError::fail)?;
        let expected = tree(&model(&harmless).expect("a model")).map_err(TestCaseError::fail)?;
        prop_assert_eq!(syntax::blocks(&tree_now), syntax::blocks(&expected));
        let (mut now, mut then) = (Vec::new(), Vec::new());
        for name in ["location", "server", "upstream", "set", "return", "rewrite", "map", "proxy_pass"] {
            now.clear();
            then.clear();
            syntax::all(&tree_now, name, &mut now);
            syntax::all(&expected, name, &mut then);
            let count = |found: &[&syntax::Directive]| -> Vec<usize> {
                let mut counts: Vec<usize> = found.iter().map(|d| d.words.len()).collect();
                counts.sort();
                counts
            };
            prop_assert_eq!(count(&now), count(&then), "{}", name);
        }
        variables_are_ours(&tree_now)?;
        let mut found = Vec::new();
        syntax::all(&tree_now, "location", &mut found);
        let has = |words: &[&str]| found.iter().any(|d| d.words[1..] == *words);
        let decoded: names::RoutePath = values.path.parse().expect("a path");
        let source = PathRegex::heeding_case(&values.regex).expect("a regex");
        prop_assert!(has(&["=", decoded.as_str()]));
        let slashed = format!("{decoded}/");
        prop_assert!(has(&[slashed.as_str()]));
        let expression = source.anchored();
        prop_assert!(has(&["~", expression.as_str()]));
    }

    /// Whatever text a word is made of, the escaper lets it through and nginx reads it back.
    #[test]
    fn a_word_is_read_back(text in "\\PC{0,20}") {
        let word = words::Literal::new(&text).to_string();
        let mut printed = String::new();
        askama::filters::Escaper::write_escaped_str(&escape::Conf, &mut printed, &word)
            .map_err(|_| TestCaseError::fail("the escaper failed"))?;
        let read = syntax::read(&format!("x \"{printed}\";")).map_err(TestCaseError::fail)?;
        let expected: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        prop_assert_eq!(&read[0].words[1], &expected);
    }

    /// What no newtype lets in must not get past the last line either.
    #[test]
    fn the_escaper_fails_closed(before in "[a-z]{0,3}", wrong in "[\"\n\r\t\u{0}]|\\\\[a-z]", after in "[a-z]{0,3}") {
        let text = format!("{before}{wrong}{after}");
        let mut printed = String::new();
        let result = askama::filters::Escaper::write_escaped_str(&escape::Conf, &mut printed, &text);
        prop_assert!(result.is_err() && printed.is_empty());
    }
}
