//! Turns an entry of `expect.yaml` into the request that will be sent.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use super::{Entry, read};
use crate::support::client::http2::grpc_request;
use crate::support::client::tls::{ClientCertificate, KeyKind, Tls, Version};
use crate::support::client::{Body, Request, Target};

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the author wrote it, for messages.
    pub title: String,
    pub target: Target,
    pub request: Request,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Http1,
    Http2,
    /// Open a WebSocket and echo this text.
    WebSocket(String),
    /// Send these pieces one by one.
    Stream(Vec<String>),
}

/// A URL taken apart but not changed: the target is everything after the host.
struct Url<'a> {
    https: bool,
    authority: &'a str,
    target: &'a str,
}

impl Entry {
    pub fn plan(&self, folder: &Path, http: SocketAddr, https: SocketAddr) -> anyhow::Result<Plan> {
        let (method, asked) = self.asked()?;
        let url = match (&self.raw, &self.to) {
            (Some(_), Some(to)) => url(to)?,
            (Some(_), None) => bail!("`raw` needs a `to`: the URL of the host it goes to"),
            (None, Some(_)) => bail!("`to` is for `raw` only"),
            (None, None) => url(asked)?,
        };
        let kind = self.kind()?;
        let body = self.request_body()?;
        let request = if self.grpc.is_some() {
            let message = self.body.as_deref().unwrap_or_default();
            grpc_request(url.authority, url.target, message.as_bytes())
        } else {
            Request {
                line: self.raw.clone(),
                body,
                ..Request::new(method, url.authority, url.target)
            }
        };
        let mut target = match url.https {
            true => Target::tls(https, self.offered(&url, &kind, folder)?),
            false => Target::plain(http),
        };
        target.source = self.client;
        target.timeout = self.timeout.map_or(target.timeout, |time| time.0);
        if let Some(text) = &self.proxy_protocol {
            target.proxy_header = Some(text.parse().map_err(anyhow::Error::msg)?);
        }
        Ok(Plan {
            title: format!("{} {asked}", method.to_ascii_uppercase()),
            target,
            request: self.with_headers(request),
            kind,
        })
    }

    /// The method and what it is asked of.
    fn asked(&self) -> anyhow::Result<(&'static str, &str)> {
        let verbs = [
            ("GET", &self.get),
            ("HEAD", &self.head),
            ("POST", &self.post),
            ("PUT", &self.put),
            ("PATCH", &self.patch),
            ("DELETE", &self.delete),
            ("OPTIONS", &self.options),
            // These two say how a GET or POST goes on.
            ("GET", &self.websocket),
            ("POST", &self.grpc),
            ("GET", &self.raw),
        ];
        let mut given = verbs
            .into_iter()
            .filter_map(|(method, url)| Some((method, url.as_deref()?)));
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => bail!("it asks nothing: give one of get, post, raw, websocket, grpc, …"),
            (Some((one, _)), Some((two, _))) => bail!("it asks two things: {one} and {two}"),
        }
    }

    fn kind(&self) -> anyhow::Result<Kind> {
        if self.h2 || self.grpc.is_some() {
            ensure!(
                self.raw.is_none() && self.websocket.is_none() && self.stream.is_none(),
                "raw, websocket and stream are for HTTP/1.1 only"
            );
            return Ok(Kind::Http2);
        }
        if self.websocket.is_some() {
            let text = self.body.clone();
            return Ok(Kind::WebSocket(text.unwrap_or_else(|| "hello".to_owned())));
        }
        Ok(self.stream.clone().map_or(Kind::Http1, Kind::Stream))
    }

    fn request_body(&self) -> anyhow::Result<Body> {
        let bytes = match (&self.body, self.body_bytes) {
            (Some(_), Some(_)) => bail!("either `body` or `body-bytes`"),
            // The text of a WebSocket is sent after the handshake, in a frame.
            (Some(_), None) if self.websocket.is_some() => return Ok(Body::None),
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(length)) => vec![b'x'; length],
            (None, None) => return Ok(Body::None),
        };
        Ok(match self.chunked {
            true => Body::Chunked(bytes.chunks(16 << 10).map(<[u8]>::to_vec).collect()),
            false => Body::Sized(bytes),
        })
    }

    fn offered(&self, url: &Url<'_>, kind: &Kind, folder: &Path) -> anyhow::Result<Tls> {
        let host = url.host();
        let mut tls = Tls::to(host);
        tls.sni = match &self.sni {
            Some(sni) => sni.clone(),
            None => host.parse::<IpAddr>().is_err().then(|| host.to_owned()),
        };
        if matches!(kind, Kind::Http2) {
            tls = tls.http2();
        }
        tls.version = match self.tls.as_deref() {
            None => None,
            Some("TLSv1.1") => Some(Version::V1_1),
            Some("TLSv1.2") => Some(Version::V1_2),
            Some("TLSv1.3") => Some(Version::V1_3),
            Some(other) => bail!("tls: `{other}` is none of TLSv1.1, TLSv1.2 and TLSv1.3"),
        };
        tls.accepts = match self.accepts.as_deref() {
            None => None,
            Some("ecdsa") => Some(KeyKind::Ecdsa),
            Some("rsa") => Some(KeyKind::Rsa),
            Some(other) => bail!("accepts: `{other}` is neither ecdsa nor rsa"),
        };
        if let Some(files) = &self.client_certificate {
            let chain = read(folder, &files.certificate)?;
            let own = ClientCertificate::from_pem(&chain, &read(folder, &files.key)?)?;
            tls.certificate = Some(Arc::new(own));
        }
        Ok(tls)
    }

    /// Headers that the request has by itself are replaced in place, or taken away by null.
    fn with_headers(&self, mut request: Request) -> Request {
        for (name, values) in &self.headers.0 {
            let same = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
            let at = request.headers.iter().position(same);
            request.headers.retain(|header| !same(header));
            let at = at.unwrap_or(request.headers.len());
            let values = values.iter().flatten();
            let values: Vec<_> = values.map(|value| (name.clone(), value.clone())).collect();
            request.headers.splice(at..at, values);
        }
        if let Some(length) = self.header_bytes {
            request = request.header("x-filler", &"x".repeat(length));
        }
        request
    }
}

fn url(text: &str) -> anyhow::Result<Url<'_>> {
    let (scheme, rest) = text
        .split_once("://")
        .with_context(|| format!("`{text}` is no URL"))?;
    let https = match scheme {
        "http" => false,
        "https" => true,
        other => bail!("`{other}` is neither http nor https"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let target = if target.is_empty() { "/" } else { target };
    Ok(Url {
        https,
        authority,
        target,
    })
}

impl Url<'_> {
    fn host(&self) -> &str {
        let without_port =
            |(host, port): (_, &str)| port.bytes().all(|b| b.is_ascii_digit()).then_some(host);
        let host = self.authority.rsplit_once(':').and_then(without_port);
        let host: &str = host.unwrap_or(self.authority);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}
