//! Each client against the backend: what is sent is what is seen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::backend;
use crate::support::client::http2::Unary;
use crate::support::client::tls::{ClientCertificate, Tls, Version};
use crate::support::client::{
    Body, Handshaken, Http1, Http2, Request, Target, WebSocket, exchange, exchange_http2,
};
use crate::support::echo::{Echo, Identity, Report};

fn report(response: &crate::support::client::Response) -> anyhow::Result<Report> {
    let report = response.report();
    report.with_context(|| format!("no report in {} {}", response.status, response.text()))
}

#[tokio::test]
async fn the_backend_sees_the_request_line_byte_for_byte() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut connection = Http1::connect(&Target::plain(ports.plain)).await?;
    let targets = [
        "/a/%2e%2E/b?x=%41",
        "//a/../b/.//c",
        "/a#fragment",
        "/<b>`{}|^\"\\;$&'()[]@!,+é?q=<>",
        "http://other.example.com/absolute?y",
        "/",
    ];
    for target in targets {
        let response = connection
            .send(&Request::get("h.example.com", target))
            .await?;
        let report = report(&response)?;
        assert_eq!(report.path, target);
        assert_eq!(report.connection, 1, "one connection carries them all");
    }
    let options = Request {
        line: Some("OPTIONS * HTTP/1.1".to_owned()),
        ..Request::get("h.example.com", "")
    };
    assert_eq!(report(&connection.send(&options).await?)?.path, "*");
    Ok(())
}

#[tokio::test]
async fn repeated_headers_and_any_host_arrive() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let request = Request::get("UPPER.example.com:8080", "/")
        .header("X-Twice", "one")
        .header("x-twice", "two");
    let response = exchange(&Target::plain(ports.plain), &request).await?;
    let report = report(&response)?;
    assert_eq!(report.host.as_deref(), Some("UPPER.example.com:8080"));
    assert_eq!(report.headers["x-twice"], ["one", "two"]);
    assert_eq!(report.protocol, "HTTP/1.1");
    assert_eq!(report.address, ports.plain);
    assert!(!report.tls);
    Ok(())
}

#[tokio::test]
async fn bodies_arrive_whole_in_both_framings() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut connection = Http1::connect(&Target::plain(ports.plain)).await?;
    let sized = Request::post("h", "/", vec![b'x'; 2_000_000]);
    let chunks = vec![vec![b'x'; 10_000]; 3];
    let chunked = Request {
        body: Body::Chunked(chunks),
        ..Request::post("h", "/", "")
    };
    assert_eq!(
        report(&connection.send(&sized).await?)?.body_bytes,
        2_000_000
    );
    let seen = report(&connection.send(&chunked).await?)?;
    assert_eq!(seen.body_bytes, 30_000);
    assert_eq!(seen.headers["transfer-encoding"], ["chunked"]);
    Ok(())
}

#[tokio::test]
async fn a_request_steers_its_answer() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let target = Target::plain(ports.plain);
    let ask = async |path: &str| exchange(&target, &Request::get("h", path)).await;

    assert_eq!(ask("/?status=503").await?.status, 503);
    let moved = ask("/?location=https%3A%2F%2Fx.example.com%2F").await?;
    assert_eq!(moved.status, 302);
    assert_eq!(moved.header("location"), Some("https://x.example.com/"));
    let cookies = ask("/?header=set-cookie:a=1&header=set-cookie:b=2").await?;
    assert_eq!(
        cookies.values("Set-Cookie").collect::<Vec<_>>(),
        ["a=1", "b=2"]
    );
    let filler = ask("/?header-bytes=6000").await?;
    assert_eq!(filler.header("x-filler").map(str::len), Some(6000));
    let large = ask("/?body-bytes=100000").await?;
    assert_eq!(large.body.len(), 100_000);
    assert_eq!(report(&large)?.path, "/?body-bytes=100000");
    assert!(ask("/?sleep=50ms").await?.took >= Duration::from_millis(50));
    assert_eq!(ask("/?sleep=long").await?.status, 400);
    let header = Request::get("h", "/").header("x-echo", "status=418&body-bytes=3");
    let teapot = exchange(&target, &header).await?;
    assert_eq!((teapot.status, teapot.text().as_str()), (418, "xxx"));
    Ok(())
}

#[tokio::test]
async fn chunks_come_one_after_the_other() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let request = Request::get("h", "/?chunks=3&gap=200ms");
    for response in [
        exchange(&Target::plain(ports.plain), &request).await?,
        exchange_http2(&Target::plain(ports.plain), &request).await?,
    ] {
        assert_eq!(response.text(), "chunk 1\nchunk 2\nchunk 3\n");
        assert!(response.took >= response.body_started + Duration::from_millis(90));
    }
    Ok(())
}

#[tokio::test]
async fn answers_without_a_body_still_carry_the_report() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut connection = Http1::connect(&Target::plain(ports.plain)).await?;
    for request in [
        Request::new("HEAD", "h", "/"),
        Request::get("h", "/?status=204"),
        Request::get("h", "/?status=304"),
    ] {
        let response = connection.send(&request).await?;
        assert!(response.body.is_empty());
        assert_eq!(report(&response)?.method, request.method);
    }
    Ok(())
}

#[tokio::test]
async fn pieces_of_a_stream_come_back_before_the_next_is_sent() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut connection = Http1::connect(&Target::plain(ports.plain)).await?;
    let pieces = ["one,", "two,", "three"].map(str::to_owned);
    let request = Request::new("POST", "h", "/stream");
    for _ in 0..2 {
        let patience = Duration::from_secs(5);
        let streamed = connection.stream(&request, &pieces, patience).await?;
        assert!(streamed.at_once);
        assert_eq!(streamed.response.text(), "one,two,three");
        assert_eq!(report(&streamed.response)?.path, "/stream");
    }
    Ok(())
}

#[tokio::test]
async fn http2_works_by_prior_knowledge_and_by_alpn() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let request = Request::post("h.example.com", "/a//b?c", "hello").header("x-a", "1");
    let tls = Target::tls(ports.tls, Tls::to("h.example.com").http2());
    for target in [Target::plain(ports.plain), tls] {
        let mut connection = Http2::connect(&target).await?;
        for _ in 0..2 {
            let report = report(&connection.send(&request).await?)?;
            assert_eq!(report.protocol, "HTTP/2");
            assert_eq!(report.path, "/a//b?c");
            assert_eq!(report.host.as_deref(), Some("h.example.com"));
            assert_eq!(report.headers["x-a"], ["1"]);
            assert_eq!(report.body_bytes, 5);
            assert_eq!(report.tls, target.tls.is_some());
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_handshake_is_kept_for_the_test_to_judge() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut tls = Tls::to("some.example.com");
    tls.version = Some(Version::V1_2);
    let response = exchange(
        &Target::tls(ports.tls, tls.clone()),
        &Request::get("h", "/"),
    )
    .await?;
    let handshake = response.tls.as_ref().context("no handshake")?;
    assert_eq!(handshake.version, "TLSv1.2");
    assert_eq!(handshake.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(handshake.chain.len(), 1);
    assert_eq!(report(&response)?.sni.as_deref(), Some("some.example.com"));

    tls.sni = None;
    tls.version = None;
    let response = exchange(&Target::tls(ports.tls, tls), &Request::get("h", "/")).await?;
    assert_eq!(response.tls.context("no handshake")?.version, "TLSv1.3");
    Ok(())
}

#[tokio::test]
async fn a_backend_may_demand_a_client_certificate() -> anyhow::Result<()> {
    let mut parameters = rcgen::CertificateParams::new(vec!["client.example.com".to_owned()])?;
    let name = &mut parameters.distinguished_name;
    name.push(rcgen::DnType::CommonName, "the client");
    let key = rcgen::KeyPair::generate()?;
    let own = parameters.self_signed(&key)?.pem();
    let identity = Identity::from_pem(&own, &key.serialize_pem(), &own)?;
    let listen = "127.0.0.1:0=https".parse().map_err(anyhow::Error::msg)?;
    let backend = Echo::start("test", &[listen], &identity)?;

    let mut tls = Tls::to("h.example.com");
    let mut target = Target::tls(backend.listens()[0].address, tls.clone());
    let refused = exchange(&target, &Request::get("h", "/")).await;
    assert!(refused.is_err(), "no certificate, no answer");

    tls.certificate = Some(ClientCertificate::from_pem(&own, &key.serialize_pem())?.into());
    target.tls = Some(tls);
    let report = report(&exchange(&target, &Request::get("h", "/")).await?)?;
    assert_eq!(report.client_certificate.as_deref(), Some("CN=the client"));
    Ok(())
}

#[tokio::test]
async fn grpc_brings_the_message_and_its_status_back() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let mut connection = Http2::connect(&Target::plain(ports.plain)).await?;
    let call = connection.grpc("h", "/pkg.Svc/Method", b"message").await?;
    assert_eq!(call.status, "0");
    assert_eq!(call.message.as_deref(), Some(b"message".as_slice()));
    assert_eq!(report(&call.response)?.path, "/pkg.Svc/Method");

    let failing = crate::support::client::http2::grpc_request("h", "/pkg.Svc/Method", b"m")
        .header("x-echo", "grpc-status=5");
    let call = Unary::of(connection.send(&failing).await?)?;
    assert_eq!(call.status, "5");
    Ok(())
}

#[tokio::test]
async fn a_websocket_echoes_and_stays_open() -> anyhow::Result<()> {
    let (_backend, ports) = backend()?;
    let tls = Target::tls(ports.tls, Tls::to("h.example.com"));
    for target in [Target::plain(ports.plain), tls] {
        let request = Request::get("h.example.com", "/chat").header("Origin", "http://x");
        let Handshaken::Open(mut socket) = WebSocket::connect(&target, &request).await? else {
            anyhow::bail!("the upgrade was refused");
        };
        assert_eq!(socket.echo("one").await?, "one");
        assert_eq!(socket.echo("two").await?, "two");
        assert_eq!(report(&socket.response)?.path, "/chat");
    }
    Ok(())
}

#[tokio::test]
async fn the_client_may_connect_from_any_local_address() -> anyhow::Result<()> {
    let (from, answering) = one_answer(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    let mut target = Target::plain(from);
    target.source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    exchange(&target, &Request::get("h", "/")).await?;
    let (peer, _) = answering.await??;
    assert_eq!(peer.ip().to_string(), "127.0.0.9");
    Ok(())
}

#[tokio::test]
async fn a_proxy_header_comes_before_everything() -> anyhow::Result<()> {
    let expected = |port: u16| {
        let v1 = format!("PROXY TCP4 1.2.3.4 127.0.0.1 5 {port}\r\nGET / HTTP/1.1\r\n");
        let mut v2 =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x7f\0\0\x01\0\x05".to_vec();
        v2.extend(port.to_be_bytes());
        v2.extend(b"GET / HTTP/1.1\r\n");
        [("1.2.3.4:5", v1.into_bytes()), ("v2 1.2.3.4:5", v2)]
    };
    for version in 0..2 {
        let (address, answering) = one_answer(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        let (text, bytes) = expected(address.port())[version].clone();
        let mut target = Target::plain(address);
        target.proxy_header = Some(text.parse().map_err(anyhow::Error::msg)?);
        exchange(&target, &Request::get("h", "/")).await?;
        let (_, received) = answering.await??;
        assert!(received.starts_with(&bytes), "{}", received.escape_ascii());
    }
    Ok(())
}

#[tokio::test]
async fn interim_answers_are_passed_over_and_trailers_kept() -> anyhow::Result<()> {
    let answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\
        Transfer-Encoding: chunked\r\n\r\n3;ext\r\nabc\r\n0\r\nX-Last: y\r\n\r\n";
    let (address, _answering) = one_answer(answer).await?;
    let response = exchange(&Target::plain(address), &Request::get("h", "/")).await?;
    assert_eq!((response.status, response.text().as_str()), (200, "abc"));
    assert_eq!(response.header("link"), None);
    assert_eq!(response.trailer("x-last"), Some("y"));
    Ok(())
}

#[tokio::test]
async fn an_early_answer_to_a_large_body_is_seen() -> anyhow::Result<()> {
    let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let (address, _answering) = one_answer(answer).await?;
    let request = Request::post("h", "/", vec![b'x'; 30_000_000]);
    let response = exchange(&Target::plain(address), &request).await?;
    assert_eq!(response.status, 413);
    Ok(())
}

#[tokio::test]
async fn errors_say_what_was_going_on() -> anyhow::Result<()> {
    let (backend, ports) = backend()?;
    let request = Request::get("h", "/x?sleep=10s");
    let error = async |target: &Target| match exchange(target, &request).await {
        Ok(response) => format!("an answer: {}", response.status),
        Err(error) => format!("{error:#}"),
    };
    let closed = error(&Target::plain(ports.closing)).await;
    assert!(
        closed.contains("waiting for the answer to `GET /x?sleep=10s`"),
        "{closed}"
    );

    let mut late = Target::plain(ports.plain);
    late.timeout = Duration::from_millis(100);
    let late = error(&late).await;
    assert_eq!(
        late,
        "time was up while waiting for the answer to `GET /x?sleep=10s`"
    );

    let tls = error(&Target::tls(ports.plain, Tls::to("a.example.com"))).await;
    assert!(tls.starts_with("TLS handshake with"), "{tls}");
    assert!(tls.contains("(SNI a.example.com)"), "{tls}");

    drop(backend);
    // Its socket may outlive it for a moment, and takes a connection that nobody answers.
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let error = error(&Target::plain(ports.plain)).await;
        if error.starts_with("connecting to") || Instant::now() > deadline {
            break error;
        }
    };
    assert!(refused.starts_with("connecting to 127.0.0.1:"), "{refused}");
    assert!(refused.contains("refused"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_backend_may_hang_up_without_an_answer() -> anyhow::Result<()> {
    let (backend, ports) = backend()?;
    let request = Request::get("h", "/?abort=1");
    let failed = exchange(&Target::plain(ports.plain), &request).await;
    assert!(failed.is_err());
    let answered = exchange(&Target::plain(ports.plain), &Request::get("h", "/b")).await?;
    assert_eq!(backend.seen(), [report(&answered)?]);
    Ok(())
}

/// Takes one connection, answers as soon as a request head has come, and returns what was read.
async fn one_answer(
    answer: &'static [u8],
) -> anyhow::Result<(
    SocketAddr,
    JoinHandle<anyhow::Result<(SocketAddr, Vec<u8>)>>,
)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answering = tokio::spawn(async move {
        let (mut stream, peer) = listener.accept().await?;
        let mut read = Vec::new();
        // A PROXY header has empty lines of its own, so the end of the head is no sign.
        while !read.windows(9).any(|part| part == b"Host: h\r\n") {
            stream.read_buf(&mut read).await?;
        }
        stream.write_all(answer).await?;
        // The client ends the connection when it has seen enough.
        while stream.read_buf(&mut Vec::new()).await.is_ok_and(|n| n > 0) {}
        Ok((peer, read))
    });
    Ok((address, answering))
}
