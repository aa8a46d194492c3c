//! Sends OTLP requests: one client for each signal, by gRPC or HTTP, with the
//! signal's headers, compression, TLS and timeout.
//!
//! A request is encoded once, however often it is sent. Errors have kinds, so that
//! callers decide without reading an error's text.
//!
//! The stock exporters are not used: they read the process's environment by
//! themselves, give an error as text alone, encode a batch again for each attempt,
//! and do not say which items a backend rejected. The tests of `trace` compare what
//! both send.

pub(crate) mod closing;
pub(crate) mod encoded;
pub(crate) mod error;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod split;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::http::HttpTransport;
use crate::config::protocol::Protocol;
use crate::config::signal::SignalConfig;
use crate::otlp::closing::Closing;
use crate::otlp::error::{ExporterError, OtlpError, Unanswered};
use crate::otlp::grpc::GrpcTransport;
use crate::otlp::request::{EncodedRequest, Rejection};
use crate::otlp::retry::Backoff;

/// The longest pause that a backend can ask for.
const MAX_THROTTLE: Duration = Duration::from_secs(60);

/// Sends a signal's requests to its backend.
pub(crate) struct OtlpClient {
    transport: Transport,
    timeout: Duration,
    /// Whether the endpoint is the default and no collector has listened there yet.
    absence_is_expected: AtomicBool,
    /// The end of a pause that the backend asked for.
    throttled: Mutex<Option<Instant>>,
    /// Once it has started, the client does not wait for a backend.
    closing: Closing,
}

enum Transport {
    Grpc(GrpcTransport),
    Http(HttpTransport),
}

impl OtlpClient {
    /// Makes a client, which connects for the first request. Call it within the runtime
    /// that the client uses. `timeout` bounds one `send`, with all its attempts.
    ///
    /// # Errors
    /// Where the endpoint is no address, or a file for TLS cannot be used.
    pub(crate) fn new(config: &SignalConfig, timeout: Duration) -> Result<Self, ExporterError> {
        // Both transports take the process's cryptography; the first one decides.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let transport = match config.protocol {
            Protocol::Grpc => Transport::Grpc(GrpcTransport::new(config, timeout)?),
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                Transport::Http(HttpTransport::new(config, timeout)?)
            }
        };
        Ok(Self {
            transport,
            timeout,
            absence_is_expected: AtomicBool::new(config.endpoint_is_default),
            throttled: Mutex::default(),
            closing: Closing::default(),
        })
    }

    /// Once `closing` has started, the client makes a few attempts without waiting, and
    /// ends them at the deadline.
    pub(crate) fn closed_by(&mut self, closing: Closing) {
        self.closing = closing;
    }

    /// Sends a request, and sends it again after a failure that may pass; returns the
    /// items that the backend rejected. If the backend asked for a pause that was longer
    /// than the previous request's time, the client waits for its end first. It calls
    /// `trouble` once if it goes on after a few attempts.
    ///
    /// # Errors
    /// Where the backend did not take it.
    ///
    /// # Cancel safety
    /// Dropped, it leaves open whether the backend has the request.
    pub(crate) async fn send(
        &self,
        request: &impl EncodedRequest,
        trouble: impl Fn(&OtlpError),
    ) -> Result<Option<Rejection>, OtlpError> {
        self.wait_where_throttled().await?;
        let started_at = Instant::now();
        let unanswered = Unanswered::default();
        let attempts = self.attempts(request, trouble, &unanswered);
        let sent = tokio::select! {
            // After the deadline no attempt starts.
            biased;
            () = self.closing.deadline() => {
                let millis = u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                Err(OtlpError::Timeout(Duration::from_millis(millis)))
            }
            sent = tokio::time::timeout(self.timeout, attempts) => {
                sent.unwrap_or(Err(OtlpError::Timeout(self.timeout)))
            }
        };
        match sent {
            Err(
                error @ (OtlpError::Timeout(_)
                | OtlpError::Unreachable(_)
                | OtlpError::Transient { .. }),
            ) if unanswered.is_set() => Err(OtlpError::Unanswered(error.to_string())),
            sent => sent,
        }
    }

    async fn attempts<O: EncodedRequest>(
        &self,
        request: &O,
        trouble: impl Fn(&OtlpError),
        unanswered: &Unanswered,
    ) -> Result<Option<Rejection>, OtlpError> {
        let body = match &self.transport {
            Transport::Grpc(_) => request.protobuf(),
            Transport::Http(http) => http.encode(request)?,
        };
        let started_at = Instant::now();
        let mut backoff = Backoff::default();
        let mut is_reported = false;
        loop {
            let response = match &self.transport {
                Transport::Grpc(grpc) => grpc.send::<O::Request>(body.clone(), unanswered).await,
                Transport::Http(http) => http.send::<O::Request>(body.clone(), unanswered).await,
            };
            if !matches!(response, Err(OtlpError::Unreachable(_))) {
                self.absence_is_expected.store(false, Ordering::Relaxed);
            }
            let error = match response {
                Err(error @ (OtlpError::Unreachable(_) | OtlpError::Transient { .. })) => error,
                response => return response,
            };
            if backoff.had_a_few() {
                if self.gives_up(&error) {
                    return Err(error);
                }
                if !is_reported {
                    trouble(&error);
                    is_reported = true;
                }
            }
            let after = match &error {
                OtlpError::Transient { after, .. } => *after,
                _ => None,
            };
            let wait = backoff.next(after);
            if wait >= self.timeout.saturating_sub(started_at.elapsed()) {
                // The pause is longer than the time that is left: fail at once.
                *self.throttled.lock() = after.map(|it| Instant::now() + it.min(MAX_THROTTLE));
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.closing.started(), if after.is_none() => {}
            }
        }
    }

    /// Whether a few attempts are enough. Items queued for a backend that was never
    /// started would only take room.
    fn gives_up(&self, error: &OtlpError) -> bool {
        let is_absent = matches!(error, OtlpError::Unreachable(_));
        let is_expected = is_absent && self.absence_is_expected.load(Ordering::Relaxed);
        is_expected || self.closing.has_started()
    }

    async fn wait_where_throttled(&self) -> Result<(), OtlpError> {
        let now = Instant::now();
        let Some(until) = self.throttled.lock().filter(|until| *until > now) else {
            return Ok(());
        };
        tokio::select! {
            () = tokio::time::sleep_until(until) => Ok(()),
            () = self.closing.started() => Err(OtlpError::Transient {
                message: "the backend asked for nothing to be sent for now".to_owned(),
                after: Some(until - now),
            }),
        }
    }
}
