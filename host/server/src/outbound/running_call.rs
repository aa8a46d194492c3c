//! A call from its beginning to its response's head: its span, and what it counts as.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, Version};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected};
use opentelemetry::KeyValue;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::error::ErrorCodeError;
use crate::outbound::connector::ConnectTimes;
use crate::outbound::failure::{CallFailure, Denied};
use crate::outbound::metrics::ClientMetrics;
use crate::request::client_span::ClientSpan;

/// A call until its response's head. Dropped before, it is cut off with its guest.
pub(crate) struct RunningCall {
    /// None once it has ended.
    span: Option<ClientSpan>,
    begun: Instant,
    metrics: Arc<ClientMetrics>,
}

impl RunningCall {
    pub(crate) fn begin(span: ClientSpan, metrics: Arc<ClientMetrics>) -> Self {
        Self {
            span: Some(span),
            begun: Instant::now(),
            metrics,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records with whom the call's connection is, and its steps where the call waited
    /// for them: a connection may be older.
    pub(crate) fn record_connection(&mut self, captured: &CaptureConnection, called_at: Instant) {
        let metadata = captured.connection_metadata();
        let times = metadata.as_ref().and_then(times_of);
        let (Some(times), Some(span)) = (times, &mut self.span) else {
            return;
        };
        if let Some(peer) = times.peer {
            span.connected_to(peer);
        }
        if times.begun < called_at {
            return;
        }
        if let Some(resolved) = times.resolved {
            span.add_event("dns.resolved", resolved);
        }
        span.add_event("tcp.connected", times.connected);
        // With TLS, after the handshake.
        span.add_event("connection.ready", Instant::now());
    }

    /// Ends it with its response's head; gives what its metrics are labelled with.
    pub(crate) fn respond(&mut self, status: StatusCode, version: Version) -> Vec<KeyValue> {
        let span = self.span.take();
        span.map_or_else(Vec::new, |span| span.respond(status, version))
    }

    /// Ends it with a failure; gives what the guest receives.
    pub(crate) fn fail(&mut self, failure: CallFailure) -> Error {
        // What is not called is the guest's to choose, and would be a series each time.
        let is_called = failure.denied().is_none() && !matches!(failure, CallFailure::InvalidUri);
        let (begun, metrics) = (self.begun, Arc::clone(&self.metrics));
        match self.span.take() {
            None => ErrorCode::from(failure).into(),
            Some(span) => end_with(failure, span, |labels| {
                if is_called {
                    metrics.failed(&labels, begun.elapsed());
                }
            }),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            self.metrics.failed(&span.cut_off(), self.begun.elapsed());
        }
    }
}

/// A call that no client makes, since nothing is allowed or the request's guest has made
/// its calls.
pub(crate) fn deny(why: Denied, span: ClientSpan) -> Error {
    end_with(CallFailure::Denied(why), span, drop)
}

/// Ends the span of a call that failed; gives what the guest receives.
fn end_with(
    failure: CallFailure,
    mut span: ClientSpan,
    record: impl FnOnce(Vec<KeyValue>),
) -> Error {
    let denied = failure.denied();
    let code = ErrorCodeError(failure.into());
    let why = match denied {
        Some(denied) => {
            span.denied_by(denied.rule());
            denied.to_string()
        }
        None => code.to_string(),
    };
    record(span.fail(code.name(), why));
    code.0.into()
}

fn times_of(connected: &Connected) -> Option<ConnectTimes> {
    let mut extensions = http::Extensions::new();
    connected.get_extras(&mut extensions);
    extensions.remove()
}
