//! What leaves here is what the stock exporter would have sent.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use prost::Message;

use crate::TelemetryConfig;
use crate::config::batch::BatchConfig;
use crate::export::pipeline::ExportPipeline;
use crate::otlp::closing::Closing;
use crate::trace::batch::SpanExporter;
use crate::trace::queue::SpanQueue;

/// Keeps what it is given to send.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Bytes>>>);

#[tonic::async_trait]
impl HttpClient for Kept {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.0.lock().unwrap().push(request.into_body());
        Ok(Response::new(Bytes::new()))
    }
}

fn context(id: u8, state: &[(&str, &str)], is_remote: bool) -> SpanContext {
    let state = TraceState::from_key_value(state.iter().copied()).unwrap();
    let (trace, span) = (TraceId::from_bytes([id; 16]), SpanId::from_bytes([id; 8]));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, state)
}

fn attributes() -> Vec<KeyValue> {
    let list = |array| Value::Array(array);
    vec![
        KeyValue::new("text", "äöü"),
        KeyValue::new("bool", true),
        KeyValue::new("integer", i64::MIN),
        KeyValue::new("float", f64::MAX),
        KeyValue::new("texts", list(Array::String(vec!["a".into(), "".into()]))),
        KeyValue::new("bools", list(Array::Bool(vec![true, false]))),
        KeyValue::new("integers", list(Array::I64(vec![]))),
        KeyValue::new("floats", list(Array::F64(vec![0.5, f64::NEG_INFINITY]))),
    ]
}

/// Two spans of different scopes, one with all that a span can have.
fn spans() -> Vec<SpanData> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut events = SpanEvents::default();
    events.events.push(Event::new("e", at, attributes(), 7));
    events.dropped_count = 3;
    let mut links = SpanLinks::default();
    let linked = context(9, &[("vendor", "1")], true);
    links.links.push(Link::new(linked, attributes(), 2));
    links.dropped_count = 1;
    let full = SpanData {
        span_context: context(1, &[("b", "2"), ("a", "1")], false),
        parent_span_id: SpanId::from_bytes([5; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: "GET /".into(),
        start_time: at,
        end_time: at + Duration::from_nanos(1_500),
        attributes: attributes(),
        dropped_attributes_count: 4,
        events,
        links,
        status: Status::error("broken"),
        instrumentation_scope: InstrumentationScope::builder("one")
            .with_version("1")
            .build(),
    };
    let plain = SpanData {
        span_context: context(2, &[], false),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Ok,
        instrumentation_scope: InstrumentationScope::builder("two").build(),
        ..full.clone()
    };
    vec![full, plain]
}

/// Scopes are grouped by a map, in no order.
fn sorted(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    for resource in &mut request.resource_spans {
        let name = |scope: &Option<_>| {
            let scope: Option<&opentelemetry_proto::tonic::common::v1::InstrumentationScope> =
                scope.as_ref();
            scope.map(|scope| scope.name.clone())
        };
        resource.scope_spans.sort_by_key(|it| name(&it.scope));
        if let Some(resource) = &mut resource.resource {
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    request
}

/// A length takes one byte more from 128 on, and from 16,384.
#[test]
fn spans_of_every_length_are_written_as_prost_writes_them() {
    let config = TelemetryConfig::from_vars([], "unused").traces;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let pipeline = ExportPipeline::new(
        "traces",
        &config,
        config.timeout,
        Arc::default(),
        Closing::default(),
    )
    .unwrap();
    let exporter = SpanExporter::new(pipeline.into(), &Resource::builder_empty().build());
    let template = spans().remove(0);
    for length in (0..400).chain(16_100..16_500).chain([2_097_151, 2_097_152]) {
        let text = "x".repeat(length);
        let queue = SpanQueue::new(BatchConfig::default(), true, Arc::default());
        let mut span = template.clone();
        span.name = text.clone().into();
        span.attributes
            .push(KeyValue::new(text.clone(), text.clone()));
        let texts = Array::String(vec![text.clone().into(); 2]);
        span.attributes
            .push(KeyValue::new("list", Value::Array(texts)));
        let number = i64::try_from(length).unwrap();
        span.attributes
            .push(KeyValue::new("number", number << (length % 40)));
        span.status = Status::error(text);
        queue.push(&span);
        let written = exporter.request(&queue.take()).message;
        let read = ExportTraceServiceRequest::decode(written.clone()).unwrap();
        assert!(read.encode_to_vec() == written, "of length {length}");
    }
}

#[tokio::test]
async fn spans_are_what_the_stock_exporter_sends() {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("team", "a"),
            KeyValue::new("service.name", "b"),
        ])
        .build();
    let kept = Kept::default();
    let mut stock = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(kept.clone())
        .with_endpoint("http://localhost/v1/traces")
        .build()
        .unwrap();
    stock.set_resource(&resource);
    stock.export(spans()).await.unwrap();
    let sent = kept.0.lock().unwrap().remove(0);
    let stocks = ExportTraceServiceRequest::decode(sent).unwrap();

    let config = TelemetryConfig::from_vars([], "unused").traces;
    let pipeline = ExportPipeline::new(
        "traces",
        &config,
        config.timeout,
        Arc::default(),
        Closing::default(),
    )
    .unwrap();
    let exporter = SpanExporter::new(pipeline.into(), &resource);
    let queue = SpanQueue::new(BatchConfig::default(), true, Arc::default());
    for span in spans() {
        queue.push(&span);
    }
    let written = exporter.request(&queue.take());
    let ours = ExportTraceServiceRequest::decode(written.message.clone()).unwrap();
    assert_eq!(written.spans, 2);
    assert_eq!(
        written.message,
        ours.encode_to_vec(),
        "not as prost writes it"
    );

    assert_eq!(ours.resource_spans[0].scope_spans.len(), 2);
    assert_eq!(sorted(ours), sorted(stocks));
}
