//! HTTPS: what is spoken, what is told of it, and how a certificate is renewed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fanlight_tests::client::{raw, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::{FAULTS, HELLO};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::tls::{Pair, connect, shows};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::departures::demand_failed;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// A host with a certificate of its own, which can be replaced in the folder.
pub(crate) async fn secured(host: TestHost) -> (tempfile::TempDir, Pair, RunningHost) {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::generate();
    let files = pair.write_to(folder.path());
    let host = host.with(|host| host.tls = Some(files)).start().await;
    (folder, pair, host)
}

/// The program, serving with what is in the folder.
fn program(folder: &Path) -> Program {
    Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env(
            "FANLIGHT_TLS_CERT",
            folder.join("tls.crt").to_str().unwrap(),
        )
        .env("FANLIGHT_TLS_KEY", folder.join("tls.key").to_str().unwrap())
}

async fn says(program: &ServingProgram, words: &str, times: usize) {
    eventually(words, || {
        (program.said().matches(words).count() == times).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_chosen_by_alpn_and_told_apart() {
    let collector = Collector::start().await;
    let (_folder, pair, host) = secured(TestHost::serving(FAULTS).exporting_to(&collector)).await;
    for (offered, chosen, version) in [
        (&["h2", "http/1.1"][..], Some("h2"), "2"),
        (&["http/1.1"], Some("http/1.1"), "1.1"),
        (&[], None, "1.1"),
    ] {
        let stream = connect(host.address, &[&pair], offered).await.unwrap();
        let alpn = stream.get_ref().1.alpn_protocol();
        assert_eq!(alpn, chosen.map(str::as_bytes));
        let ask = host.get("/scheme");
        let answer = match version {
            "2" => ask.try_send_h2_on(stream).await.unwrap(),
            _ => ask.try_send_on(stream).await.unwrap(),
        };
        assert_eq!((answer.status, &answer.body[..]), (200, &b"https\n"[..]));
        let spans = collector.trace(&trace_of(&answer).trace_id, 1).await;
        assert_eq!(spans[0].attribute("url.scheme"), json!("https"));
        assert_eq!(
            spans[0].attribute("network.protocol.version"),
            json!(version)
        );
        assert_eq!(
            spans[0].attribute("server.port"),
            json!(host.address.port())
        );
        for metric in [
            "http.server.request.duration",
            "http.server.active_requests",
        ] {
            let points = collector.points(metric, |_| true).await;
            assert!(
                points
                    .iter()
                    .all(|point| point.attributes["url.scheme"] == json!("https")),
                "{points:#?}"
            );
        }
    }
    let none = connect(host.address, &[&pair], &["spdy/3"]).await;
    assert!(none.is_err(), "no protocol in common");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_the_scheme_is_http() {
    let host = TestHost::serving(FAULTS).start().await;
    let h1 = host.get("/scheme").send().await;
    let h2 = host.get("/scheme").try_send_h2().await.unwrap();
    assert_eq!(
        (&h1.body[..], &h2.body[..]),
        (&b"http\n"[..], &b"http\n"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_however_its_files_are_replaced() {
    let (folder, first, host) = secured(TestHost::serving(HELLO)).await;
    shows(host.address, &first, &first).await;
    // One after the other, in place.
    let second = Pair::generate();
    second.write_to(folder.path());
    shows(host.address, &second, &first).await;
    // As Kubernetes does: what the links lead through is exchanged at once.
    let third = Pair::generate();
    let fourth = Pair::generate();
    for (name, pair) in [("third", &third), ("fourth", &fourth)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        pair.write_to(&folder.path().join(name));
    }
    let data = folder.path().join("..data");
    let turn_to = |name: &str| {
        let new = folder.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &new).unwrap();
        fs::rename(&new, &data).unwrap();
    };
    turn_to("third");
    for name in ["tls.crt", "tls.key"] {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(Path::new("..data").join(name), &link).unwrap();
        fs::rename(&link, folder.path().join(name)).unwrap();
    }
    shows(host.address, &third, &second).await;
    turn_to("fourth");
    shows(host.address, &fourth, &third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_the_certificate_that_it_began_with() {
    let (folder, first, host) = secured(TestHost::serving(HELLO)).await;
    let stream = connect(host.address, &[&first], &[]).await.unwrap();
    let second = Pair::generate();
    second.write_to(folder.path());
    shows(host.address, &second, &first).await;
    assert_eq!(
        host.get("/hello").try_send_on(stream).await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pair_is_refused_once_and_the_old_one_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pair::generate();
    first.write_to(folder.path());
    let program = program(folder.path()).serve().await;
    let kept = "the old certificate is kept";
    let key = folder.path().join("tls.key");
    let second = Pair::generate();
    for (n, (bad, reason)) in [
        (second.key.as_str(), "KeyMismatch"),
        ("nonsense", "no private key"),
        ("-----BEGIN PRIVATE KEY-----\n!\n", "not PEM"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&key, bad).unwrap();
        says(&program, reason, 1).await;
        says(&program, kept, n + 1).await;
        shows(program.address, &first, &second).await;
    }
    fs::remove_file(&key).unwrap();
    says(&program, "cannot read", 1).await;
    shows(program.address, &first, &second).await;
    second.write_to(folder.path());
    shows(program.address, &second, &first).await;
    assert_eq!(
        program.said().matches(kept).count(),
        4,
        "{}",
        program.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_has_the_certificate_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pair::generate();
    first.write_to(folder.path());
    let program = program(folder.path()).serve().await;
    let said = program.said();
    assert!(said.contains("serving at https://"), "{said}");
    assert!(said.contains("admin: http://"), "{said}");
    // Nothing has changed: whoever only looks for changes does nothing.
    program.signal("HUP").await;
    says(&program, "serving the certificate anew", 1).await;
    let second = Pair::generate();
    second.write_to(folder.path());
    program.signal("HUP").await;
    shows(program.address, &second, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_without_tls_is_ignored() {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    for times in 1..=2 {
        program.signal("HUP").await;
        says(&program, "SIGHUP: ignored", times).await;
        assert_eq!(program.get("/hello").send().await.status, 200);
    }
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pair_at_the_start_is_refused_before_anything_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pair = Pair::generate();
    let certificate = write("tls.crt", &pair.certificate);
    let key = write("tls.key", &pair.key);
    let other = write("other.key", &Pair::generate().key);
    let empty = write("empty", "");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage = write("garbage", garbage);
    let cut = write("cut", &pair.certificate[..pair.certificate.len() / 2]);
    let absent = folder.path().join("absent").to_str().unwrap().to_owned();
    // In use: whoever binds before reading says so instead.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let hello = HELLO.path();
    let serve = ["serve", hello.to_str().unwrap(), "--listen", &listen];
    for (flags, message) in [
        (vec!["--tls-cert", &certificate], "--tls-key"),
        (vec!["--tls-key", &key], "--tls-cert"),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &other],
            "KeyMismatch",
        ),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &absent],
            "cannot read",
        ),
        (
            vec!["--tls-cert", &absent, "--tls-key", &key],
            "cannot read",
        ),
        (
            vec!["--tls-cert", &empty, "--tls-key", &key],
            "no certificate in",
        ),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &empty],
            "no private key in",
        ),
        (
            vec!["--tls-cert", &garbage, "--tls-key", &key],
            "cannot serve",
        ),
        (vec!["--tls-cert", &cut, "--tls-key", &key], "is not PEM"),
    ] {
        let arguments = serve.iter().chain(&flags);
        let (code, said) = Program::new(arguments).output().await;
        assert_eq!(code, Some(2), "{flags:?}: {said}");
        assert!(said.contains(message), "{message:?} is not in {said:?}");
    }
    let (code, said) = Program::new(serve)
        .env("FANLIGHT_TLS_CERT", &certificate)
        .output()
        .await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--tls-key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_hold_up_nobody() {
    let host = TestHost::serving(HELLO).server(|limits| limits.header_timeout = AN_HOUR);
    let (_folder, pair, host) = secured(host).await;
    let mut stalled = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        if n % 2 == 0 {
            // The first bytes of a hello that is never finished.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        }
        stalled.push(stream);
    }
    let stream = connect(host.address, &[&pair], &[]).await.unwrap();
    assert_eq!(
        host.get("/hello").try_send_on(stream).await.unwrap().status,
        200
    );
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_take_too_long_are_ended_and_counted() {
    let collector = Collector::start().await;
    let host = TestHost::serving(HELLO)
        .exporting_to(&collector)
        .server(|limits| limits.header_timeout = Duration::from_millis(300));
    let (_folder, _pair, host) = secured(host).await;
    let silent = async { raw(host.address, b"").await };
    let begun = async { raw(host.address, &[22, 3, 1, 2, 0, 1]).await };
    let (silent, begun) = tokio::join!(silent, begun);
    assert!(silent.is_empty() && begun.is_empty());
    demand_failed(&collector, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_gets_the_connection_closed_and_counted() {
    let collector = Collector::start().await;
    let (_folder, pair, host) = secured(TestHost::serving(HELLO).exporting_to(&collector)).await;
    // Who only looks whether somebody listens has not failed at anything.
    let mut looking = TcpStream::connect(host.address).await.unwrap();
    looking.shutdown().await.unwrap();
    assert_eq!(looking.read(&mut [0]).await.unwrap(), 0);
    for request in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = raw(host.address, request).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("HTTP"), "{text}");
    }
    demand_failed(&collector, 2.0).await;
    let stream = connect(host.address, &[&pair], &[]).await.unwrap();
    assert_eq!(
        host.get("/hello").try_send_on(stream).await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_requests_end_and_waits_for_no_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::generate();
    pair.write_to(folder.path());
    let mut program = program(folder.path())
        .env("FANLIGHT_HEADER_TIMEOUT", "1h")
        .env("FANLIGHT_SHUTDOWN_GRACE", "1h")
        .serve()
        .await;
    let mut stalled = TcpStream::connect(program.address).await.unwrap();
    stalled.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let address = program.address;
    let request = |origin: &str| {
        Request::get(format!("{origin}/version?chunks=4&delay_ms=250"))
            .header(header::HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let stream = connect(address, &[&pair], &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let h1 = sender.send_request(request("")).await.unwrap();
    let stream = connect(address, &[&pair], &["h2"]).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let h2 = sender
        .send_request(request("https://localhost"))
        .await
        .unwrap();
    program.signal("TERM").await;
    for response in [h1, h2] {
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 4);
    }
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    drop(stalled);
}
