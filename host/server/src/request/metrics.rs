//! The instruments for requests that are served, by the semantic conventions.

pub(crate) mod at_end;
pub(crate) mod series_cache;

use std::num::NonZeroU32;

use fanlight_telemetry::Telemetry;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter, UpDownCounter};

use crate::error::HandleError;
use crate::request::info::RequestInfo;
use crate::request::metrics::at_end::{AtEnd, Measured};
use crate::request::metrics::series_cache::{Ended, RequestSeries, Running, SeriesCache};
use crate::request::usage::GuestMetrics;

const DURATION: &str = "http.server.request.duration";
/// The bounds of latency histograms, in seconds: the semantic conventions' own.
pub(crate) static LATENCY_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// The bounds of histograms of body sizes, in bytes, each four times the one
/// before: the conventions name none, and the SDK's own end at 10 kB.
pub(crate) const SIZE_BOUNDS: [f64; 12] = [
    0.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
];

/// The instruments for requests that are served.
#[derive(Debug)]
pub(crate) struct ServerMetrics {
    active: UpDownCounter<i64>,
    running: SeriesCache<Running>,
    at_end: AtEnd,
    ended: SeriesCache<Ended>,
    rejected: Counter<u64>,
    traps: Counter<u64>,
    exits: Counter<u64>,
    /// Those for what the guests of requests take.
    pub(crate) guests: GuestMetrics,
}

impl ServerMetrics {
    pub(crate) fn new(meter: &Meter, cpu_sample_period: Option<NonZeroU32>) -> Self {
        let at_end = AtEnd {
            duration: meter
                .f64_histogram(DURATION)
                .with_unit("s")
                .with_description("Duration of HTTP server requests")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            request_body: meter
                .u64_histogram("http.server.request.body.size")
                .with_unit("By")
                .with_description("Size of HTTP server request bodies")
                .with_boundaries(SIZE_BOUNDS.to_vec())
                .build(),
            response_body: meter
                .u64_histogram("http.server.response.body.size")
                .with_unit("By")
                .with_description("Size of HTTP server response bodies")
                .with_boundaries(SIZE_BOUNDS.to_vec())
                .build(),
            exemplars: None,
        };
        Self {
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .with_description("Number of active HTTP server requests")
                .build(),
            running: SeriesCache::default(),
            at_end,
            ended: SeriesCache::default(),
            rejected: meter
                .u64_counter("fanlight.connection.failed")
                .with_unit("{connection}")
                .with_description("Connections that ended with an error: of the protocol, in a handshake, half a head")
                .build(),
            traps: meter
                .u64_counter("fanlight.guest.traps")
                .with_unit("{trap}")
                .with_description("Guests that trapped, by what the client had of the answer")
                .build(),
            exits: meter
                .u64_counter("fanlight.guest.exits")
                .with_unit("{exit}")
                .with_description("Guests that exited with a failure, by what the client had of the answer")
                .build(),
            guests: GuestMetrics::new(meter, cpu_sample_period),
        }
    }

    /// Keeps exemplars of requests that are sampled, where they can be scraped.
    pub(crate) fn with_exemplars(mut self, telemetry: &Telemetry) -> Self {
        self.at_end.exemplars = telemetry.exemplars(DURATION, &LATENCY_BOUNDS);
        self
    }

    /// Counts a request in.
    pub(crate) fn request_started(&self, request: &RequestInfo) {
        self.count_active(request, 1);
    }

    /// Counts a request out, and records what it took.
    pub(crate) fn request_ended(&self, series: &RequestSeries<'_>, measured: &Measured<'_>) {
        self.count_active(series.request, -1);
        let bound = self.ended.find(
            |known| known.is(series),
            || Ended::bind(&self.at_end, series),
        );
        match bound {
            Some(bound) => bound.record(measured),
            None => self.at_end.record(measured, &series.attributes()),
        }
    }

    fn count_active(&self, request: &RequestInfo, change: i64) {
        let bound = self.running.find(
            |known| known.is(request),
            || Running::bind(&self.active, request),
        );
        match bound {
            Some(bound) => bound.add(change),
            None => self.active.add(change, &request.active_attributes()),
        }
    }

    /// Counts a guest that trapped, or exited with a failure.
    pub(crate) fn guest_failed(&self, failure: &HandleError, phase: &'static str) {
        let counter = match failure.trap() {
            Some(_) => &self.traps,
            None => &self.exits,
        };
        counter.add(1, &[KeyValue::new("fanlight.phase", phase)]);
    }

    /// Counts a connection that hyper ended: what it rejects itself has no span.
    pub(crate) fn connection_failed(&self) {
        self.rejected.add(1, &[]);
    }
}
