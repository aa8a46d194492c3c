//! Sends OTLP requests: one client for each signal, by gRPC or HTTP, with the
//! signal's headers, compression, TLS and timeout.
//!
//! A request is encoded once, however often it is sent. What goes wrong is told
//! by kind, so that nobody has to read an error's text to decide.

mod encoded;
mod grpc;
mod http;
mod json;
mod request;
mod retry;
mod span_message;
mod split;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use self::http::HttpTransport;
use super::signal::{Protocol, SignalConfig};
use grpc::GrpcTransport;
pub(crate) use request::{EncodedTraces, OtlpRequest, Outgoing, Rejection};
use retry::Backoff;
pub(crate) use span_message::write_span;
pub(super) use span_message::{bytes_field, put_header};
pub(crate) use split::{MAX_REQUEST_BYTES, split};

/// Names the exporter to backends, as OTLP asks for.
const USER_AGENT: &str = concat!("fanlight-otlp-exporter-rust/", env!("CARGO_PKG_VERSION"));

/// A signal's way to its backend.
pub(crate) struct OtlpClient {
    transport: Transport,
    timeout: Duration,
}

enum Transport {
    Grpc(GrpcTransport),
    Http(HttpTransport),
}

/// Why a backend did not take a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OtlpError {
    /// It has no service for this signal: Jaeger takes traces alone.
    #[error("the backend has no service for this signal: {0}")]
    NoService(String),
    /// There is no connection to it.
    #[error("{0}")]
    Unreachable(String),
    /// It may take the request later, but not before `after`.
    #[error("{message}")]
    Transient {
        message: String,
        after: Option<Duration>,
    },
    /// It will never take this request.
    #[error("{0}")]
    Permanent(String),
    /// It gave no answer in time, or none but that it cannot now.
    #[error("not taken within {0:?}")]
    Timeout(Duration),
}

impl OtlpClient {
    /// Makes a client; it connects when there is something to send. Belongs
    /// into the runtime that it is to live on. `timeout` bounds one `send`, with
    /// all its attempts.
    ///
    /// # Errors
    /// Where the endpoint is no address, or a file for TLS cannot be used.
    pub(crate) fn new(config: &SignalConfig, timeout: Duration) -> anyhow::Result<Self> {
        // Both transports take the process's cryptography; whoever was first decides.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let transport = match config.protocol {
            Protocol::Grpc => Transport::Grpc(GrpcTransport::new(config, timeout)?),
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                Transport::Http(HttpTransport::new(config, timeout)?)
            }
        };
        Ok(Self { transport, timeout })
    }

    /// Sends a request, again where that may help; tells what the backend left
    /// out of it.
    ///
    /// # Errors
    /// Where the backend did not take it.
    ///
    /// # Cancel safety
    /// Dropped, it leaves open whether the backend has the request.
    pub(crate) async fn send(
        &self,
        request: &impl Outgoing,
    ) -> Result<Option<Rejection>, OtlpError> {
        let sent = tokio::time::timeout(self.timeout, self.attempts(request)).await;
        sent.unwrap_or(Err(OtlpError::Timeout(self.timeout)))
    }

    async fn attempts<O: Outgoing>(&self, request: &O) -> Result<Option<Rejection>, OtlpError> {
        let body = match &self.transport {
            Transport::Grpc(_) => request.protobuf(),
            Transport::Http(http) => http.encode(request)?,
        };
        let begun = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let answer = match &self.transport {
                Transport::Grpc(grpc) => grpc.send::<O::Request>(body.clone()).await,
                Transport::Http(http) => http.send::<O::Request>(body.clone()).await,
            };
            let wait = match &answer {
                Err(OtlpError::Transient { after, .. }) => backoff.next(*after),
                Err(OtlpError::Unreachable(_)) => backoff.next(None),
                _ => None,
            };
            let left = self.timeout.saturating_sub(begun.elapsed());
            match wait {
                // Who is told to wait longer than there is time says why at once.
                Some(wait) if wait < left => tokio::time::sleep(wait).await,
                _ => return answer,
            }
        }
    }
}

/// An error and its causes: what transports say by themselves is no more than
/// "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
