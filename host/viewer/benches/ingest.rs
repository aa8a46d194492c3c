//! What the store costs a span: one that is stored, and one that is passed over.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use fanlight_viewer::{Store, StoreConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

/// Traces of one request to export: 512 KiB, about.
const TRACES: u64 = 500;
const SPANS_A_TRACE: u64 = 3;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(TRACES * SPANS_A_TRACE));
    group.measurement_time(Duration::from_secs(5));
    for (name, max_spans_per_second) in [("all stored", u64::MAX), ("few stored", 5_000)] {
        let store = Store::new(StoreConfig {
            max_spans_per_second,
            ..StoreConfig::default()
        });
        let mut first = 1;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    first += TRACES;
                    request(first)
                },
                |request| store.add_traces(black_box(&request)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    criterion.final_summary();
    at_full_speed();
}

/// The store's share of a second at 35,000 traces a second.
fn at_full_speed() {
    let store = Store::default();
    let mut busy = Duration::ZERO;
    let seconds = 5;
    let began = Instant::now();
    for round in 0..seconds * 70 {
        let request = request(1 + round * TRACES);
        // What has waited for a second is 70 requests, spread over it.
        let due = began + Duration::from_millis(round * 1000 / 70);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = cpu_time();
        store.add_traces(&request);
        busy += cpu_time() - at;
    }
    let spans = seconds * 70 * TRACES * SPANS_A_TRACE;
    println!(
        "35,000 traces/s: {} ns a span, {:.2} ms of each second; {:?}",
        busy.as_nanos() / u128::from(spans),
        busy.as_secs_f64() * 1e3 / seconds as f64,
        store.counts(),
    );
}

/// What this thread has had of a processor: other programs run beside it.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn request(first_trace: u64) -> Vec<u8> {
    let mut spans = Vec::new();
    for trace in first_trace..first_trace + TRACES {
        let id = u128::from(trace).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for at in 0..SPANS_A_TRACE {
            spans.push(span(id, at));
        }
    }
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    request.encode_to_vec()
}

/// As the host's server span is, or a guest's below it.
fn span(trace_id: u128, at: u64) -> Span {
    let keys = if at == 0 { 15 } else { 3 };
    let attributes = (0..keys).map(|key| KeyValue {
        key: format!("http.request.attribute{key}"),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("a value".to_owned())),
        }),
        ..Default::default()
    });
    Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: (at + 1).to_be_bytes().to_vec(),
        parent_span_id: match at {
            0 => Vec::new(),
            _ => at.to_be_bytes().to_vec(),
        },
        name: "GET /orders/{id}".to_owned(),
        kind: if at == 0 { 2 } else { 1 },
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_400_000,
        attributes: attributes.collect(),
        flags: 257,
        ..Default::default()
    }
}
