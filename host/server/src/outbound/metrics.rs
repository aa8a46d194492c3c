//! The instruments for calls of guests, by the semantic conventions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use crate::request::metrics::{LATENCY_BOUNDS, SIZE_BOUNDS};

/// The instruments for calls of guests.
#[derive(Debug)]
pub(crate) struct ClientMetrics {
    duration: Histogram<f64>,
    request_body: Histogram<u64>,
    response_body: Histogram<u64>,
}

/// A call whose response head has come: what its metrics are labelled with.
pub(crate) struct EndedCall {
    metrics: Arc<ClientMetrics>,
    labels: Vec<KeyValue>,
    sent: Arc<AtomicU64>,
}

impl ClientMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let size = |name, description| {
            meter
                .u64_histogram(name)
                .with_unit("By")
                .with_description(description)
                .with_boundaries(SIZE_BOUNDS.to_vec())
                .build()
        };
        Self {
            duration: meter
                .f64_histogram("http.client.request.duration")
                .with_unit("s")
                .with_description("Duration of HTTP client requests")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            request_body: size(
                "http.client.request.body.size",
                "Size of HTTP client request bodies",
            ),
            response_body: size(
                "http.client.response.body.size",
                "Size of HTTP client response bodies",
            ),
        }
    }

    /// Records a call whose response head has come. What it sends is counted in `sent`.
    pub(crate) fn ended(
        self: &Arc<Self>,
        labels: Vec<KeyValue>,
        took: Duration,
        sent: Arc<AtomicU64>,
    ) -> EndedCall {
        self.duration.record(took.as_secs_f64(), &labels);
        EndedCall {
            metrics: Arc::clone(self),
            labels,
            sent,
        }
    }

    /// Records a call that failed.
    pub(crate) fn failed(&self, labels: &[KeyValue], took: Duration) {
        self.duration.record(took.as_secs_f64(), labels);
    }
}

impl EndedCall {
    /// Records the sizes of both bodies; the response's has `bytes`.
    pub(crate) fn record_bodies(&self, bytes: u64) {
        let sent = self.sent.load(Ordering::Relaxed);
        self.metrics.request_body.record(sent, &self.labels);
        self.metrics.response_body.record(bytes, &self.labels);
    }
}
