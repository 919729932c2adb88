//! Asks the proxies that `vigie run` runs on this machine. HAProxy tells by its runtime API which
//! lines of its maps it would take, without any request; nginx can only be sent one, which is left
//! to whoever asks for it by `--ask`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::ask::{Agreement, Said};
use crate::explain::{Explanation, RouteStep, Scheme};
use crate::model::names::RoutePath;
use crate::render::haproxy::ADMIN_SOCKET;
use crate::standalone::state;

const PATIENCE: Duration = Duration::from_secs(2);

/// More of them are counted.
const ASKED: usize = 4;

/// One saying for each proxy, or one that says that there is none.
pub fn ask(explanation: &Explanation) -> Vec<Said> {
    let mut runs = state::running();
    let others = runs.len().saturating_sub(ASKED);
    runs.truncate(ASKED);
    let mut said: Vec<Said> = runs.iter().map(|run| ask_run(run, explanation)).collect();
    if said.is_empty() {
        said.push(unasked("no `vigie run` is here to be asked".to_owned()));
    }
    if others > 0 {
        said.push(unasked(format!("{others} more are not asked")));
    }
    said
}

fn unasked(words: String) -> Said {
    Said {
        words,
        agreement: Agreement::Unasked,
    }
}

fn ask_run(run: &Path, explanation: &Explanation) -> Said {
    let socket = run.join(ADMIN_SOCKET);
    if !socket.exists() {
        return nginx(run, explanation.client.scheme);
    }
    let name = format!("HAProxy in {}", run.display());
    match taken(&socket, explanation) {
        Ok(Taken::Unsayable) => unasked(format!("{name} cannot be asked about such a path")),
        Ok(Taken::Line(line)) => {
            let (agreement, words) = held_against(line.as_deref(), explanation.route.as_ref());
            Said {
                words: format!("{name} {words}"),
                agreement,
            }
        }
        Err(error) => unasked(format!("{name} does not answer: {error}")),
    }
}

/// Where an nginx of `vigie run` listens stands in the host that takes what no other does.
fn nginx(run: &Path, scheme: Scheme) -> Said {
    let file = run.join("current/hosts/default.conf");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut listens = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("listen "))
        .filter(|listen| listen.contains(" ssl") == (scheme == Scheme::Https))
        .filter_map(|listen| listen.split([' ', ';']).next());
    match listens.next() {
        Some(address) => unasked(format!(
            "an nginx of `vigie run` listens at {address}; --ask {address} sends it this request"
        )),
        None => unasked(format!("what runs in {} cannot be asked", run.display())),
    }
}

enum Taken {
    /// The value of the line in `maps/routes.map`, where there is one.
    Line(Option<String>),
    /// The path holds what no command of the runtime API can.
    Unsayable,
}

/// Does the look-ups of the proxy's own rules, in the same maps.
fn taken(socket: &Path, explanation: &Explanation) -> io::Result<Taken> {
    let path = explanation.path.looked_up.as_deref();
    let Some(path) = path.and_then(|path| path.parse::<RoutePath>().ok()) else {
        return Ok(Taken::Unsayable);
    };
    let get = |map: &str, key: &str| get(socket, map, key);
    let mut key = None;
    for tried in &explanation.host.tried {
        if key.is_none() {
            key = get("hosts", &tried.host)?;
        }
    }
    let key = key.unwrap_or_else(|| "*".to_owned());
    let line = match key.strip_prefix('~').and_then(|key| key.split_once(':')) {
        None => get("routes", &format!("{key}{}/#", path.encoded()))?,
        Some((bucket, host)) => {
            let found = get(&format!("regex-{bucket}"), &format!("{host}|{path}"))?;
            match found
                .as_deref()
                .map(|found| found.split('|').next().unwrap_or(found))
            {
                Some(id) => get("routes", id)?,
                None => None,
            }
        }
    };
    match line {
        Some(line) => Ok(Taken::Line(Some(line))),
        None => get("routes", "~fallback").map(Taken::Line),
    }
}

/// The value that a map gives for a key.
fn get(socket: &Path, map: &str, key: &str) -> io::Result<Option<String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut escaped = String::with_capacity(key.len());
    for c in key.chars() {
        if matches!(c, ' ' | ';' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    stream.write_all(format!("get map maps/{map}.map {escaped}\n").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    value(&reply).map_err(io::Error::other)
}

/// Reads `type=beg, case=sensitive, found=yes, idx=tree, key="…", value="…", type="str"`.
fn value(reply: &str) -> Result<Option<String>, String> {
    let line = reply.lines().find(|line| line.starts_with("type="));
    let Some(line) = line else {
        return Err(reply.trim().to_owned());
    };
    if !line.contains("found=yes") {
        return Ok(None);
    }
    let value = line.split_once(", value=\"").and_then(|(_, rest)| {
        let (value, _) = rest.rsplit_once("\", type=\"")?;
        Some(value.to_owned())
    });
    value.map(Some).ok_or_else(|| line.to_owned())
}

/// A line's fields are `class|backend|https|hsts|id|ingress|route`.
fn held_against(line: Option<&str>, route: Option<&RouteStep>) -> (Agreement, String) {
    let fields: Vec<&str> = line.unwrap_or_default().splitn(7, '|').collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let found = match line {
        Some(_) => format!("takes it by {} of Ingress {}", field(6), field(5)),
        None => "has no route for it".to_owned(),
    };
    let same = match (line, route) {
        (Some(_), Some(route)) => field(4) == route.id.as_str(),
        (None, None) => true,
        _ => false,
    };
    match (same, route) {
        (true, _) => (Agreement::Agrees, found),
        (false, Some(route)) => {
            let wanted = format!("{} of {}", route.path, route.origin.object);
            (
                Agreement::Differs,
                format!("{found}; {wanted} was foreseen"),
            )
        }
        (false, None) => (Agreement::Differs, format!("{found}; nothing was foreseen")),
    }
}
