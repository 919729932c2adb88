//! Expectations that say where a request goes and nothing of how it was sent, for whoever predicts
//! answers without a proxy.

use std::net::{IpAddr, Ipv4Addr};

use super::{Entry, Expectations};

/// A GET that both proxies answer alike.
pub struct Plain<'a> {
    pub url: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
    pub client: IpAddr,
    pub status: Option<u16>,
    /// The endpoint that answers; `Some(None)` where the proxy does by itself.
    pub backend: Option<Option<&'a str>>,
    entry: &'a Entry,
}

impl Plain<'_> {
    /// Whether the endpoint gets the path that it should.
    pub fn has_path(&self, seen: &str) -> bool {
        let path = self.entry.expect.as_ref().and_then(|e| e.path.as_ref());
        path.is_none_or(|path| path.is(seen))
    }

    /// Whether the client is sent where it should.
    pub fn has_location(&self, seen: &str) -> bool {
        let wanted = self.entry.expect.iter().flat_map(|e| &e.headers.0);
        wanted
            .filter(|(name, _)| name.eq_ignore_ascii_case("location"))
            .all(|(_, values)| values.iter().flatten().all(|value| value.is(seen)))
    }
}

impl Expectations {
    pub fn plain(&self) -> impl Iterator<Item = Plain<'_>> {
        self.requests.iter().filter_map(Entry::plain)
    }
}

impl Entry {
    fn plain(&self) -> Option<Plain<'_>> {
        let special = self.proxy_protocol.is_some() || self.cookies || self.only.is_some();
        let sent = self.body.is_some() || self.body_bytes.is_some() || self.stream.is_some();
        let expect = self.expect.as_ref()?;
        let nameless = self.headers.0.iter().any(|(_, values)| values.is_none());
        if special || sent || nameless || self.share.is_some() || expect.fails.is_some() {
            return None;
        }
        let headers = self.headers.0.iter().flat_map(|(name, values)| {
            let values = values.iter().flatten();
            values.map(move |value| (name.as_str(), value.as_str()))
        });
        Some(Plain {
            url: self.get.as_deref()?,
            headers: headers.collect(),
            client: self.client.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            status: expect.status,
            backend: expect.backend.as_ref().map(Option::as_deref),
            entry: self,
        })
    }
}
