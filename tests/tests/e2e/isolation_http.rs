//! Requests on one connection have nothing of one another: neither headers nor
//! bodies, pipelined or side by side, read or not.

use bytes::Bytes;
use fanlight_tests::client::raw;
use fanlight_tests::fixture::{ECHO, FAULTS};
use fanlight_tests::host::TestHost;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Requests on one connection.
const REQUESTS: usize = 60;

fn secret(client: usize, n: usize) -> String {
    format!("secret-{client:02}-{n:04}")
}

/// The secrets in a text, in their order.
fn secrets(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let found = text.match_indices("secret-").map(|(at, _)| {
        let length = secret(0, 0).len();
        text[at..(at + length).min(text.len())].to_owned()
    });
    found.collect()
}

/// Requests that differ in how long their heads and bodies are, one behind the
/// other, the last of which ends the connection.
fn pipelined(client: usize, request: impl Fn(usize, &str) -> (String, String)) -> Vec<u8> {
    let mut bytes = String::new();
    for n in 0..REQUESTS {
        let (head, body) = request(n, &secret(client, n));
        bytes.push_str(&head);
        bytes.push_str("host: x\r\n");
        if n + 1 == REQUESTS {
            bytes.push_str("connection: close\r\n");
        }
        bytes.push_str("\r\n");
        bytes.push_str(&body);
    }
    bytes.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_show_guests_their_own_headers_alone() {
    let host = TestHost::serving(FAULTS).start().await;
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let address = host.address;
        clients.spawn(async move {
            let requests = pipelined(client, |n, secret| {
                // Long ones first: what is short leaves the rest of them standing
                // in a buffer that is used again.
                let filler = "f".repeat((REQUESTS - n) * 20);
                let head = format!(
                    "GET /headers HTTP/1.1\r\nx-filler: {filler}\r\nx-of-{n}: {secret}\r\n"
                );
                (head, String::new())
            });
            let answers = raw(address, &requests).await;
            let wanted: Vec<_> = (0..REQUESTS).map(|n| secret(client, n)).collect();
            assert_eq!(secrets(&answers), wanted);
            let text = String::from_utf8_lossy(&answers);
            for n in 0..REQUESTS {
                assert_eq!(text.matches(&format!("x-of-{n}: ")).count(), 1, "{n}");
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_a_guest_did_not_read_is_nothing_to_the_next() {
    let host = TestHost::serving(FAULTS).start().await;
    for n in 0..100 {
        let unread = format!("GET /unread HTTP/1.1\r\nx-unread: {n}\r\n\r\n").repeat(n % 5 + 1);
        let length = unread.len();
        let [first, second] = [secret(0, n), secret(1, n)];
        let requests = format!(
            "POST /headers HTTP/1.1\r\nhost: x\r\nx-first: {first}\r\n\
             content-length: {length}\r\n\r\n{unread}\
             GET /headers HTTP/1.1\r\nhost: x\r\nx-second: {second}\r\n\
             connection: close\r\n\r\n"
        );
        let answers = raw(host.address, requests.as_bytes()).await;
        let found = secrets(&answers);
        // A connection may be closed rather than read to a body's end.
        assert!(
            [first, second].starts_with(&found) && !found.is_empty(),
            "{found:?}"
        );
        let text = String::from_utf8_lossy(&answers);
        assert!(
            !text.contains("unread") && !text.contains(" 404 "),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_bodies_reach_guests_each_its_own() {
    let host = TestHost::serving(ECHO).start().await;
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let address = host.address;
        clients.spawn(async move {
            let requests = pipelined(client, |n, secret| {
                let body = format!("{secret} {}", "b".repeat((REQUESTS - n) * 100));
                match n % 2 {
                    0 => {
                        let length = body.len();
                        let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n");
                        (head, body)
                    }
                    _ => {
                        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n";
                        let body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                        (head.to_owned(), body)
                    }
                }
            });
            let answers = raw(address, &requests).await;
            let wanted: Vec<_> = (0..REQUESTS).map(|n| secret(client, n)).collect();
            assert_eq!(secrets(&answers), wanted);
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_side_by_side_on_one_connection_have_their_own_bodies() {
    let host = TestHost::serving(ECHO).start().await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for round in 0..10 {
        let mut streams = JoinSet::new();
        for n in 0..64 {
            let mut sender = sender.clone();
            let uri = format!("http://{}/", host.address);
            streams.spawn(async move {
                let own = secret(round, n);
                let body = format!("{own} {own} {}", "b".repeat((64 - n) * 1_000));
                let request = Request::post(uri).header("content-type", own.as_str());
                let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.headers()["content-type"], own.as_str());
                let answer = response.into_body().collect().await.unwrap().to_bytes();
                assert!(
                    answer == body.as_bytes(),
                    "stream {n}: {:?}",
                    secrets(&answer)
                );
            });
        }
        streams.join_all().await;
    }
    connection.abort();
}
