//! How long a request is tried, with a backend that says when to come back.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::telemetry::TelemetryConfig;

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

async fn send(address: SocketAddr, timeout: Duration) -> Result<Option<Rejection>, OtlpError> {
    let endpoint = format!("http://{address}");
    let vars = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = TelemetryConfig::from_vars(vars, "unused").traces;
    let client = OtlpClient::new(&config, timeout).unwrap();
    client.send(&ExportTraceServiceRequest::default()).await
}

const LATER: &str = "HTTP/1.1 503 Later\r\nretry-after: 1\r\n";
const IN_TEN_MINUTES: &str = "HTTP/1.1 503 Later\r\nretry-after: 600\r\n";
const IN_TWO_SECONDS: &str = "HTTP/1.1 503 Later\r\nretry-after: 2\r\n";
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
