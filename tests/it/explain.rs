//! What `vigie explain` says beforehand is what the cases expect of both real proxies.

use vigie::explain::{Explanation, Forwarded, Outcome, Request, Url, explain};
use vigie::model::{Endpoints, Model};

use crate::case;
use crate::support::expect::Plain;

/// What an endpoint that is there may make a proxy answer all the same.
const OF_ENDPOINTS: [u16; 3] = [502, 503, 504];

#[test]
fn every_case_is_explained_as_it_is_answered() {
    let mut wrong = Vec::new();
    let mut held = 0;
    for case in case::all() {
        let model = case.translate().0.model;
        for plain in case.expect.plain() {
            held += 1;
            if let Err(words) = agrees(&model, &plain) {
                wrong.push(format!("{}: {}: {words}", case.name, plain.url));
            }
        }
    }
    assert!(
        std::env::var_os("CASE").is_some() || held > 400,
        "only {held} requests are held against an explanation"
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn agrees(model: &Model, plain: &Plain<'_>) -> Result<(), String> {
    let url: Url = plain.url.parse().map_err(|error| format!("{error}"))?;
    let header = |(name, value): &(&str, &str)| format!("{name}: {value}").parse();
    let headers = plain.headers.iter().map(header).collect::<Result<_, _>>();
    let request = Request {
        url,
        headers: headers.map_err(|error| format!("{error}"))?,
        client: Some(plain.client),
    };
    let explanation = explain(model, &request);
    agreeing(&explanation, plain).map_err(|words| format!("{words}: {:?}", explanation.outcome))
}

fn agreeing(explanation: &Explanation, plain: &Plain<'_>) -> Result<(), &'static str> {
    let outcome = &explanation.outcome;
    match (outcome.status(), outcome) {
        (Some(status), _) => {
            if plain.backend.is_some_and(|backend| backend.is_some()) {
                return Err("no endpoint is foreseen");
            }
            if plain.status.is_some_and(|wanted| wanted != status) {
                return Err("another status is foreseen");
            }
            if !plain.has_location(outcome.location().unwrap_or_default()) {
                return Err("another location is foreseen");
            }
        }
        (None, Outcome::Forwarded(forwarded)) => return forwards(forwarded, plain),
        (None, _) => return Err("it has no status"),
    }
    Ok(())
}

fn forwards(forwarded: &Forwarded, plain: &Plain<'_>) -> Result<(), &'static str> {
    match plain.backend {
        Some(None) if !plain.status.is_some_and(|s| OF_ENDPOINTS.contains(&s)) => {
            Err("an endpoint is foreseen")
        }
        Some(Some(backend)) if !reaches(forwarded, backend) => Err("another endpoint is foreseen"),
        _ if !plain.has_path(&forwarded.target) => Err("another path is foreseen"),
        _ => Ok(()),
    }
}

fn reaches(forwarded: &Forwarded, backend: &str) -> bool {
    let upstreams = forwarded
        .ways
        .iter()
        .filter_map(|way| way.upstream.as_ref());
    upstreams
        .into_iter()
        .any(|upstream| match &upstream.endpoints {
            Endpoints::Addresses(all) => all.iter().any(|e| e.to_string() == backend),
            // Whatever its name resolves to.
            Endpoints::Name { .. } => true,
        })
}
