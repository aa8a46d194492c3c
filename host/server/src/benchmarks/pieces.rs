//! The pieces of a request that are measured and need no component.
//!
//! `benches/` times them; `tests/instructions` compiles them with the floors below
//! alone, and counts. What they leave behind waits until it is discarded, so that
//! nothing else runs meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};

use crate::config::RequestLimits;
use crate::request::context::RequestContext;
use crate::request::metrics::ServerMetrics;
use crate::request::peer::{Peer, Scheme};
use crate::request::tracer::ServerTracer;
use fanlight_telemetry::propagation::trace_context;
use fanlight_telemetry::{Telemetry, TelemetryConfig, TelemetryError};

/// Server spans that may be queued before they are discarded. More would be
/// bytes enough for a request of OTLP, and wake the task that sends.
pub const SPANS_A_ROUND: usize = 1_000;

/// Who asks.
pub(crate) const PEER: Peer = Peer {
    address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4711),
    scheme: Scheme::Http,
};

/// Reading the caller's trace context from a request's headers.
#[derive(Debug)]
pub struct TraceContext {
    headers: HeaderMap,
}

impl TraceContext {
    /// Takes a usual request's headers, with this `traceparent`.
    pub fn new(traceparent: &'static str) -> Self {
        let traceparent = (
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(traceparent),
        );
        Self {
            headers: usual_headers().chain([traceparent]).collect(),
        }
    }

    /// Reads it; whether the headers name a caller.
    pub fn extract(&self) -> bool {
        trace_context::extract(&self.headers).is_some_and(|caller| caller.is_valid())
    }
}

/// Server spans from their start to the queue, with their request's metrics.
pub struct ServerSpans {
    tracer: Arc<ServerTracer>,
    request: Request<()>,
    telemetry: Telemetry,
}

impl ServerSpans {
    /// Starts a telemetry that sends nothing.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn new() -> Result<Self, TelemetryError> {
        let telemetry = telemetry()?;
        // A sample of the processor's time is taken by chance, and there is no guest.
        let metrics = Arc::new(ServerMetrics::new(&telemetry.meter(), None));
        let limits = RequestLimits::default();
        Ok(Self {
            tracer: Arc::new(ServerTracer::new(&telemetry, &limits, metrics)),
            request: usual_request(Uri::from_static("/"), ()),
            telemetry,
        })
    }

    /// Starts one for a request, and ends it with its answer.
    pub fn start_and_end(&self) {
        let request = RequestContext::start(&self.tracer, &self.request, PEER);
        request.span().set_status_code(StatusCode::OK);
        request.end(6);
    }

    /// Forgets the spans that are queued, and tells how many those were.
    pub fn discard(&self) -> usize {
        self.telemetry.discard_spans()
    }
}

/// Telemetry that keeps its spans: the benchmark ends before they would be sent. Metrics have their reader for Prometheus alone.
pub(crate) fn telemetry() -> Result<Telemetry, TelemetryError> {
    let vars = [
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "86400000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Telemetry::init(&TelemetryConfig::from_vars(vars, "benchmark"))
}

/// What a program that is no browser sends.
fn usual_headers() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    [
        (header::HOST, "localhost:8000"),
        (header::USER_AGENT, "benchmark/1.0"),
        (header::ACCEPT, "*/*"),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// A request with such headers.
pub(crate) fn usual_request<B>(target: Uri, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.uri_mut() = target;
    request.headers_mut().extend(usual_headers());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_found_where_there_is_one() {
        let named = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(TraceContext::new(named).extract());
        assert!(!TraceContext::new(&named[1..]).extract());
    }

    #[test]
    fn server_spans_wait_until_they_are_discarded() {
        let spans = ServerSpans::new().unwrap();
        for _ in 0..SPANS_A_ROUND {
            spans.start_and_end();
        }
        assert_eq!(spans.discard(), SPANS_A_ROUND);
        assert_eq!(spans.discard(), 0);
        spans.start_and_end();
        assert_eq!(spans.discard(), 1);
    }
}
