//! `--max-body`: what is over it, told beforehand or not.

use std::convert::Infallible;

use bytes::Bytes;
use fanlight_runner::span::Status;
use fanlight_tests::client::{raw, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

const LIMIT: u64 = 100_000;

async fn limited() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .requests(|limits| limits.max_body_bytes = Some(LIMIT))
        .exporting_to(&collector)
        .start()
        .await;
    (collector, host)
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    H1,
    H2,
}

/// Sends a body whose length is not told, in chunks; gives back status and text.
async fn streamed(
    host: &RunningHost,
    protocol: Protocol,
    target: &str,
    bytes: u64,
) -> (u16, String) {
    const CHUNK: usize = 10_000;
    let chunks = (0..bytes / CHUNK as u64)
        .map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; CHUNK]))));
    let body = StreamBody::new(tokio_stream::iter(chunks.collect::<Vec<_>>()));
    let uri = format!("http://{}{target}", host.address);
    let stream = TokioIo::new(TcpStream::connect(host.address).await.unwrap());
    let response: Response<Incoming> = match protocol {
        Protocol::H1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = Request::post(target)
                .header("host", "test")
                .body(body)
                .unwrap();
            sender.send_request(request).await.unwrap()
        }
        Protocol::H2 => {
            let executor = TokioExecutor::new();
            let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            sender
                .send_request(Request::post(uri).body(body).unwrap())
                .await
                .unwrap()
        }
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_over_the_limit_is_refused_before_the_guest_runs() {
    let (collector, host) = limited().await;
    let over = vec![7; usize::try_from(LIMIT).unwrap() + 1];
    let exact = over[1..].to_vec();
    let answer = host
        .get("/read")
        .method(Method::POST)
        .body(exact)
        .send()
        .await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &b"100000 bytes\n"[..])
    );
    let asked = host.get("/read").method(Method::POST).body(over);
    let answer = asked.send().await;
    assert_eq!(answer.status, 413);
    let problem = answer.json().unwrap();
    assert_eq!(
        problem["type"],
        json!("urn:fanlight:problem:body_too_large")
    );
    let id = trace_of(&answer).span_id;
    let span = collector.span(|span| span.span_id == id).await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("error.type"), json!("body_too_large"));
    assert_eq!(span.attribute("error.blame"), json!("client"));
    // No guest was chosen for it.
    assert_eq!(span.attribute("fanlight.component.digest"), json!(null));
    // Nor is a client that asks first told to go on.
    let request = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 100001\r\n\
                    expect: 100-continue\r\nconnection: close\r\n\r\n";
    let answer = raw(host.address, request).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_turns_out_too_long_is_413_while_the_guest_has_not_answered() {
    let (collector, host) = limited().await;
    // By `wasi:http` alone, and by what is there in one call.
    for target in ["/read", "/whole?limit=1000000"] {
        for protocol in [Protocol::H1, Protocol::H2] {
            let (status, text) = streamed(&host, protocol, target, LIMIT).await;
            assert_eq!(
                (status, text.as_str()),
                (200, "100000 bytes\n"),
                "{target} {protocol:?}"
            );
            let (status, text) = streamed(&host, protocol, target, 2 * LIMIT).await;
            assert_eq!(status, 413, "{target} {protocol:?}: {text}");
            assert!(text.contains("body_too_large"), "{text}");
        }
    }
    let span = collector
        .span(|span| span.attribute("http.response.status_code") == json!(413))
        .await;
    assert_eq!(span.attribute("error.type"), json!("body_too_large"));
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_head_the_guests_read_fails_and_its_answer_goes_on() {
    let (collector, host) = limited().await;
    for protocol in [Protocol::H1, Protocol::H2] {
        let (status, text) = late(&host, protocol).await;
        assert_eq!(status, 200, "{protocol:?}: {text}");
        assert!(text.starts_with("reading: "), "{protocol:?}: {text}");
        assert!(text.contains("HttpRequestBodySize"), "{protocol:?}: {text}");
    }
    let span = collector
        .span(|span| span.attribute("url.path") == json!("/read-late"))
        .await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("error.type"), json!("body_too_large"));
    assert_eq!(span.attribute("http.response.status_code"), json!(200));
}

/// Sends what is too much only after the head of the answer has come.
async fn late(host: &RunningHost, protocol: Protocol) -> (u16, String) {
    let (frames, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let stream = TokioIo::new(TcpStream::connect(host.address).await.unwrap());
    let response = match protocol {
        Protocol::H1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let request = Request::post("/read-late").header("host", "test");
            sender
                .send_request(request.body(body).unwrap())
                .await
                .unwrap()
        }
        Protocol::H2 => {
            let executor = TokioExecutor::new();
            let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            let request = Request::post(format!("http://{}/read-late", host.address));
            sender
                .send_request(request.body(body).unwrap())
                .await
                .unwrap()
        }
    };
    let status = response.status().as_u16();
    let sending = tokio::spawn(async move {
        for _ in 0..20 {
            let chunk = Frame::data(Bytes::from_static(&[7; 10_000]));
            if frames.send(Ok(chunk)).await.is_err() {
                return;
            }
        }
    });
    let body = response.into_body().collect().await.unwrap().to_bytes();
    sending.abort();
    (status, String::from_utf8_lossy(&body).into_owned())
}
