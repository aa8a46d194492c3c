//! How long a request is tried, with a backend that says when to come back.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::TelemetryConfig;

/// Answers one request after the other with these, each on a connection of its
/// own; gives back how many were asked for.
async fn backend(answers: &'static [&'static str]) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            // The request's body is empty.
            let answer = format!("{answer}connection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        answers.len()
    });
    (address, task)
}

fn client(address: SocketAddr, timeout: Duration) -> OtlpClient {
    client_of("http/protobuf", address, timeout)
}

fn client_of(protocol: &str, address: SocketAddr, timeout: Duration) -> OtlpClient {
    let endpoint = format!("http://{address}");
    let vars = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = TelemetryConfig::from_vars(vars, "unused").traces;
    OtlpClient::new(&config, timeout).unwrap()
}

async fn send_by(client: &OtlpClient) -> Result<Option<Rejection>, OtlpError> {
    client
        .send(&ExportTraceServiceRequest::default(), |_| {})
        .await
}

async fn send(address: SocketAddr, timeout: Duration) -> Result<Option<Rejection>, OtlpError> {
    send_by(&client(address, timeout)).await
}

const LATER: &str = "HTTP/1.1 503 Later\r\nretry-after: 1\r\n";
const IN_TEN_MINUTES: &str = "HTTP/1.1 503 Later\r\nretry-after: 600\r\n";
const IN_TWO_SECONDS: &str = "HTTP/1.1 503 Later\r\nretry-after: 2\r\n";
const BUSY: &str = "HTTP/1.1 503 Later\r\n";
const TAKEN: &str = "HTTP/1.1 200 OK\r\n";

#[tokio::test]
async fn a_request_is_sent_again_when_the_backend_asks_for_it() {
    let (address, backend) = backend(&[LATER, TAKEN]).await;
    assert_eq!(send(address, Duration::from_secs(30)).await.unwrap(), None);
    assert_eq!(backend.await.unwrap(), 2);
}

/// A wait that is longer than the time would end in `Timeout`, which says
/// nothing of the backend, and hold up all that is behind the request.
#[tokio::test]
async fn a_wait_that_is_longer_than_the_time_is_not_begun() {
    let (address, backend) = backend(&[IN_TEN_MINUTES]).await;
    let error = send(address, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, OtlpError::Transient { .. }), "{error:?}");
    assert_eq!(error.to_string(), "HTTP 503 Service Unavailable");
    assert_eq!(backend.await.unwrap(), 1);
}

#[tokio::test]
async fn what_earlier_attempts_took_is_not_left_for_waits() {
    let (address, backend) = backend(&[LATER, IN_TWO_SECONDS]).await;
    // Two seconds would fit into the whole of it, and not into the rest.
    let error = send(address, Duration::from_millis(2_900))
        .await
        .unwrap_err();
    assert!(matches!(error, OtlpError::Transient { .. }), "{error:?}");
    assert_eq!(backend.await.unwrap(), 2);
}

#[tokio::test]
async fn a_busy_backend_is_asked_for_as_long_as_there_is_time() {
    let (address, backend) = backend(&[BUSY, BUSY, BUSY, BUSY, BUSY, TAKEN]).await;
    assert_eq!(send(address, Duration::from_secs(30)).await.unwrap(), None);
    assert_eq!(backend.await.unwrap(), 6);
}

#[tokio::test]
async fn at_the_end_a_few_attempts_have_to_do() {
    let (address, backend) = backend(&[BUSY, BUSY, BUSY, BUSY]).await;
    let mut client = client(address, Duration::from_secs(30));
    let closing = Closing::default();
    closing.start(Instant::now() + Duration::from_secs(30));
    client.closed_by(closing);
    assert!(send_by(&client).await.is_err());
    assert_eq!(backend.await.unwrap(), 4);
}

#[tokio::test]
async fn where_nobody_need_be_a_few_attempts_have_to_do() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let client = client(address, Duration::from_secs(600));
    client.absence_is_expected.store(true, Ordering::Relaxed);
    // It would go on for ten minutes.
    let sent = tokio::time::timeout(Duration::from_secs(30), send_by(&client)).await;
    assert!(matches!(sent.unwrap(), Err(OtlpError::Unreachable(_))));
}

#[tokio::test]
async fn nothing_is_sent_for_as_long_as_the_backend_asked_for() {
    let (address, backend) = backend(&[IN_TEN_MINUTES, TAKEN]).await;
    let mut client = client(address, Duration::from_secs(5));
    let closing = Closing::default();
    client.closed_by(closing.clone());
    assert!(send_by(&client).await.is_err());
    // The next one waits, unless the process ends.
    let next = send_by(&client);
    let waits = tokio::time::timeout(Duration::from_millis(200), next).await;
    assert!(waits.is_err(), "it was sent: {waits:?}");
    closing.start(Instant::now() + Duration::from_secs(30));
    let error = send_by(&client).await.unwrap_err();
    assert!(matches!(error, OtlpError::Transient { .. }), "{error:?}");
    assert!(!backend.is_finished());
    backend.abort();
}

/// Takes each request and answers none, for as long as the listener is held.
async fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn one_span() -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![Default::default()],
    }
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_told_from_what_was_not_sent() {
    let (_listener, address) = silent().await;
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let client = client_of(protocol, address, Duration::from_millis(500));
        let error = client.send(&one_span(), |_| {}).await.unwrap_err();
        assert!(matches!(error, OtlpError::Unanswered(_)), "{error:?}");
    }
    let (listener, address) = silent().await;
    drop(listener);
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let client = client_of(protocol, address, Duration::from_millis(500));
        let error = client.send(&one_span(), |_| {}).await.unwrap_err();
        assert!(!matches!(error, OtlpError::Unanswered(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_request_under_way_ends_at_the_deadline_of_the_end() {
    let (_listener, address) = silent().await;
    for protocol in ["grpc", "http/protobuf", "http/json"] {
        let mut client = client_of(protocol, address, Duration::from_secs(3_600));
        let closing = Closing::default();
        client.closed_by(closing.clone());
        let span = one_span();
        let sending = client.send(&span, |_| {});
        let end = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            closing.start(Instant::now() + Duration::from_millis(200));
        };
        let both = async { tokio::join!(sending, end) };
        let (sent, ()) = tokio::time::timeout(Duration::from_secs(30), both)
            .await
            .unwrap();
        assert!(matches!(sent, Err(OtlpError::Unanswered(_))), "{sent:?}");
    }
}
