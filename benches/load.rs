//! A backend and a client of few instructions, so that the proxy is what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nhello world\n";

/// The host of a number.
pub fn host(number: usize) -> String {
    format!("shop-{number}.example.com")
}

/// Answers every request on every loopback address alike; returns one of the addresses.
pub fn backend() -> SocketAddr {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn serve(mut connection: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    let mut held = 0;
    while let Ok(read @ 1..) = connection.read(&mut buffer[held..]) {
        held += read;
        // Requests have no body; a head ends with an empty line.
        if buffer[..held].ends_with(b"\r\n\r\n") {
            held = 0;
            if connection.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// Whether a request for the first host is answered with 200.
pub fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(1)))?;
        connection.write_all(&request("/app/item", 0))?;
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer)?;
        Ok(buffer[..read].starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn request(path: &str, number: usize) -> Vec<u8> {
    let host = host(number);
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n")
        .into()
}

/// Asks over kept-alive connections, one host after the other; returns how many were answered.
pub fn run(address: SocketAddr, path: &str, hosts: usize, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|worker| {
            let requests: Vec<Vec<u8>> = (0..hosts).map(|number| request(path, number)).collect();
            thread::spawn(move || ask(address, &requests, worker, end))
        })
        .collect();
    workers
        .into_iter()
        .map(|worker| worker.join().expect("a worker ends"))
        .sum()
}

fn ask(address: SocketAddr, requests: &[Vec<u8>], worker: usize, end: Instant) -> u64 {
    let connect = || {
        let connection = TcpStream::connect(address).expect("the proxy listens");
        connection.set_nodelay(true).expect("a socket");
        connection
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a socket");
        connection
    };
    let mut connection = connect();
    let mut buffer = [0; 4096];
    let mut answered = 0;
    let mut number = worker * requests.len() / CONNECTIONS;
    while Instant::now() < end {
        number = (number + 1) % requests.len();
        let mut held = 0;
        let mut sent = connection.write_all(&requests[number]).is_ok();
        // Answers are small and end with the backend's body.
        while !buffer[..held].ends_with(b"hello world\n") {
            match connection.read(&mut buffer[held..]) {
                Ok(read @ 1..) if sent => held += read,
                // The proxy may close after so many requests of a connection.
                _ if held == 0 => {
                    connection = connect();
                    sent = connection.write_all(&requests[number]).is_ok();
                }
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&buffer[..held])),
            }
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..held])
        );
        answered += 1;
    }
    answered
}
