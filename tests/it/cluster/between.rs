//! Stands between a program and the API server. All that the program asks for passes through, streams
//! too, until a test says otherwise; the API server itself stays the real one.
//!
//! Nothing is encrypted on the near side. A token passes; a client certificate would not.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{self, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::{Account, Cluster};

const PORT: u16 = 6443;

type Body = BoxBody<Bytes, io::Error>;

/// A request as it came by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub verb: &'static str,
    /// With its subresource, as `ingresses/status`; empty where it is for no object.
    pub resource: String,
    pub name: String,
    /// Whether something was done to it.
    pub touched: bool,
}

/// What is done to a request.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The answer begins so much later.
    Late(Duration),
    /// It is answered in place of the API server.
    Refuse(u16),
    /// A watch begins well, and its first event is an error with this code.
    Break(u16),
    /// A watch begins well and ends within its first event.
    Tear,
    /// It is never answered.
    Hang,
}

struct Rule {
    takes: Box<dyn Fn(&Heard) -> bool + Send>,
    act: Act,
    /// How often it still holds.
    left: usize,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    heard: Vec<Heard>,
}

/// It ends, with all connections, when this is dropped.
pub struct Between {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    cut: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

/// The way to the API server.
#[derive(Clone)]
struct Far {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Between {
    pub async fn start(cluster: &Cluster) -> Self {
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::new(10, 77, 65, number), PORT));
        let listener = TcpListener::bind(address)
            .await
            .expect("its address is free");
        let (state, (cut, cuts)) = (Arc::default(), watch::channel(()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Far::of(cluster), Arc::clone(&state), cuts));
        Self {
            address,
            state,
            cut,
            _tasks: tasks,
        }
    }

    /// The same account, whose programs come by here.
    pub fn account(&self, account: &Account) -> Account {
        let text = fs::read(&account.kubeconfig).expect("our own kubeconfig");
        let mut config: Value = serde_json::from_slice(&text).expect("our own kubeconfig");
        config["clusters"][0]["cluster"] = json!({"server": format!("http://{}", self.address)});
        let by = format!("by-{}.kubeconfig", self.address.ip());
        let file = account.kubeconfig.with_extension(by);
        fs::write(&file, config.to_string()).expect("a kubeconfig can be written");
        Account {
            name: account.name.clone(),
            user: account.user.clone(),
            kubeconfig: file,
        }
    }

    /// From now on this is done to such requests, until `heal`. The first rule that takes one decides.
    pub fn fault(&self, act: Act, takes: impl Fn(&Heard) -> bool + Send + 'static) {
        self.fault_times(usize::MAX, act, takes);
    }

    /// The same for the next ones alone.
    pub fn fault_times(
        &self,
        times: usize,
        act: Act,
        takes: impl Fn(&Heard) -> bool + Send + 'static,
    ) {
        self.lock().rules.push(Rule {
            takes: Box::new(takes),
            act,
            left: times,
        });
    }

    /// All passes through again. What hangs goes on hanging, see `cut`.
    pub fn heal(&self) {
        self.lock().rules.clear();
    }

    /// Ends all connections at once, in the middle of whatever they carry.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }

    /// How many such requests something was done to.
    pub fn touched(&self, which: impl Fn(&Heard) -> bool) -> usize {
        let state = self.lock();
        let touched = state.heard.iter().filter(|heard| heard.touched);
        touched.filter(|heard| which(heard)).count()
    }

    /// How many there were in all.
    pub fn heard(&self, which: impl Fn(&Heard) -> bool) -> usize {
        self.lock()
            .heard
            .iter()
            .filter(|heard| which(heard))
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is to be done to a request, which is noted.
    fn hear(&mut self, mut heard: Heard) -> Option<Act> {
        let mut rules = self.rules.iter_mut();
        let rule = rules.find(|rule| rule.left > 0 && (rule.takes)(&heard));
        let act = rule.map(|rule| {
            rule.left -= 1;
            rule.act
        });
        heard.touched = act.is_some();
        self.heard.push(heard);
        act
    }
}

impl Far {
    fn of(cluster: &Cluster) -> Self {
        let directory = cluster.control_plane().directory();
        let authority = CertificateDer::from_pem_file(directory.join("ca.crt"));
        let mut roots = RootCertStore::empty();
        let added = roots.add(authority.expect("our own authority"));
        added.expect("our own authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = cluster.control_plane().server();
        let address = server.strip_prefix("https://").expect("it is encrypted");
        Self {
            address: address.parse().expect("an address"),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// A connection of its own, which ends with the set.
    async fn connect(&self, tasks: &mut JoinSet<()>) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(other)?;
        tasks.spawn(async move {
            // However it ends, it has ended.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

async fn accept(
    listener: TcpListener,
    far: Far,
    state: Arc<Mutex<State>>,
    cuts: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (far, state, mut cuts) = (far.clone(), state.clone(), cuts.clone());
        cuts.mark_unchanged();
        connections.spawn(async move {
            tokio::select! {
                _ = cuts.changed() => {}
                () = serve(near, far, state) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection of the program, and one to the API server for it.
async fn serve(near: TcpStream, far: Far, state: Arc<Mutex<State>>) {
    let mut tasks = JoinSet::new();
    let Ok(sender) = far.connect(&mut tasks).await else {
        return;
    };
    let sender = Arc::new(sync::Mutex::new(sender));
    let pass = service_fn(|request| pass(request, sender.clone(), state.clone()));
    // It ends as the program likes.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(near), pass)
        .await;
}

async fn pass(
    request: Request<Incoming>,
    sender: Arc<sync::Mutex<SendRequest<Full<Bytes>>>>,
    state: Arc<Mutex<State>>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(other)?.to_bytes();
    let heard = heard(head.method.as_str(), &head.uri, &body);
    let act = state
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .hear(heard);
    match act {
        Some(Act::Refuse(code)) => return Ok(refusal(code)),
        Some(Act::Break(code)) => return Ok(stream(format!("{}\n", broken(code)), false)),
        Some(Act::Tear) => return Ok(stream("{\"type\":\"MODIF".to_owned(), true)),
        Some(Act::Hang) => std::future::pending().await,
        Some(Act::Late(_)) | None => {}
    }
    let mut sender = sender.lock().await;
    sender.ready().await.map_err(other)?;
    let request = Request::from_parts(head, Full::new(body));
    let answer = sender.send_request(request).await.map_err(other)?;
    if let Some(Act::Late(delay)) = act {
        sleep(delay).await;
    }
    Ok(answer.map(|body| body.map_err(other).boxed()))
}

fn other(error: hyper::Error) -> io::Error {
    io::Error::other(error)
}

fn heard(method: &str, uri: &hyper::Uri, body: &[u8]) -> Heard {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    // The group, where there is one, and the version.
    match parts.next() {
        Some("api") => drop(parts.next()),
        Some("apis") => drop(parts.nth(1)),
        _ => return Heard::default(),
    }
    let mut parts = parts.peekable();
    let parts: Vec<&str> = match parts.next_if_eq(&"namespaces") {
        Some(_) => {
            let rest: Vec<&str> = parts.collect();
            match rest.len() {
                0 | 1 => ["namespaces"].into_iter().chain(rest).collect(),
                _ => rest[1..].to_vec(),
            }
        }
        None => parts.collect(),
    };
    let resource = match (parts.first(), parts.get(2)) {
        (Some(resource), Some(part)) => format!("{resource}/{part}"),
        (resource, _) => resource.copied().unwrap_or_default().to_owned(),
    };
    let watches = uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match (method, parts.get(1)) {
        ("GET", _) if watches => "watch",
        ("GET", None) => "list",
        ("GET", Some(_)) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    let name = match parts.get(1) {
        Some(name) => (*name).to_owned(),
        None => named(body).unwrap_or_default(),
    };
    Heard {
        verb,
        resource,
        name,
        touched: false,
    }
}

/// What is created is named by itself alone.
fn named(body: &[u8]) -> Option<String> {
    let object: Value = serde_json::from_slice(body).ok()?;
    Some(object["metadata"]["name"].as_str()?.to_owned())
}

/// In the form of the API server.
fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the test answers {code}"), "reason": reason, "code": code,
    })
}

fn broken(code: u16) -> Value {
    json!({"type": "ERROR", "object": status(code)})
}

fn refusal(code: u16) -> Response<Body> {
    let text = status(code).to_string();
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut answer = Response::builder()
        .status(code)
        .header(CONTENT_TYPE, "application/json");
    if code == 429 {
        answer = answer.header(RETRY_AFTER, "1");
    }
    answer.body(body.boxed()).expect("an answer")
}

/// A stream of events that ends after some octets, well or not.
fn stream(text: String, tears: bool) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(async move {
        // Whoever has gone needs nothing any more.
        let _ = sender.send_data(Bytes::from(text)).await;
        if tears {
            sender.abort(io::Error::other("torn"));
        }
    });
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(body.boxed())
        .expect("an answer")
}
