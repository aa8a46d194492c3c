//! Answers that make no progress are ended, and those that do are not.

use std::time::Duration;

use bytes::Bytes;
use fanlight_runner::span::Status;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{ECHO, FAULTS, Fixture};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::{PATIENCE, eventually_async};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const IDLE: Duration = Duration::from_millis(400);

async fn impatient(fixture: Fixture) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(fixture)
        .exporting_to(&collector)
        .server(|limits| limits.stream_idle_timeout = IDLE)
        .start()
        .await;
    (collector, host)
}

/// Demands that the one request was ended for want of progress, by the fault of
/// `blame`, and its instance freed.
async fn demand_ended(collector: &Collector, host: &RunningHost, blame: &str) -> CollectedSpan {
    let span = collector
        .span(|span| span.attribute("error.type") == json!("stream_idle_timeout"))
        .await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("error.blame"), json!(blame));
    eventually_async("the instance is free", async || {
        (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
    })
    .await;
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_falls_silent_after_its_head_is_ended() {
    let (collector, host) = impatient(FAULTS).await;
    let cut = host
        .get("/version?chunks=2&delay_ms=60000")
        .try_send()
        .await;
    assert!(cut.is_err(), "the body looks whole: {cut:?}");
    demand_ended(&collector, &host, "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_falls_silent_is_ended_however_long_heads_may_take() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .server(|limits| {
            limits.stream_idle_timeout = IDLE;
            limits.header_timeout = 10 * PATIENCE;
        })
        .start()
        .await;
    let target = "/version?chunks=2&delay_ms=600000";
    assert!(host.get(target).try_send().await.is_err());
    demand_ended(&collector, &host, "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_falls_silent_on_http2_is_ended() {
    let (collector, host) = impatient(FAULTS).await;
    let target = "/version?chunks=2&delay_ms=60000";
    assert!(host.get(target).try_send_h2().await.is_err());
    demand_ended(&collector, &host, "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_its_guest_for_the_idle_time_alone() {
    let (collector, host) = impatient(ECHO).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = "GET /bytes?n=1000000000 HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    demand_ended(&collector, &host, "client").await;
    // What it finds when it reads at last is not whole.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK"));
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_reader_gets_all() {
    const BYTES: usize = 6_000_000;
    let (collector, host) = impatient(ECHO).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(host.address).await.unwrap();
    let request = format!("GET /bytes?n={BYTES} HTTP/1.0\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let (mut read, mut buffer) = (0, vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            bytes => read += bytes,
        }
        // The client's pace is what the test is about: a third of what a socket may
        // hold takes it longer than a client may be idle.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert!(read > BYTES, "{read} bytes came");
    assert!(begun.elapsed() > 2 * IDLE, "it was not slow");
    let span = collector.span(|span| span.name == "GET /bytes").await;
    assert_eq!(span.attribute("error.type"), json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_stream_without_a_window_is_ended_and_the_others_go_on() {
    let (collector, host) = impatient(ECHO).await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let ask = |target: &str, body: &'static [u8]| {
        let mut sender = sender.clone();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", host.address))
            .body(Full::new(Bytes::from_static(body)))
            .unwrap();
        async move { sender.send_request(request).await }
    };
    // Its body is never read, so its window stays shut after 64 KiB.
    let unread = ask("/bytes?n=1000000000", b"").await.unwrap();
    assert_eq!(unread.status(), 200);
    let blocked = collector.span(|span| span.attribute("error.blame") == json!("client"));
    let others = async {
        loop {
            let answer = ask("/", b"a body").await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "a body");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        span = blocked => {
            assert_eq!(span.attribute("error.type"), json!("stream_idle_timeout"));
        }
        () = others => {}
    }
    demand_ended(&collector, &host, "client").await;
    let answer = ask("/", b"after it").await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    // With no other stream on it, the connection is of no use to anybody.
    let ended = tokio::time::timeout(fanlight_tests::PATIENCE, connection).await;
    assert!(ended.is_ok(), "the connection stays");
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_gave_all_it_promised_and_does_not_end_is_ended() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .server(|limits| limits.stream_idle_timeout = IDLE)
        .requests(|limits| limits.linger = Duration::from_millis(100))
        .start()
        .await;
    for send in ["h1", "h2"] {
        let ask = host.get("/unfinished");
        let answer = match send {
            "h1" => ask.try_send().await,
            _ => ask.try_send_h2().await,
        };
        assert_eq!(answer.unwrap().body, "whole", "{send}");
        eventually_async("the instance is free", async || {
            (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_that_stalls_after_the_head_ends_the_stream() {
    let (collector, host) = impatient(ECHO).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nthe start";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    demand_ended(&collector, &host, "client").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_gives_a_little_now_and_then_lives() {
    let (collector, host) = impatient(FAULTS).await;
    for send in ["h1", "h2"] {
        let ask = host.get("/version?chunks=8&delay_ms=150");
        let answer = match send {
            "h1" => ask.try_send().await,
            _ => ask.try_send_h2().await,
        };
        assert_eq!(answer.unwrap().body.len(), 8 * 23);
    }
    assert!(
        collector
            .spans()
            .iter()
            .all(|it| it.status != Status::Error)
    );
}
