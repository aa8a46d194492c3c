//! What the metrics have of a request at its end.

use std::sync::Arc;
use std::time::Duration;

use fanlight_telemetry::{Exemplars, SeriesExemplars};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use opentelemetry::trace::SpanContext;

/// The instruments that record it.
#[derive(Debug)]
pub(crate) struct AtEnd {
    pub(crate) duration: Histogram<f64>,
    pub(crate) request_body: Histogram<u64>,
    pub(crate) response_body: Histogram<u64>,
    /// The exemplars of the durations.
    pub(crate) exemplars: Option<Exemplars>,
}

impl AtEnd {
    pub(crate) fn exemplars(&self, attributes: &[KeyValue]) -> Option<Arc<SeriesExemplars>> {
        self.exemplars.as_ref()?.series(attributes)
    }

    pub(crate) fn record(&self, measured: &Measured<'_>, attributes: &[KeyValue]) {
        let seconds = measured.elapsed.as_secs_f64();
        self.duration.record(seconds, attributes);
        self.request_body.record(measured.request_bytes, attributes);
        self.response_body
            .record(measured.response_bytes, attributes);
    }
}

/// What a request took.
pub(crate) struct Measured<'a> {
    /// The request's span.
    pub(crate) span: &'a SpanContext,
    pub(crate) elapsed: Duration,
    /// Bytes of its body that the guest read.
    pub(crate) request_bytes: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub(crate) response_bytes: u64,
}
