//! The same changes by hand, on the proxy that Vigie runs: by commands of the runtime API where there
//! is one, by an editor, the proxy's own check and a signal where there is none. Nothing of it stays.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use vigie::model::names::CertificateId;
use vigie::render::ProxyKind;

use crate::manifests::{Manifests, address, host, name, namespace};
use crate::process::Vigie;
use crate::proxy;

/// What somebody does who has the proxy's files and sockets before them.
pub enum Hand {
    Haproxy(Haproxy),
    Nginx(Nginx),
}

impl Hand {
    pub fn of(proxy: ProxyKind, vigie: &Vigie) -> Self {
        let state = vigie.state();
        match proxy {
            ProxyKind::Haproxy => Self::Haproxy(Haproxy {
                socket: state.join("run/admin.sock"),
                routes: fs::read_to_string(state.join("current/maps/routes.map"))
                    .expect("a table of routes"),
            }),
            ProxyKind::Nginx => Self::Nginx(Nginx {
                binary: proxy::binary(proxy),
                master: vigie.proxy(),
                state,
                before: Vec::new(),
            }),
        }
    }

    /// A new host, with a pool of its own on HAProxy, that does what the host `like` does.
    pub fn create(&mut self, number: usize, like: usize, port: u16) {
        match self {
            Self::Haproxy(haproxy) => haproxy.create(number, like, port),
            Self::Nginx(nginx) => nginx.create(number, like),
        }
    }

    /// Another address for an endpoint of a host: of one created by hand on HAProxy.
    pub fn endpoint(&mut self, number: usize, like: usize, pods: u8, port: u16) {
        match self {
            Self::Haproxy(haproxy) => haproxy.endpoint(number, pods, port),
            Self::Nginx(nginx) => nginx.endpoint(like, pods, port),
        }
    }

    pub fn certificate(&mut self, number: usize, pem: &str) {
        let id = CertificateId::new(&namespace(number), &name(number));
        let file = format!("certs/{id}.pem");
        match self {
            Self::Haproxy(haproxy) => haproxy.certificate(&file, pem),
            Self::Nginx(nginx) => nginx.edit(&file, |_| pem.to_owned()),
        }
    }

    pub fn delete(&mut self, number: usize, like: usize) {
        match self {
            Self::Haproxy(haproxy) => haproxy.delete(number),
            Self::Nginx(nginx) => nginx.delete(number, like),
        }
    }

    /// Everything as Vigie left it; the caller waits until it is served.
    pub fn restore(&mut self, certificate: usize, manifests: &Manifests) {
        match self {
            Self::Haproxy(_) => self.certificate(certificate, &manifests.pem(certificate)),
            Self::Nginx(nginx) => nginx.restore(),
        }
    }
}

pub struct Haproxy {
    socket: PathBuf,
    routes: String,
}

impl Haproxy {
    fn say(&self, commands: &str) {
        let mut socket = UnixStream::connect(&self.socket).expect("the runtime API");
        let line = format!("{commands}\n");
        socket.write_all(line.as_bytes()).expect("it reads");
        let mut said = String::new();
        socket.read_to_string(&mut said).expect("it answers");
        let failed = ["Unknown", "not found", "No such", "rror", "Can't"];
        assert!(
            !failed.iter().any(|w| said.contains(w)),
            "{commands}: {said}"
        );
    }

    fn create(&self, number: usize, like: usize, port: u16) {
        let (new, old) = (host(number), host(like));
        let line = self.routes.lines().find(|line| line.starts_with(&old));
        let line = line.expect("a route like it").replace(&old, &new);
        let upstream = line.split('|').nth(1).expect("a route names its upstream");
        let backend = format!("hand-{number}");
        let route = line.replace(upstream, &backend);
        let servers = [1, 2].map(|last| {
            let server = format!("{backend}/s{last}");
            let address = address(1, last);
            format!("add server {server} {address}:{port};set server {server} state ready")
        });
        self.say(&format!(
            "add backend {backend} from vigie-upstream;{};publish backend {backend};add map maps/routes.map {route};add map maps/hosts.map {new} {new}",
            servers.join(";")
        ));
    }

    fn endpoint(&self, number: usize, pods: u8, port: u16) {
        let address = address(pods, 1);
        self.say(&format!(
            "set server hand-{number}/s1 addr {address} port {port}"
        ));
    }

    fn certificate(&self, file: &str, pem: &str) {
        self.say(&format!("set ssl cert {file} <<\n{pem}"));
        self.say(&format!("commit ssl cert {file}"));
    }

    fn delete(&self, number: usize) {
        let host = host(number);
        self.say(&format!(
            "del map maps/hosts.map {host};del map maps/routes.map {host}/"
        ));
    }
}

pub struct Nginx {
    binary: PathBuf,
    master: nix::unistd::Pid,
    state: PathBuf,
    /// Files as they were before the first edit.
    before: Vec<(PathBuf, String)>,
}

impl Nginx {
    /// Edits a file in its place, has all files checked and loaded.
    fn edit(&mut self, file: &str, edit: impl FnOnce(&str) -> String) {
        let path = self.state.join("current").join(file);
        let text = fs::read_to_string(&path).expect("the file is there");
        fs::write(&path, edit(&text)).expect("the file can be written");
        self.before.push((path, text));
        self.reload();
    }

    fn reload(&self) {
        let mut check = Command::new(&self.binary);
        check
            .args(["-t", "-q", "-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(self.state.join("current"))
            .current_dir(&self.state)
            .stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            check.args(["-g", "user root;"]);
        }
        let status = check.status().expect("nginx starts");
        assert!(status.success(), "nginx refuses what is written by hand");
        kill(self.master, Signal::SIGHUP).expect("nginx runs");
    }

    fn create(&mut self, number: usize, like: usize) {
        let (file, block) = self.block(like);
        let block = block.replace(&host(like), &host(number));
        self.edit(&file, |text| format!("{text}{block}"));
    }

    fn endpoint(&mut self, like: usize, pods: u8, port: u16) {
        let (_, block) = self.block(like);
        let upstream = block.split_once("proxy_pass http://");
        let upstream = upstream.and_then(|(_, rest)| Some(rest.split_once(';')?.0));
        let upstream = upstream.expect("a host that forwards");
        let file = format!("upstreams/{}.conf", &upstream[..2]);
        let resolved = format!("server {upstream}.p{port}.vigie:{port} resolve;");
        let fixed = format!("server {}:{port};", address(pods, 1));
        self.edit(&file, |text| text.replace(&resolved, &fixed));
    }

    fn delete(&mut self, number: usize, like: usize) {
        let (file, _) = self.block(like);
        let (_, block) = self.block(number);
        self.edit(&file, |text| text.replace(&block, ""));
    }

    /// The block of a host, and the file that it stands in.
    fn block(&self, number: usize) -> (String, String) {
        let begins = format!("# {}\n", host(number));
        let folder = self.state.join("current/hosts");
        let files = fs::read_dir(folder).expect("files of hosts").flatten();
        let found = files.filter_map(|file| {
            let text = fs::read_to_string(file.path()).ok()?;
            let from = &text[text.find(&begins)?..];
            let block = from[..from.find("\n}\n")? + 3].to_owned();
            Some((file_name(&file.path()), block))
        });
        found.last().expect("a block for each host")
    }

    fn restore(&mut self) {
        // The first edit of a file saw it as it was.
        for (path, text) in self.before.drain(..).rev() {
            fs::write(path, text).expect("the file can be written");
        }
        self.reload();
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("hosts/{}", name.to_string_lossy())
}
