//! A small authoritative DNS server: nginx asks it for the endpoints of its upstreams. It answers on
//! several loopback addresses, because nginx sends all questions of a tick in one burst and a
//! socket's buffer holds about 250 of them. Answers have TTL 0, so nginx asks again every second. What
//! is too long for a datagram is asked for by TCP; about 4,000 IPv4 addresses of a name have room there,
//! and more are not answered.
//!
//! It must never know bundles or proxies: a zone is names and addresses. Packets may come from
//! anyone on this machine; whatever they hold, an answer or silence follows.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Addresses by name: lower case, without a dot at the end.
pub type Zone = BTreeMap<String, Vec<IpAddr>>;

/// Without EDNS, which nginx does not speak, a datagram holds no more.
const SMALL: usize = 512;

/// With EDNS: what no path of this machine would cut.
const LARGE: usize = 4096;

/// TCP connections that are served at a time, per address, and how long one may be silent.
const CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("cannot answer DNS on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// The served zone; its one owner replaces it whole.
pub struct Zones {
    zone: watch::Sender<Arc<Numbered>>,
    asked: broadcast::Sender<Asked>,
}

/// A zone and its number; each published one has a higher number.
struct Numbered {
    number: u64,
    zone: Zone,
}

/// A name has been asked for and was answered from this zone.
#[derive(Clone)]
struct Asked {
    number: u64,
    name: String,
}

/// Waits for questions about a zone.
pub struct Questions {
    number: u64,
    asked: broadcast::Receiver<Asked>,
}

/// The running server; it ends when dropped.
pub struct Server {
    addresses: Vec<SocketAddr>,
    zone: watch::Receiver<Arc<Numbered>>,
    asked: broadcast::Sender<Asked>,
    tasks: JoinSet<()>,
}

/// A zone without names, and the server of it.
pub fn server() -> (Zones, Server) {
    let empty = Numbered {
        number: 0,
        zone: Zone::new(),
    };
    let (sender, zone) = watch::channel(Arc::new(empty));
    let (asked, _) = broadcast::channel(8192);
    let server = Server {
        addresses: Vec::new(),
        zone,
        asked: asked.clone(),
        tasks: JoinSet::new(),
    };
    let zones = Zones {
        zone: sender,
        asked,
    };
    (zones, server)
}

impl Zones {
    pub fn current(&self) -> Zone {
        self.zone.borrow().zone.clone()
    }

    /// Replaces the zone. The result can wait until names of it have been asked for.
    pub fn publish(&self, zone: Zone) -> Questions {
        let asked = self.asked.subscribe();
        let number = self.zone.borrow().number + 1;
        self.zone.send_replace(Arc::new(Numbered { number, zone }));
        Questions { number, asked }
    }
}

impl Questions {
    /// Ends when each of these names has been answered from this zone or a later one.
    pub async fn all(mut self, mut names: BTreeSet<String>) {
        while !names.is_empty() {
            match self.asked.recv().await {
                Ok(asked) if asked.number >= self.number => {
                    names.remove(&asked.name);
                }
                // Those that were missed are asked for again a second later.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

impl Server {
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers on one more address, by UDP and TCP. Port 0 is a free one.
    pub async fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, DnsError> {
        const TRIES: usize = 16;
        let mut tries = TRIES;
        let bound = loop {
            tries -= 1;
            match bind(address).await {
                // A port that is free for UDP may be taken for TCP: another one is tried.
                Err(e)
                    if e.kind() == io::ErrorKind::AddrInUse && address.port() == 0 && tries > 0 => {
                }
                other => break other,
            }
        };
        let (udp, tcp) = bound.map_err(|source| DnsError::Bind { address, source })?;
        let local = udp.local_addr();
        let local = local.map_err(|source| DnsError::Bind { address, source })?;
        self.addresses.push(local);
        let (zone, asked) = (self.zone.clone(), self.asked.clone());
        self.tasks
            .spawn(serve_udp(udp, zone.clone(), asked.clone()));
        self.tasks.spawn(serve_tcp(tcp, zone, asked));
        Ok(local)
    }
}

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(address).await?;
    let tcp = TcpListener::bind(udp.local_addr()?).await?;
    Ok((udp, tcp))
}

async fn serve_udp(
    socket: UdpSocket,
    zone: watch::Receiver<Arc<Numbered>>,
    asked: broadcast::Sender<Asked>,
) {
    let mut packet = vec![0; LARGE];
    loop {
        // Errors are about earlier answers that nobody took.
        let Ok((length, peer)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        let zone = zone.borrow().clone();
        if let Some(answer) = answer(&packet[..length], &zone, Transport::Udp, &asked) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

async fn serve_tcp(
    listener: TcpListener,
    zone: watch::Receiver<Arc<Numbered>>,
    asked: broadcast::Sender<Asked>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let (zone, asked) = (zone.clone(), asked.clone());
            connections.spawn(async move {
                let _ = serve_connection(stream, zone, asked).await;
                drop(place);
            });
        }
    }
}

/// Each message is preceded by its length (RFC 1035, section 4.2.2).
async fn serve_connection(
    mut stream: TcpStream,
    zone: watch::Receiver<Arc<Numbered>>,
    asked: broadcast::Sender<Asked>,
) -> io::Result<()> {
    loop {
        let length = timeout(PATIENCE, stream.read_u16()).await??;
        let mut packet = vec![0; usize::from(length)];
        timeout(PATIENCE, stream.read_exact(&mut packet)).await??;
        let zone = zone.borrow().clone();
        let Some(answer) = answer(&packet, &zone, Transport::Tcp, &asked) else {
            return Ok(());
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            return Ok(());
        };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(answer);
        timeout(PATIENCE, stream.write_all(&framed)).await??;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// The answer to a packet, or None for what is no question.
fn answer(
    packet: &[u8],
    zone: &Numbered,
    transport: Transport,
    asked: &broadcast::Sender<Asked>,
) -> Option<Vec<u8>> {
    let Ok(request) = Message::from_vec(packet) else {
        return malformed(packet);
    };
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.add_queries(request.queries.iter().cloned());
    let found = fill(&mut response, &request, &zone.zone);
    let room = match (transport, &request.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload()).clamp(SMALL, LARGE),
        (Transport::Udp, None) => SMALL,
    };
    let mut bytes = response.to_vec().ok()?;
    if let Some((name, addresses)) = found {
        append(&mut bytes, &addresses);
        if bytes.len() > room {
            return response.truncate().to_vec().ok();
        }
        // Nobody listens most of the time.
        let number = zone.number;
        let _ = asked.send(Asked { number, name });
    }
    Some(bytes)
}

/// Adds a record for each address to a response that holds a question and nothing else. Written by
/// hand, because the library names all but the first hundred in full, and then hardly a thousand have
/// room.
fn append(bytes: &mut Vec<u8>, addresses: &[IpAddr]) {
    /// The name that stands in the question, after a header of twelve octets.
    const SAME_NAME: [u8; 2] = [0xc0, 12];
    const TTL: [u8; 4] = [0; 4];
    let mut count: u16 = 0;
    for address in addresses {
        let (kind, octets) = match address {
            IpAddr::V4(v4) => (RecordType::A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (RecordType::AAAA, v6.octets().to_vec()),
        };
        let length = if octets.len() == 4 { [0, 4] } else { [0, 16] };
        let size = SAME_NAME.len() + 8 + length.len() + octets.len();
        if bytes.len() + size > usize::from(u16::MAX) {
            break;
        }
        bytes.extend(SAME_NAME);
        bytes.extend(u16::from(kind).to_be_bytes());
        bytes.extend(u16::from(DNSClass::IN).to_be_bytes());
        bytes.extend(TTL);
        bytes.extend(length);
        bytes.extend(octets);
        count += 1;
    }
    if let Some(answers) = bytes.get_mut(6..8) {
        answers.copy_from_slice(&count.to_be_bytes());
    }
}

/// The name and the addresses that are asked for, if the name is ours; else the reason why there are
/// none is put into the response.
fn fill(response: &mut Message, request: &Message, zone: &Zone) -> Option<(String, Vec<IpAddr>)> {
    let [query] = request.queries.as_slice() else {
        response.metadata.response_code = ResponseCode::FormErr;
        return None;
    };
    if request.metadata.op_code != OpCode::Query {
        response.metadata.response_code = ResponseCode::NotImp;
        return None;
    }
    if query.query_class() != DNSClass::IN {
        response.metadata.response_code = ResponseCode::Refused;
        return None;
    }
    response.metadata.authoritative = true;
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.').to_owned();
    let Some(addresses) = zone.get(&name) else {
        response.metadata.response_code = ResponseCode::NXDomain;
        return None;
    };
    let fits = |address: &&IpAddr| match query.query_type() {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    };
    let addresses = addresses.iter().filter(fits).copied().collect();
    Some((name, addresses))
}

/// A packet with a header that asks, and a body that cannot be read, is told so.
fn malformed(packet: &[u8]) -> Option<Vec<u8>> {
    let (header, _) = packet.split_at_checked(12)?;
    let is_question = header[2] & 0x80 == 0;
    let id = u16::from_be_bytes([header[0], header[1]]);
    let error = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
    is_question.then(|| error.to_vec().ok()).flatten()
}

#[cfg(test)]
mod tests;
