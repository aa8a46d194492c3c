//! `fanlight:http/request-body`: what is here of a body in one call, and the rest
//! as it comes.

use std::convert::Infallible;

use bytes::Bytes;
use fanlight_tests::PATIENCE;
use fanlight_tests::client::raw;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request as it is and gives back what the component said.
async fn said(host: &RunningHost, request: &str) -> String {
    let answer = raw(host.address, request.as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // What it says is streamed, and so comes in chunks.
    let lines = answer.lines().filter(|line| {
        let said = ["here:", "rest:", "Ok", "Err"];
        said.iter().any(|word| line.starts_with(word))
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn post(target: &str, rest: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}")
}

/// A client whose request is still under way.
struct Slow(TcpStream);

impl Slow {
    async fn begin(host: &RunningHost, request: &str) -> Self {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until it was told something.
    async fn until(&mut self, text: &str) {
        let mut come = Vec::new();
        let read = async {
            while !String::from_utf8_lossy(&come).contains(text) {
                let bytes = self.0.read_buf(&mut come).await.unwrap();
                assert_ne!(bytes, 0, "{}", String::from_utf8_lossy(&come));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_that_is_here_has_no_rest() {
    let host = TestHost::serving(FAULTS).start().await;
    let request = post("/take", "content-length: 5\r\n\r\nhello");
    assert_eq!(said(&host, &request).await, "here: 5 bytes; rest: none");
}

#[tokio::test]
async fn a_request_without_a_body_has_no_rest_either() {
    let host = TestHost::serving(FAULTS).start().await;
    for rest in ["\r\n", "content-length: 0\r\n\r\n"] {
        let request = post("/take", rest);
        assert_eq!(said(&host, &request).await, "here: 0 bytes; rest: none");
    }
    let answer = host.get("/take").try_send_h2().await.unwrap();
    assert_eq!(&*answer.body, b"here: 0 bytes\nrest: none\n");
}

#[tokio::test]
async fn no_more_is_given_than_was_asked_for_and_the_rest_follows() {
    let host = TestHost::serving(FAULTS).start().await;
    for (max, here, rest) in [(0, 0, 10), (4, 4, 6), (9, 9, 1)] {
        let target = format!("/take?max={max}");
        let request = post(&target, "content-length: 10\r\n\r\n0123456789");
        assert_eq!(
            said(&host, &request).await,
            format!("here: {here} bytes; rest: {rest} bytes")
        );
    }
    let request = post("/take?max=10", "content-length: 10\r\n\r\n0123456789");
    assert_eq!(said(&host, &request).await, "here: 10 bytes; rest: none");
}

#[tokio::test]
async fn a_call_gives_no_more_than_64_kib_whatever_it_is_asked_for() {
    let host = TestHost::serving(FAULTS).start().await;
    let body = vec![7; 300_000];
    let ask = host.get("/take?max=4294967295").method(Method::POST);
    let answer = ask.body(body).try_send_h2().await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let numbers = text.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<usize> = numbers.collect();
    assert!(
        matches!(numbers[..], [here, rest]
        if here <= 64 * 1024 && here + rest == 300_000),
        "{text}"
    );
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let host = TestHost::serving(FAULTS).start().await;
    let chunked = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    assert_eq!(
        said(&host, &post("/take", chunked)).await,
        "here: 3 bytes; rest: 4 bytes"
    );
    let answer = raw(host.address, post("/whole", chunked).as_bytes()).await;
    assert!(answer.ends_with(b"\r\n\r\n7 bytes\n"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_come_with_the_rest() {
    let host = TestHost::serving(FAULTS).start().await;
    let stream = TokioIo::new(TcpStream::connect(host.address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "15".parse().unwrap());
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"12345"))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(tokio_stream::iter(frames));
    let request = Request::post(format!("http://{}/take", host.address));
    let answer = sender.send_request(request.body(body).unwrap()).await;
    let body = answer.unwrap().into_body().collect().await.unwrap();
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert!(text.ends_with("bytes, x-sum: 15\n"), "{text}");
    // The last one is the trailer's.
    let numbers = text.split([' ', ',']);
    let numbers = numbers.filter_map(|word| word.trim().parse::<usize>().ok());
    assert_eq!(numbers.sum::<usize>(), 5 + 15, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_does_not_wait_for_a_slow_body() {
    let host = TestHost::serving(FAULTS).start().await;
    let request = post("/take", "content-length: 10\r\n\r\n012");
    let mut client = Slow::begin(&host, &request).await;
    client.until("here: 3 bytes").await;
    client.send("3456789").await;
    client.until("rest: 7 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_whether_to_go_on_is_told_so() {
    let host = TestHost::serving(FAULTS).start().await;
    let request = post(
        "/whole",
        "expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    let mut client = Slow::begin(&host, &request).await;
    client.until("HTTP/1.1 100 Continue\r\n").await;
    client.send("hello").await;
    client.until("\r\n\r\n5 bytes\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_in_its_body_fails_the_read_of_the_rest() {
    let host = TestHost::serving(FAULTS).start().await;
    // The second one reads by `wasi:http` alone.
    for (target, begun) in [("/take", "here: 3 bytes"), ("/read-late", "reading: ")] {
        let request = post(target, "content-length: 10\r\n\r\n012");
        let mut client = Slow::begin(&host, &request).await;
        client.until(begun).await;
        client.0.shutdown().await.unwrap();
        client.until("HttpProtocolError").await;
    }
}

#[tokio::test]
async fn a_body_is_taken_once_by_whichever_way() {
    let host = TestHost::serving(FAULTS).start().await;
    for order in ["", "?take", "?consume"] {
        let target = format!("/take-twice{order}");
        let request = post(&target, "content-length: 5\r\n\r\nhello");
        assert_eq!(said(&host, &request).await, "Ok(()), Err(())", "{order}");
    }
}

#[tokio::test]
async fn a_body_over_what_a_component_reads_is_too_large_for_it() {
    let host = TestHost::serving(FAULTS).start().await;
    let ask = |bytes: usize| {
        let ask = host.get("/whole?limit=1000").method(Method::POST);
        ask.body(vec![7; bytes]).send()
    };
    let answer = ask(1000).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"1000 bytes\n"[..]));
    for bytes in [1001, 300_000] {
        let answer = ask(bytes).await;
        assert_eq!(answer.status, 413);
        assert_eq!(&*answer.body, b"the body is larger than 1000 bytes\n");
    }
}
