//! What a running HAProxy holds, against the files that it would come up with: after every change by
//! the runtime API both say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use vigie::render::Bundle;
use vigie::render::bundle::{Content, FileText, Order};
use vigie::render::haproxy::{ADMIN_SOCKET, CERTIFICATE_LIST, CONFIGURATION};

/// How often it is looked at again.
const GLANCE: Duration = Duration::from_millis(100);

/// One command to the worker of now, and its answer.
pub async fn ask(directory: &Path, command: &str) -> String {
    let socket = directory.join("current").join(ADMIN_SOCKET);
    let asked = async {
        let mut stream = UnixStream::connect(&socket).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    asked.await.unwrap_or_else(|error| error.to_string())
}

/// The worker that answers now.
pub async fn worker(directory: &Path) -> i32 {
    let shown = ask(directory, "show info").await;
    let pid = shown.lines().find_map(|line| line.strip_prefix("Pid: "));
    pid.and_then(|pid| pid.parse().ok()).unwrap_or_default()
}

/// The lines of a map, in the order of the process.
pub async fn map(directory: &Path, file: &str) -> Vec<String> {
    let shown = ask(directory, &format!("show map {file}")).await;
    let lines = shown.lines().filter_map(|line| line.split_once(' '));
    // A value may be empty.
    lines.map(|(_, line)| line.trim_end().to_owned()).collect()
}

/// Everything in which the process and its files differ, and the files and the bundle.
pub async fn differences(directory: &Path, bundle: &Bundle) -> Vec<String> {
    let mut wrong = files(directory, bundle);
    for (name, content) in &bundle.structure {
        if let Content::Table(table) = content
            && name.starts_with("maps/")
        {
            let mut held = map(directory, name).await;
            let mut written: Vec<String> = lines(&read(directory, name));
            if table.order == Order::Any {
                held.sort();
                written.sort();
            }
            compare(name, &held, &written, &mut wrong);
        }
    }
    certificates(directory, bundle, &mut wrong).await;
    servers(directory, false, &mut wrong).await;
    wrong
}

/// The same, when everything on its way out has gone; it has so much time.
pub async fn differences_at_rest(
    directory: &Path,
    bundle: &Bundle,
    patience: Duration,
) -> Vec<String> {
    let deadline = Instant::now() + patience;
    loop {
        let mut wrong = differences(directory, bundle).await;
        servers(directory, true, &mut wrong).await;
        if wrong.is_empty() || Instant::now() > deadline {
            return wrong;
        }
        sleep(GLANCE).await;
    }
}

fn read(directory: &Path, file: &str) -> String {
    let path = directory.join("current").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|l| l.trim_end().to_owned()).collect()
}

fn compare<T: PartialEq + Debug>(what: &str, held: &T, written: &T, wrong: &mut Vec<String>) {
    if held != written {
        wrong.push(format!("{what}: held {held:#?}, written {written:#?}"));
    }
}

/// Pools that a name fills are filled by the agent.
fn files(directory: &Path, bundle: &Bundle) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, text) in bundle.files() {
        let of_names = bundle.pools.values().any(|pool| pool.name.is_some());
        if name == CONFIGURATION[1] && of_names {
            continue;
        }
        let same = match &text {
            FileText::Public(text) => *text == read(directory, name),
            FileText::Private(pem) => pem.reveal() == read(directory, name),
        };
        if !same {
            wrong.push(format!("{name} is not what was to be loaded"));
        }
    }
    wrong
}

async fn certificates(directory: &Path, bundle: &Bundle, wrong: &mut Vec<String>) {
    let shown = ask(
        directory,
        &format!("show ssl crt-list -n {CERTIFICATE_LIST}"),
    )
    .await;
    let listed = shown.lines().filter(|line| !line.starts_with('#'));
    let listed = listed.filter_map(|line| {
        let (entry, name) = line.trim_end().split_once(' ')?;
        let file = entry.rsplit_once(':').map_or(entry, |(file, _)| file);
        Some(format!("{file} {name}"))
    });
    let mut held: Vec<String> = listed.collect();
    let mut written = lines(&read(directory, CERTIFICATE_LIST));
    held.sort();
    written.sort();
    compare(CERTIFICATE_LIST, &held, &written, wrong);

    let shown = ask(directory, "show ssl cert").await;
    let held = shown.lines().filter(|line| !line.starts_with('#'));
    let held: BTreeSet<&str> = held.filter(|line| !line.is_empty()).collect();
    let private = |(name, content)| matches!(content, &Content::Private(_)).then_some(name);
    let written = bundle.structure.iter().filter_map(private);
    let written: BTreeSet<&str> = written.map(String::as_str).collect();
    compare("certificates", &held, &written, wrong);
}

/// Servers of each backend: address and port.
type Backends = BTreeMap<String, BTreeMap<String, String>>;

/// What is out of service may stay until nobody uses it, and so may backends that no route leads to.
async fn servers(directory: &Path, at_rest: bool, wrong: &mut Vec<String>) {
    let written = written_servers(&read(directory, CONFIGURATION[1]));
    let own = read(directory, CONFIGURATION[0]);
    let own = own.lines().filter_map(|line| line.strip_prefix("backend "));
    let own: BTreeSet<&str> = own.filter_map(|rest| rest.split(' ').next()).collect();

    let mut held = Backends::new();
    let shown = ask(directory, "show backend").await;
    let names = shown.lines().filter(|line| !line.starts_with('#'));
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        if !own.contains(name) && (at_rest || written.contains_key(name)) {
            held.entry(name.to_owned()).or_default();
        }
    }
    for line in ask(directory, "show servers state").await.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, backend, _, server, address, _, admin, ..] = fields[..] else {
            continue;
        };
        let out_of_service = admin.parse::<u8>().is_ok_and(|bits| bits & 1 == 1);
        let may_stay = out_of_service || !written.contains_key(backend);
        if line.starts_with('#') || own.contains(backend) || (may_stay && !at_rest) {
            continue;
        }
        let address = match address.contains(':') {
            true => format!("[{address}]"),
            false => address.to_owned(),
        };
        let address = format!("{address}:{}", fields.get(18).unwrap_or(&""));
        let servers = held.entry(backend.to_owned()).or_default();
        servers.insert(server.to_owned(), address);
    }
    compare("servers", &held, &written, wrong);
}

fn written_servers(text: &str) -> Backends {
    let mut backends = Backends::new();
    let mut last = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["backend", name, ..] => {
                last = name.to_owned();
                backends.entry(last.clone()).or_default();
            }
            ["server", name, address, ..] => {
                let servers = backends.entry(last.clone()).or_default();
                servers.insert(name.to_owned(), address.to_owned());
            }
            _ => {}
        }
    }
    backends
}
