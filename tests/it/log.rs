//! The access log: one JSON object a request, of the same fields and types from both proxies,
//! whatever a client puts into its request.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use vigie::agent::driver::Stream;
use vigie::model::Model;
use vigie::render::ProxyKind;

use crate::case;
use crate::serve::Served;
use crate::support::client::tls::Tls;
use crate::support::client::{Request, Target, exchange, exchange_http2};
use crate::support::expect;

type Line = Map<String, Value>;

const TEXTS: [&str; 11] = [
    "time",
    "remote_addr",
    "request_id",
    "method",
    "host",
    "uri",
    "protocol",
    "ingress",
    "route",
    "upstream",
    "upstream_addr",
];
const NUMBERS: [&str; 3] = ["status", "bytes_sent", "request_time"];
const NUMBERS_OR_NULL: [&str; 3] = [
    "upstream_status",
    "upstream_connect_time",
    "upstream_response_time",
];

/// What both proxies must say alike of one request.
const ALIKE: [&str; 11] = [
    "method",
    "host",
    "uri",
    "protocol",
    "status",
    "ingress",
    "route",
    "upstream",
    "upstream_addr",
    "upstream_status",
    "tls",
];

/// Every line is an object of just the agreed fields.
fn complaints(line: &str) -> Vec<String> {
    let object: Line = match serde_json::from_str(line) {
        Ok(object) => object,
        Err(error) => return vec![format!("{error}: {line}")],
    };
    let names: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let known = TEXTS.into_iter().chain(NUMBERS).chain(NUMBERS_OR_NULL);
    let known: BTreeSet<&str> = known.chain(["tls"]).collect();
    let mut wrong: Vec<String> = names
        .symmetric_difference(&known)
        .map(|name| format!("{name} is missing or not agreed: {line}"))
        .collect();
    for (name, value) in &object {
        let fits = match value {
            Value::String(_) => TEXTS.contains(&name.as_str()) || name == "tls",
            Value::Number(_) => !TEXTS.contains(&name.as_str()) && name != "tls",
            Value::Null => NUMBERS_OR_NULL.contains(&name.as_str()),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name} is of another type: {line}"));
        }
    }
    let time = object["time"].as_str().unwrap_or_default();
    if time.parse::<jiff::Timestamp>().is_err() {
        wrong.push(format!("time is none: {line}"));
    }
    wrong
}

/// A proxy whose access log is kept in a file.
struct Logged {
    served: Served,
    folder: tempfile::TempDir,
}

impl Logged {
    async fn start(model: &Model, proxy: ProxyKind) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the log");
        let access = Stream::File(folder.path().join("access"));
        let served = Served::start_logging(model, proxy, access).await;
        let served = served.unwrap_or_else(|error| panic!("{proxy}: {error}"));
        Self { served, folder }
    }

    /// The lines written so far, once there are so many.
    async fn lines(&self, count: usize) -> Vec<String> {
        let path: &Path = &self.folder.path().join("access");
        let enough = async {
            loop {
                let text = std::fs::read(path).unwrap_or_default();
                let lines: Vec<String> = text
                    .split_inclusive(|byte| *byte == b'\n')
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect();
                if lines.len() >= count {
                    return lines;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let lines = timeout(Duration::from_secs(5), enough).await;
        lines.unwrap_or_else(|_| panic!("fewer than {count} lines in the log"))
    }
}

/// The requests that both proxies must log alike, by the path that tells them apart.
async fn ask(logged: &Logged) -> BTreeMap<String, Line> {
    let http = Target::plain(logged.served.http);
    let https = Target::tls(logged.served.https, Tls::to("shop.example.com"));
    let h2 = Target::tls(logged.served.https, Tls::to("shop.example.com").http2());
    let shop =
        |path| Request::get("shop.example.com", path).header("X-Request-ID", "of-the-client");
    let plain = [
        shop("/plain?a=%22b%22"),
        shop("/plain?status=404"),
        Request::post("shop.example.com", "/body", "some text"),
        Request::get("SHOP.example.com:8080", "/host"),
        Request::get("nobody.example.com", "/nobody"),
        Request::get("idle.example.com", "/idle"),
        Request::get("gone.example.com", "/gone"),
        Request::get("refuses.example.com", "/refuses"),
        Request::get("redirected.example.com", "/redirected"),
        Request::get("blog.example.com", "/slow?sleep=300ms"),
    ];
    for request in &plain {
        exchange(&http, request).await.expect("an answer");
    }
    exchange(&https, &shop("/tls")).await.expect("an answer");
    exchange_http2(&h2, &shop("/h2")).await.expect("an answer");
    let count = plain.len() + 2;
    let mut lines = BTreeMap::new();
    for line in logged.lines(count).await {
        assert_eq!(complaints(&line), [""; 0]);
        let line: Line = serde_json::from_str(&line).expect("it has just been read");
        let uri = line["uri"].as_str().unwrap_or_default().to_owned();
        lines.insert(uri, line);
    }
    assert_eq!(lines.len(), count, "a line for each request");
    lines
}

fn alike(lines: &BTreeMap<String, Line>) -> Vec<String> {
    let of_line = |(uri, line): (&String, &Line)| {
        let fields = ALIKE.map(|name| format!("{name}={}", line[name]));
        format!("{uri}: {}", fields.join(" "))
    };
    lines.iter().map(of_line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_log_has_the_same_fields_on_both_proxies() {
    let case = case::of_text(MANIFESTS);
    let _backends = expect::start_backends(&case.expect).expect("backends");
    let (translation, _) = case.translate();
    let nginx = Logged::start(&translation.model, ProxyKind::Nginx).await;
    let haproxy = Logged::start(&translation.model, ProxyKind::Haproxy).await;
    let (of_nginx, of_haproxy) = (ask(&nginx).await, ask(&haproxy).await);
    assert_eq!(alike(&of_nginx), alike(&of_haproxy));
    for lines in [of_nginx, of_haproxy] {
        said_of_a_request(&lines);
    }
    nginx.served.stop().await;
    haproxy.served.stop().await;
}

fn said_of_a_request(lines: &BTreeMap<String, Line>) {
    let line = |uri: &str| lines.get(uri).unwrap_or_else(|| panic!("no line of {uri}"));
    let plain = line("/plain?a=%22b%22");
    assert_eq!(plain["ingress"], "default/shop");
    assert_eq!(plain["remote_addr"], "127.0.0.1");
    assert_eq!(plain["request_id"], "of-the-client");
    assert_eq!(plain["upstream_addr"], "127.1.0.1:8080");
    assert_eq!(plain["upstream_status"], 200);
    assert_eq!(plain["protocol"], "HTTP/1.1");
    assert_eq!(plain["tls"], "");
    assert_eq!(line("/plain?status=404")["upstream_status"], 404);
    assert_ne!(line("/body")["request_id"], "");
    assert_eq!(line("/tls")["tls"], "TLSv1.3");
    assert_eq!(line("/h2")["protocol"], "HTTP/2.0");
    assert_eq!(line("/nobody")["ingress"], "");
    // Whatever was not reached has neither a status nor a time.
    for (uri, status) in [
        ("/nobody", 404),
        ("/idle", 503),
        ("/gone", 503),
        ("/redirected", 308),
    ] {
        assert_eq!(line(uri)["status"], status);
        for name in NUMBERS_OR_NULL {
            assert_eq!(line(uri)[name], Value::Null, "{name} of {uri}");
        }
        assert_eq!(line(uri)["upstream_addr"], "");
    }
    assert_eq!(line("/redirected")["ingress"], "default/redirected");
    assert_eq!(line("/refuses")["status"], 502);
    // Seconds, as fractions.
    let slow = line("/slow?sleep=300ms");
    for name in ["request_time", "upstream_response_time"] {
        let seconds = slow[name].as_f64().unwrap_or_default();
        assert!((0.29..3.0).contains(&seconds), "{name}: {seconds}");
    }
    assert!(slow["bytes_sent"].as_u64() > Some(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_log_stays_json_whatever_a_client_sends() {
    let case = case::of_text(MANIFESTS);
    let _backends = expect::start_backends(&case.expect).expect("backends");
    let (translation, _) = case.translate();
    for proxy in ProxyKind::ALL {
        let logged = Logged::start(&translation.model, proxy).await;
        for request in hostile() {
            send(logged.served.http, &request).await;
            // Plain words where a handshake should be.
            send(logged.served.https, &request).await;
        }
        let last = Request::get("shop.example.com", "/last");
        let answer = exchange(&Target::plain(logged.served.http), &last).await;
        assert_eq!(answer.expect("an answer").status, 200);
        let lines = loop {
            let lines = logged.lines(1).await;
            if lines.last().is_some_and(|line| line.contains("/last")) {
                break lines;
            }
            sleep(Duration::from_millis(20)).await;
        };
        assert!(lines.len() > hostile().len() / 2, "{proxy}: {lines:?}");
        let wrong: Vec<String> = lines.iter().flat_map(|line| complaints(line)).collect();
        assert!(wrong.is_empty(), "{proxy}:\n{}", wrong.join("\n"));
        logged.served.stop().await;
    }
}

/// Requests that hold what JSON, a shell or a terminal would take for its own.
fn hostile() -> Vec<Vec<u8>> {
    let evil: [&[u8]; 12] = [
        b"\"",
        b"\\",
        b"\\\"},{\"status\":200,\"x\":\"",
        b"%22%0a%00%5c",
        b"${env:PATH}$uri%{x}[var(txn.id)]",
        b"\t\x0b\x7f",
        b"\x01\x1b[31m",
        b"\xff\xfe\xc3\x28",
        "é\u{2028}漢".as_bytes(),
        b"</script>'<!--",
        b"a\rb",
        b"a\x00b",
    ];
    let places: [(&[u8], &[u8]); 7] = [
        (
            b"GET /",
            b" HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET /?q=",
            b" HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: shop.example.com",
            b"\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: ",
            b"\r\nConnection: close\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\nX-Request-ID: ",
            b"\r\n\r\n",
        ),
        (
            b"",
            b" / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n",
        ),
        (b"GET / HTTP/", b"\r\n\r\n"),
    ];
    let mut requests = Vec::new();
    for evil in evil {
        requests.extend(places.map(|(before, after)| [before, evil, after].concat()));
    }
    requests.push(
        [
            b"GET /",
            "é".repeat(20_000).as_bytes(),
            b" HTTP/1.1\r\n\r\n",
        ]
        .concat(),
    );
    // Each of these is longer in JSON, and longer than a proxy's usual line.
    for place in [&places[0], &places[3], &places[4]] {
        let long = "\"\u{1}".repeat(3_000);
        requests.push([place.0, long.as_bytes(), place.1].concat());
        requests.push([place.0, "\"".repeat(14_000).as_bytes(), place.1].concat());
    }
    requests
}

/// Whatever the answer is, if there is one.
async fn send(address: SocketAddr, bytes: &[u8]) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    // A request that is no end of one keeps the proxy waiting.
    let _ = timeout(Duration::from_millis(100), exchange).await;
}

const MANIFESTS: &str = include_str!("log.yaml");
