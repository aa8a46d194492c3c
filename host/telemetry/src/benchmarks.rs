//! The way of spans to the wire, in pieces that benchmarks can run.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::config::batch::BatchConfig;
use crate::config::resource;
use crate::export::pipeline::ExportPipeline;
use crate::otlp::closing::Closing;
use crate::otlp::error::ExporterError;
use crate::trace::batch::SpanExporter;
use crate::trace::queue::SpanQueue;
use crate::{GUEST_SCOPE, HOST_SCOPE, Telemetry, TelemetryConfig};

impl Telemetry {
    /// Forgets the spans that are queued, and tells how many those were.
    pub fn discard_spans(&self) -> usize {
        self.spans.discard()
    }
}

/// The way of ended spans to a backend: from their ends to a request's bytes.
pub struct SpanEncoding {
    queue: SpanQueue,
    exporter: SpanExporter,
}

/// Spans that have ended.
#[derive(Clone)]
pub struct SpanBatch(Vec<SpanData>);

impl SpanEncoding {
    /// Makes the last stop before the connection, without the connection.
    ///
    /// # Errors
    /// Where its configuration is refused.
    pub fn new() -> Result<Self, ExporterError> {
        let vars = [("OTEL_TRACES_EXPORTER".to_owned(), "none".to_owned())];
        let config = TelemetryConfig::from_vars(vars, "benchmark");
        let traces = &config.traces;
        let pipeline = ExportPipeline::new(
            "traces",
            traces,
            traces.timeout,
            Arc::default(),
            Closing::default(),
        )?;
        Ok(Self {
            queue: SpanQueue::new(BatchConfig::default(), true, Arc::default()),
            exporter: SpanExporter::new(pipeline.into(), &resource::resource(&config.resource)),
        })
    }

    /// The spans of this many requests: for each the host's, and two of the guest's.
    /// They are the same every time, so that counts of instructions are.
    pub fn batch(&self, requests: u64) -> SpanBatch {
        SpanBatch((1..=requests).flat_map(spans_of_a_request).collect())
    }

    /// Writes them one by one, and a request of OTLP of them all.
    pub fn encode(&self, batch: SpanBatch) -> Bytes {
        for span in &batch.0 {
            self.queue.push(span);
        }
        let parts = self.queue.take();
        let request = self.exporter.request(&parts).message;
        self.queue.done(parts);
        request
    }
}

fn spans_of_a_request(number: u64) -> [SpanData; 3] {
    let host = InstrumentationScope::builder(HOST_SCOPE).build();
    let guest = InstrumentationScope::builder(GUEST_SCOPE).build();
    let id = |place: u64| SpanId::from(number << 2 | place);
    let span = |place: u64, name: &'static str, scope| SpanData {
        span_context: SpanContext::new(
            TraceId::from(u128::from(number)),
            id(place),
            TraceFlags::SAMPLED,
            false,
            Default::default(),
        ),
        parent_span_id: match place {
            1 => SpanId::INVALID,
            below => id(below - 1),
        },
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        end_time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_010),
        attributes: vec![KeyValue::new("step", i64::try_from(place).unwrap_or(0))],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope,
    };
    [
        SpanData {
            span_kind: SpanKind::Server,
            attributes: server_attributes(),
            ..span(1, "GET /", host)
        },
        span(2, "handle", guest.clone()),
        span(3, "answer", guest),
    ]
}

/// The attributes of a usual request's server span.
fn server_attributes() -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("url.path", "/"),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("server.address", "localhost"),
        KeyValue::new("server.port", 8000),
        KeyValue::new("network.peer.address", "127.0.0.1"),
        KeyValue::new("network.peer.port", 4711),
        KeyValue::new("network.protocol.version", "1.1"),
        KeyValue::new("client.address", "127.0.0.1"),
        KeyValue::new("user_agent.original", "benchmark/1.0"),
        KeyValue::new(
            "fanlight.component.digest",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        KeyValue::new("fanlight.component.version", "9f86d081884c"),
        KeyValue::new("fanlight.component.generation", 1),
        KeyValue::new("http.route", "/"),
        KeyValue::new("http.response.status_code", 200),
    ]
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    use prost::Message;

    use super::*;

    #[test]
    fn a_batch_is_encoded_whole() {
        let encoding = SpanEncoding::new().unwrap();
        let encoded = encoding.encode(encoding.batch(5));
        let request = ExportTraceServiceRequest::decode(encoded).unwrap();
        let scopes = request.resource_spans.iter().flat_map(|it| &it.scope_spans);
        let spans: Vec<_> = scopes.flat_map(|scope| &scope.spans).collect();
        // A server span and two of the guest's for each request.
        assert_eq!(spans.len(), 15);
        assert_eq!(spans.iter().filter(|it| it.kind == 2).count(), 5);
    }
}
