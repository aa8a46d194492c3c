//! Bodies stream in both directions, whatever their size.

use bytes::Bytes;
use fanlight_tests::client::raw;
use fanlight_tests::fixture::{ECHO, FAULTS};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::{Program, ServingProgram};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::TcpStream;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_back_as_it_was_sent() {
    let host = TestHost::serving(ECHO).start().await;
    let body: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let answer = host
        .get("/")
        .method(Method::POST)
        .header("content-type", "application/x-test")
        .body(body.clone())
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-test"));
    assert!(
        answer.body == body,
        "{} bytes of {}",
        answer.body.len(),
        body.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_up_and_down_take_no_more_memory_than_one() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", ECHO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    assert_eq!(echoed(&program, MIB).await, MIB);
    let after_one = program.peak_rss_bytes();
    assert_eq!(echoed(&program, 100 * MIB).await, 100 * MIB);
    let after_hundred = program.peak_rss_bytes();
    let grown = after_hundred.saturating_sub(after_one);
    assert!(grown <= 16 * MIB, "{after_one} grew by {grown} bytes");
}

/// Sends that many bytes in chunks and counts what comes back.
async fn echoed(program: &ServingProgram, bytes: u64) -> u64 {
    const CHUNK: usize = 64 * 1024;
    let stream = TcpStream::connect(program.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let chunk = Bytes::from(vec![7; CHUNK]);
    let (frames, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let sending = tokio::spawn(async move {
        for _ in 0..bytes / CHUNK as u64 {
            if frames.send(Ok(Frame::data(chunk.clone()))).await.is_err() {
                return;
            }
        }
    });
    let body = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let request = Request::post("/")
        .header("host", "test")
        .body(body)
        .unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut came = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.iter().all(|byte| *byte == 7));
        came += data.len() as u64;
    }
    sending.await.unwrap();
    connection.abort();
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_arrive_while_the_guest_still_writes() {
    let host = TestHost::serving(FAULTS).start().await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/stream?chunks=3&delay_ms=200")
        .header("host", "test")
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
    let begun = std::time::Instant::now();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    let first = begun.elapsed();
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    assert!(begun.elapsed() > first + std::time::Duration::from_millis(150));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trailer_that_the_head_names_comes_after_the_body() {
    let host = TestHost::serving(FAULTS).start().await;
    let ask = |te| {
        let request = format!("GET /trailer HTTP/1.1\r\nhost: x\r\nconnection: close{te}\r\n\r\n");
        async move { String::from_utf8(raw(host.address, request.as_bytes()).await).unwrap() }
    };
    let (asked, unasked) = (ask(", te\r\nte: trailers").await, ask("").await);
    assert!(
        asked.ends_with("of three\r\n0\r\nx-sum: 3\r\n\r\n"),
        "{asked}"
    );
    assert!(unasked.ends_with("of three\r\n0\r\n\r\n"), "{unasked}");

    let stream = TcpStream::connect(host.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let target = format!("http://{}/trailer", host.address);
    let request = Request::get(target).body(Empty::<Bytes>::new()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    let body = body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "3");
    assert_eq!(body.to_bytes(), "of three");
    connection.abort();
}
