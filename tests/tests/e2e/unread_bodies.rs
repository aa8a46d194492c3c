//! Answers reach clients that are still writing a body which nobody reads.

use std::net::SocketAddr;

use fanlight_tests::PATIENCE;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::TestHost;
use fanlight_tests::tls::connect;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tls::secured;

/// More than the buffers of a connection hold that is closed.
const BODY_BYTES: usize = 900_000;
/// Enough for the component that is served.
const MAX_COMPONENT: usize = 2 * 1024 * 1024;
/// More than the default bound on components.
const LARGE_COMPONENT: usize = 80 * 1024 * 1024;

/// A client that writes and reads as it is told.
struct Client(TcpStream);

impl Client {
    async fn begin(address: SocketAddr, request: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Reads until it was told this.
    async fn read_to(&mut self, end: &str) -> String {
        let mut come = Vec::new();
        let read = async {
            while !String::from_utf8_lossy(&come).contains(end) {
                let bytes = self.0.read_buf(&mut come).await.unwrap();
                assert_ne!(bytes, 0, "{}", String::from_utf8_lossy(&come));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
        String::from_utf8(come).unwrap()
    }

    async fn write(&mut self, bytes: usize) {
        // For as long as the server reads on, or it would be reset.
        self.0.write_all(&vec![b'x'; bytes]).await.unwrap();
    }
}

fn post(target: &str, more: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY_BYTES}\r\n{more}\r\n")
}

#[tokio::test]
async fn a_client_that_writes_on_after_the_answer_is_read_to_the_end_and_asks_again() {
    let host = TestHost::serving(FAULTS).start().await;
    // One component says nothing of the body, the other drops it first.
    for (target, said) in [
        ("/scheme", "\r\n\r\nhttp\n"),
        ("/sleep-without?ms=1", "slept\n"),
    ] {
        let mut client = Client::begin(host.address, &post(target, "")).await;
        let first = client.read_to(said).await;
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
        client.write(BODY_BYTES).await;
        let next = "GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
        client.0.write_all(next.as_bytes()).await.unwrap();
        let second = client.read_to("\r\n\r\n").await;
        assert!(second.starts_with("HTTP/1.1 200 "), "{second}");
    }
}

#[tokio::test]
async fn a_client_whose_component_traps_is_read_to_the_end() {
    let host = TestHost::serving(FAULTS).start().await;
    let mut client = Client::begin(host.address, &post("/panic", "")).await;
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    client.write(BODY_BYTES).await;
}

#[tokio::test]
async fn a_client_whose_request_is_refused_for_its_head_is_read_to_the_end() {
    let host = TestHost::serving(FAULTS).start().await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for (head, status) in [(upgrade, 501), ("host: y\r\n", 400)] {
        let mut client = Client::begin(host.address, &post("/scheme", head)).await;
        let answer = client.read_to("\r\n\r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        client.write(BODY_BYTES).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_for_leave_to_send_is_not_given_it_for_nothing() {
    let host = TestHost::serving(FAULTS).start().await;
    let request = post("/scheme", "expect: 100-continue\r\n");
    let mut client = Client::begin(host.address, &request).await;
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A request to put a component, as far as its length.
fn put(admin: SocketAddr, told: &str) -> String {
    format!("PUT /component HTTP/1.1\r\nhost: {admin}\r\n{told}")
}

#[tokio::test]
async fn a_component_that_is_too_large_is_read_to_its_end() {
    let host = TestHost::serving(FAULTS)
        .with(|host| host.max_component_bytes = MAX_COMPONENT)
        .start()
        .await;
    let bytes = 3 * MAX_COMPONENT;
    let length = format!("content-length: {bytes}\r\n\r\n");
    let chunk = format!("transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n");
    // Refused by its length, and after a third of it.
    for (told, before) in [(length, 0), (chunk, bytes / 2)] {
        let mut client = Client::begin(host.admin, &put(host.admin, &told)).await;
        client.write(before).await;
        let answer = client.read_to("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        client.write(bytes - before).await;
    }
}

#[tokio::test]
async fn a_component_of_somebody_without_the_token_is_read_to_its_end() {
    let host = TestHost::serving(FAULTS)
        .with(|host| {
            host.admin_token = Some("a-secret".into());
            host.max_component_bytes = LARGE_COMPONENT;
        })
        .start()
        .await;
    for bytes in [BODY_BYTES, LARGE_COMPONENT] {
        let told = format!("content-length: {bytes}\r\n\r\n");
        let mut client = Client::begin(host.admin, &put(host.admin, &told)).await;
        let answer = client.read_to("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        client.write(bytes).await;
    }
}

/// Writes a whole request before it reads, as many clients do, and reads until
/// the answer to it is whole.
async fn write_then_read<S>(mut stream: S, head: &str, bytes: usize) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let asked = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let next = left.min(piece.len());
            stream.write_all(&piece[..next]).await.unwrap();
            left -= next;
        }
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") || !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        String::from_utf8(answer).unwrap()
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap()
}

fn large_post(target: &str, bytes: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_arrives_whole_at_a_client_that_writes_megabytes_before_it_reads() {
    let host = TestHost::serving(FAULTS).start().await;
    for bytes in [2_000_000, 3_000_000, 10_000_000, 50_000_000] {
        let stream = TcpStream::connect(host.address).await.unwrap();
        let answer = write_then_read(stream, &large_post("/scheme", bytes), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{bytes}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_over_tls_arrives_whole() {
    let (_folder, pair, host) = secured(TestHost::serving(FAULTS)).await;
    for bytes in [2_000_000, 10_000_000] {
        let stream = connect(host.address, &[&pair], &["http/1.1"])
            .await
            .unwrap();
        let answer = write_then_read(stream, &large_post("/scheme", bytes), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{bytes}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_bound_is_refused_in_an_answer_that_arrives() {
    let host = TestHost::serving(FAULTS)
        .requests(|requests| requests.max_body_bytes = Some(1000))
        .start()
        .await;
    // 100 MB are more than is read for a client to ask again.
    for bytes in [3_000_000, 100_000_000] {
        let stream = TcpStream::connect(host.address).await.unwrap();
        let answer = write_then_read(stream, &large_post("/read", bytes), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{bytes}: {answer}");
        let closes = answer.contains("connection: close\r\n");
        assert_eq!(closes, bytes == 100_000_000, "{bytes}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_head_that_cannot_be_read_does_not_reset_the_answer() {
    let host = TestHost::serving(FAULTS).start().await;
    let head = "POST / HTTP/1.1\r\nno field\r\ncontent-length: 3000000\r\n\r\n";
    let mut client = Client::begin(host.address, head).await;
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    client.write(3_000_000).await;
    // The end of the answers, and no reset.
    let ended = tokio::time::timeout(PATIENCE, client.0.read(&mut [0])).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
}
