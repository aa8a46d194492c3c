//! `Expect: 100-continue`: a client that waits for leave to send its body has it
//! before the head of the answer, once the guest has taken the body or asks for it.

use std::net::SocketAddr;

use fanlight_tests::PATIENCE;
use fanlight_tests::fixture::{ECHO, FAULTS};
use fanlight_tests::host::TestHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The whole of an interim answer.
const LEAVE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// How a body's end is said, and how it is sent.
const BODIES: [(&str, &str); 2] = [
    ("content-length: 5", "hello"),
    ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
];

struct Client {
    stream: TcpStream,
    come: Vec<u8>,
}

impl Client {
    /// Sends a head that asks for leave.
    async fn begin(address: SocketAddr, target: &str, version: &str, field: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let come = Vec::new();
        let mut client = Self { stream, come };
        let head = format!(
            "POST {target} HTTP/{version}\r\nhost: x\r\nconnection: close\r\n{field}\r\n\
             expect: 100-continue\r\n\r\n"
        );
        client.send(&head).await;
        client
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that has come once this has.
    async fn until(&mut self, end: &str) -> String {
        let read = async {
            while !String::from_utf8_lossy(&self.come).contains(end) {
                let bytes = self.stream.read_buf(&mut self.come).await.unwrap();
                assert_ne!(bytes, 0, "{}", String::from_utf8_lossy(&self.come));
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
        String::from_utf8_lossy(&self.come).into_owned()
    }

    /// All that comes until the server closes.
    async fn ended(mut self) -> String {
        let read = self.stream.read_to_end(&mut self.come);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        String::from_utf8(self.come).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leave_is_given_before_the_head_of_an_answer_that_comes_before_the_body_is_read() {
    let host = TestHost::serving(ECHO).start().await;
    for (field, body) in BODIES {
        let mut client = Client::begin(host.address, "/", "1.1", field).await;
        let come = client.until("\r\n\r\n").await;
        assert!(come.starts_with(LEAVE), "{field}: {come}");
        client.send(body).await;
        let come = client.ended().await;
        let answer = come.strip_prefix(LEAVE).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{field}: {come}");
        assert!(answer.contains("hello"), "{field}: {come}");
        assert_eq!(come.matches("HTTP/1.1 ").count(), 2, "{field}: {come}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leave_is_given_by_whichever_way_the_guest_takes_the_body() {
    let host = TestHost::serving(FAULTS).start().await;
    // All of it in one call, none of it and then the rest, by `wasi:http` before the
    // answer and behind it, and as the SDK does.
    for target in ["/take", "/take?max=0", "/read", "/read-late", "/whole"] {
        for (field, body) in BODIES {
            let mut client = Client::begin(host.address, target, "1.1", field).await;
            let come = client.until("\r\n\r\n").await;
            assert!(come.starts_with(LEAVE), "{target}, {field}: {come}");
            client.send(body).await;
            let come = client.ended().await;
            assert!(come.contains("5 bytes"), "{target}, {field}: {come}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_takes_the_body_long_after_its_head_has_it_without_leave() {
    let host = TestHost::serving(FAULTS).start().await;
    for (field, body) in BODIES {
        let mut client = Client::begin(host.address, "/read-late?ms=200", "1.1", field).await;
        let come = client.until("reading: ").await;
        // After the head of an answer none can be given (RFC 9110 §15.2).
        assert!(come.starts_with("HTTP/1.1 200 "), "{field}: {come}");
        client.send(body).await;
        let come = client.ended().await;
        assert!(come.contains("5 bytes"), "{field}: {come}");
        assert_eq!(come.matches("HTTP/1.1 ").count(), 1, "{field}: {come}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_leave_is_given_where_nobody_takes_the_body_or_the_client_knows_of_none() {
    let host = TestHost::serving(FAULTS).start().await;
    let client = Client::begin(host.address, "/scheme", "1.1", BODIES[0].0).await;
    let come = client.ended().await;
    assert!(come.starts_with("HTTP/1.1 200 "), "{come}");
    assert!(!come.contains(LEAVE), "{come}");
    // HTTP/1.0 has no interim answers.
    let mut client = Client::begin(host.address, "/whole", "1.0", BODIES[0].0).await;
    client.send("hello").await;
    let come = client.ended().await;
    assert!(come.starts_with("HTTP/1.0 200 "), "{come}");
    assert!(come.ends_with("\r\n\r\n5 bytes\n"), "{come}");
}
