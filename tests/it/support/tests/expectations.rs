//! The checker of expectations against the backend: what is right passes, and whatever is wrong is
//! told in words that let one mend the case.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::backend;
use crate::support::expect::{
    Expectations, Failure, Proxy, SHARED_BACKENDS, run_expectations, start_backends,
};

const README: &str = include_str!("../../../cases/README.md");

/// Runs expectations against a backend in the place of a proxy. `<plain>` and `<tls>` stand for its
/// addresses.
async fn run(text: &str, proxy: Proxy, folder: &Path) -> anyhow::Result<Vec<Failure>> {
    let (_backend, ports) = backend()?;
    let text = text
        .replace("<plain>", &ports.plain.to_string())
        .replace("<tls>", &ports.tls.to_string());
    let expectations = Expectations::parse(&text, folder)?;
    Ok(run_expectations(&expectations, proxy, ports.plain, ports.tls).await)
}

async fn failures(text: &str) -> anyhow::Result<String> {
    let failures = run(text, Proxy::Nginx, Path::new(".")).await?;
    Ok(failures.iter().map(Failure::to_string).collect())
}

/// The complaint of a file that cannot be a case.
fn refusal(text: &str) -> String {
    match Expectations::parse(text, Path::new("tests")) {
        Ok(_) => "taken".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn everything_that_is_right_passes() -> anyhow::Result<()> {
    let told = failures(include_str!("right.yaml")).await?;
    assert_eq!(told, "");
    Ok(())
}

#[tokio::test]
async fn everything_that_is_wrong_is_told() -> anyhow::Result<()> {
    let wrong = [
        ("status: 404", "status: expected 404, saw 200"),
        (
            "backend: 127.1.0.9:1",
            "backend: expected 127.1.0.9:1, saw 127.0.0.1:",
        ),
        ("backend: null", "backend: expected none, saw 127.0.0.1:"),
        ("method: POST", "method: expected POST, saw GET"),
        ("path: /x", "path: expected `/x`, saw `/a?header=x-a:1`"),
        ("path: ~^/b", "path: expected `~^/b`, saw `/a?header=x-a:1`"),
        (
            "protocol: HTTP/2",
            "protocol: expected HTTP/2, saw HTTP/1.1",
        ),
        ("sees: {x-sent: 2}", "sees x-sent: expected `2`, saw `1`"),
        (
            "sees: {x-sent: null}",
            "sees x-sent: expected none, saw `1`",
        ),
        (
            "sees: {x-none: [a, b]}",
            "sees x-none: expected `a`, `b`, saw none",
        ),
        (
            "sees: {host: other}",
            "sees host: expected `other`, saw `h.example.com`",
        ),
        ("body-received: 1", "body-received: expected 1, saw 0"),
        ("backend-tls: true", "backend-tls: expected true, saw false"),
        ("backend-sni: x", "backend-sni: expected `x`, saw none"),
        (
            "backend-client-certificate: CN=x",
            "backend-client-certificate: expected `CN=x`, saw none",
        ),
        ("headers: {x-a: 2}", "header x-a: expected `2`, saw `1`"),
        ("headers: {x-a: null}", "header x-a: expected none, saw `1`"),
        (
            "headers: {location: ~x}",
            "header location: expected `~x`, saw none",
        ),
        ("body: absent text", "body: expected `absent text` in it"),
        ("body-bytes: 1", "body-bytes: expected 1, saw "),
        (
            "grpc-status: 0",
            "grpc-status: expected 0, saw the answer has no grpc-status",
        ),
        ("streamed: true", "streamed: expected true, saw false"),
        ("takes: 60s..", "takes: expected 60s.., saw "),
        ("body-starts: ..0ms", "body-starts: expected ..0ns, saw "),
        ("tls: TLSv1.3", "tls: expected TLSv1.3, saw none"),
        (
            "certificate: {san: x}",
            "certificate: expected one, saw no TLS",
        ),
        ("fails: reset", "fails: expected `reset`, saw an answer"),
    ];
    for (expectation, complaint) in wrong {
        let told = failures(&format!(
            "requests: [{{get: 'http://h.example.com/a?header=x-a:1', headers: {{X-Sent: 1}},
               expect: {{{expectation}}}}}]"
        ))
        .await?;
        assert!(told.contains(complaint), "{expectation} told only:\n{told}");
        assert!(
            told.contains("request 1 to nginx: GET http://h.example.com/a?"),
            "{told}"
        );
        assert!(
            told.contains("| HTTP/1.1 200"),
            "the answer is shown:\n{told}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_certificate_is_told() -> anyhow::Result<()> {
    let wrong = [
        (
            "san: x.example.com",
            "certificate san: expected `x.example.com`, saw backend.test, localhost",
        ),
        (
            "subject: CN=x",
            "certificate subject: expected `CN=x`, saw `CN=rcgen self signed cert`",
        ),
        ("key: rsa", "certificate key: expected rsa, saw ecdsa"),
        (
            "chain: [CN=x]",
            "certificate chain: expected CN=x, saw CN=rcgen self signed cert",
        ),
        (
            "default: false",
            "certificate default: expected false, saw true",
        ),
    ];
    for (expectation, complaint) in wrong {
        let told = failures(&format!(
            "requests: [{{get: https://h/, expect: {{certificate: {{{expectation}}}}}}}]"
        ))
        .await?;
        assert!(told.contains(complaint), "{expectation} told only:\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_of_the_proxy_itself_is_not_taken_for_a_backend() -> anyhow::Result<()> {
    let own = "http://h/?status=200&header=content-type:text/html";
    let text = format!("requests: [{{get: '{own}&sleep=nonsense', expect: {{path: /}}}}]");
    let told = failures(&text).await?;
    assert!(
        told.contains("backend: expected one that answers, saw none: the proxy answered by itself"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn shares_are_counted_and_strangers_named() -> anyhow::Result<()> {
    let request = "{get: http://h/, repeat: 10, parallel: 3, share: {SHARE}}";
    let with = |share: &str| format!("requests: [{}]", request.replace("SHARE", share));
    assert_eq!(failures(&with("<plain>: 100%, status 200: 10")).await?, "");
    let told = failures(&with("<plain>: ..50%")).await;
    assert!(told.is_err(), "a share needs both ends");
    let told = failures(&with("<plain>: 0..50%")).await?;
    assert!(told.contains("expected 0..50%, saw 10 of 10"), "{told}");
    let told = failures(&with("127.1.0.9:1: 0")).await?;
    assert!(told.contains(": expected none, saw 10"), "{told}");
    Ok(())
}

#[tokio::test]
async fn of_many_wrong_answers_the_first_is_shown() -> anyhow::Result<()> {
    let told = failures("requests: [{get: http://h/, repeat: 3, expect: {status: 1}}]").await?;
    assert!(
        told.contains("3 of 3 answers were wrong; the first of them:"),
        "{told}"
    );
    assert_eq!(told.matches("| HTTP/1.1").count(), 1, "{told}");
    Ok(())
}

#[tokio::test]
async fn repetitions_are_compared_with_each_other() -> anyhow::Result<()> {
    let case = |more: &str| {
        format!("requests: [{{get: https://h/, expect: {{}}}}, {{get: http://h/, {more}}}]")
    };
    let together = "repeat: 3, keep-alive: true, expect: {same-backend: true}";
    assert_eq!(failures(&case(together)).await?, "");
    let told = failures(&case("repeat: 3, expect: {same-connection: true}")).await?;
    assert!(told.contains("2 of 3 answers were wrong"), "{told}");
    let told = failures(&case("expect: {same-backend: true}")).await?;
    assert!(
        told.contains("same-backend: expected true, saw false"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn no_answer_is_told_unless_expected() -> anyhow::Result<()> {
    let told = failures("requests: [{get: 'http://h/?abort=1', expect: {status: 200}}]").await?;
    assert!(
        told.contains("- no answer: waiting for the answer to `GET /?abort=1`"),
        "{told}"
    );
    let told = failures("requests: [{get: 'http://h/?abort=1', expect: {fails: closed}}]").await?;
    assert_eq!(told, "");
    Ok(())
}

#[tokio::test]
async fn a_request_may_be_for_one_proxy_only() -> anyhow::Result<()> {
    let text = "requests: [{get: http://h/, only: haproxy, because: of a reason,
                            expect: {status: 404}}]";
    assert!(run(text, Proxy::Nginx, Path::new(".")).await?.is_empty());
    let failures = run(text, Proxy::Haproxy, Path::new(".")).await?;
    let told = failures.first().context("it must fail")?.to_string();
    assert!(told.contains("request 1 to haproxy"), "{told}");
    assert!(told.contains("because: of a reason"), "{told}");
    Ok(())
}

#[tokio::test]
async fn what_takes_its_time_is_asked_again() -> anyhow::Result<()> {
    // The first answer sets the cookie that only the second request can show.
    let text = "requests: [{get: http://h/, eventually: 5s, expect: {sees: {cookie: a=1}},
                            cookies: true, headers: {x-echo: 'header=set-cookie:a=1; Path=/'}}]";
    assert_eq!(failures(text).await?, "");
    Ok(())
}

#[test]
fn mistakes_in_the_file_are_refused() {
    let refused = [
        ("request: []", "unknown field"),
        (
            "requests: [{get: http://h/, expect: {statsu: 200}}]",
            "statsu",
        ),
        (
            "requests: [{get: http://h/}]",
            "request 1: it expects nothing",
        ),
        ("requests: [{expect: {}}]", "request 1: it asks nothing"),
        (
            "requests: [{get: http://h/, post: http://h/, expect: {}}]",
            "it asks two things",
        ),
        ("requests: [{get: h/, expect: {}}]", "`h/` is no URL"),
        (
            "requests: [{get: ftp://h/, expect: {}}]",
            "`ftp` is neither http nor https",
        ),
        (
            "requests: [{raw: GET / HTTP/1.1, expect: {}}]",
            "`raw` needs a `to`",
        ),
        (
            "requests: [{get: http://h/, only: nginx, expect: {}}]",
            "`only` needs a `because`",
        ),
        (
            "requests: [{get: http://h/, parallel: 2, cookies: true, expect: {}}]",
            "`parallel` goes with neither",
        ),
        (
            "requests: [{get: http://h/, share: {a: 1}}]",
            "`share` needs a `repeat`",
        ),
        ("requests: [{get: http://h/, expect: {path: ~(}}]", "~("),
        (
            "requests: [{get: http://h/, headers: {X: 1.10}, expect: {}}]",
            "needs quotes",
        ),
        (
            "requests: [{get: http://h/, timeout: 5, expect: {}}]",
            "`5` is no duration",
        ),
        (
            "requests: [{get: http://h/, expect: {takes: 5s}}]",
            "`5s` is no span of time",
        ),
        (
            "requests: [{get: https://h/, tls: SSLv3, expect: {}}]",
            "none of TLSv1.1, TLSv1.2 and TLSv1.3",
        ),
        (
            "requests: [{get: http://h/, proxy-protocol: x, expect: {}}]",
            "no PROXY header",
        ),
        (
            "requests: [{get: https://h/, expect: {},
               client-certificate: {certificate: absent.pem, key: absent.key}}]",
            "reading tests/absent.pem",
        ),
        (
            "backends: [127.1.0.1]",
            "`127.1.0.1` is no address with a port",
        ),
        ("backends: ['127.1.0.1:80=ftp']", "`ftp` is no mode"),
    ];
    for (text, complaint) in refused {
        let told = refusal(text);
        assert!(told.contains(complaint), "{text} gives:\n{told}");
    }
}

#[test]
fn the_examples_of_the_reference_are_good() -> anyhow::Result<()> {
    let blocks = README.split("```yaml\n").skip(1);
    let examples: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        Expectations::parse(example, Path::new(".")).context(example)?;
    }
    let right = Expectations::parse(include_str!("right.yaml"), Path::new("."))?;
    assert_eq!(right.options, ["--path-semantics", "ingress-nginx"]);
    Ok(())
}

/// serde names every key it knows when it meets one it does not.
#[test]
fn the_reference_has_every_key() {
    let levels = [
        "unheard-of: 1",
        "backend-identity: {unheard-of: 1}",
        "requests: [{unheard-of: 1}]",
        "requests: [{client-certificate: {unheard-of: 1}}]",
        "requests: [{expect: {unheard-of: 1}}]",
        "requests: [{expect: {certificate: {unheard-of: 1}}}]",
    ];
    for level in levels {
        let told = refusal(level);
        let told = told.lines().next().unwrap_or_default();
        let (_, keys) = told.split_once("expected one of ").unwrap_or_default();
        let keys: Vec<&str> = keys.split(", ").collect();
        assert!(keys.len() > 1, "no keys in {told}");
        for key in keys {
            let explained = [format!("`{key}`"), format!("`{key}: ")];
            let found = explained.iter().any(|text| README.contains(text));
            assert!(found, "no `{key}` there");
        }
    }
}

#[tokio::test]
async fn cases_share_backends_unless_they_disagree() -> anyhow::Result<()> {
    let case = |text: &str| Expectations::parse(text, Path::new("."));
    let first = start_backends(&case("backends: [127.1.77.1:8080]")?)?;
    let second = start_backends(&case("backends: [127.1.77.1:8080, 127.1.77.2:8080]")?)?;
    assert!(first.is_none() && second.is_none());
    let other = start_backends(&case("backends: ['127.1.77.1:8080=https']")?);
    let told = other
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        told.contains("already shared as 127.1.77.1:8080=http"),
        "{told}"
    );

    let text = "requests: [{get: http://h/, expect: {backend: '127.1.0.1:8080'}},
                           {get: https://h/, expect: {backend: '127.1.0.1:8443'}}]";
    let shared = [SHARED_BACKENDS[0].parse()?, "127.1.0.1:8443".parse()?];
    let failures = run_expectations(&case(text)?, Proxy::Nginx, shared[0], shared[1]).await;
    assert!(failures.is_empty(), "{}", failures[0]);
    Ok(())
}

#[tokio::test]
async fn files_are_found_beside_the_case() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let key = rcgen::KeyPair::generate()?;
    let parameters = rcgen::CertificateParams::new(vec!["own.example.com".to_owned()])?;
    let own = parameters.self_signed(&key)?.pem();
    fs::write(folder.path().join("own.pem"), own)?;
    fs::write(folder.path().join("own.key"), key.serialize_pem())?;
    fs::write(
        folder.path().join("expect.yaml"),
        "backends: ['127.1.77.3:8443=https']
backend-identity: {certificate: own.pem, key: own.key, client-authorities: own.pem}
requests:
- get: https://h/
  client-certificate: {certificate: own.pem, key: own.key}
  expect: {certificate: {san: own.example.com}, backend-client-certificate: ~rcgen}
- get: https://h/
  expect: {fails: CertificateRequired}
",
    )?;
    let case = Expectations::load(folder.path())?;
    let own = start_backends(&case)?.context("a backend of its own")?;
    let address = own.listens()[0].address;
    let failures = run_expectations(&case, Proxy::Nginx, address, address).await;
    assert!(failures.is_empty(), "{}", failures[0]);
    Ok(())
}
