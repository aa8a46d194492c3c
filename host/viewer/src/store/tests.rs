use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::{Store, StoreConfig};

const MS: u64 = 1_000_000;

fn span(trace: u128, id: u64, millis: u64) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: match id {
            1 => Vec::new(),
            _ => 1_u64.to_be_bytes().to_vec(),
        },
        name: format!("span {id}"),
        kind: if id == 1 { 2 } else { 1 },
        start_time_unix_nano: 1000 * MS,
        end_time_unix_nano: (1000 + millis) * MS,
        ..Default::default()
    }
}

fn failed(mut span: Span) -> Span {
    span.status = Some(Status {
        code: 2,
        ..Default::default()
    });
    span
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let of_scope = ScopeSpans {
        spans,
        ..Default::default()
    };
    let of_resource = ResourceSpans {
        scope_spans: vec![of_scope],
        ..Default::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![of_resource],
    };
    request.encode_to_vec()
}

fn logs(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let of_scope = ScopeLogs {
        log_records: records,
        ..Default::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![of_scope],
            ..Default::default()
        }],
    }
}

fn log(trace: u128, time: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: time,
        severity_number: 9,
        trace_id: trace.to_be_bytes().to_vec(),
        ..Default::default()
    }
}

fn of_traces(max_traces: usize) -> Store {
    Store::new(StoreConfig {
        max_traces,
        ..StoreConfig::default()
    })
}

fn ids(store: &Store) -> Vec<u128> {
    let mut ids: Vec<_> = store.traces().iter().map(|it| it.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn spans_of_a_trace_meet_whatever_request_they_come_in() {
    let store = Store::default();
    store.add_traces(&request(vec![span(7, 2, 5), span(8, 1, 5)]));
    store.add_traces(&request(vec![span(7, 1, 10)]));
    assert_eq!(ids(&store), [7, 8]);
    let trace = store.trace(7).unwrap();
    assert_eq!(trace.spans.len(), 2);
    assert_eq!(trace.duration(), 10 * MS);
    assert_eq!(store.counts().seen_spans, 3);
    assert_eq!(store.counts().passed_over_spans, 0);
}

#[test]
fn the_oldest_traces_go_first() {
    let store = of_traces(3);
    for id in 1..=5 {
        store.add_traces(&request(vec![span(id, 1, 5)]));
    }
    assert_eq!(ids(&store), [3, 4, 5]);
}

#[test]
fn failed_and_slow_traces_outlive_others() {
    let store = of_traces(4);
    store.add_traces(&request(vec![failed(span(1, 1, 5))]));
    store.add_traces(&request(vec![span(2, 1, 1500)]));
    for id in 10..100 {
        store.add_traces(&request(vec![span(id, 1, 5)]));
    }
    assert_eq!(ids(&store), [1, 2, 98, 99]);
}

#[test]
fn failed_traces_are_bounded_as_well() {
    let store = of_traces(4);
    for id in 1..100 {
        store.add_traces(&request(vec![failed(span(id, 1, 5))]));
    }
    assert_eq!(ids(&store), [96, 97, 98, 99]);
    // Of what is over their share, they give the oldest up to others.
    for id in 200..300 {
        store.add_traces(&request(vec![span(id, 1, 5)]));
    }
    assert_eq!(ids(&store), [98, 99, 298, 299]);
}

#[test]
fn a_trace_that_fails_late_is_kept_longer() {
    let store = of_traces(4);
    store.add_traces(&request(vec![span(1, 2, 5)]));
    store.add_traces(&request(vec![failed(span(1, 1, 5))]));
    for id in 10..100 {
        store.add_traces(&request(vec![span(id, 1, 5)]));
    }
    assert_eq!(ids(&store), [1, 97, 98, 99]);
}

#[test]
fn the_memory_is_bounded() {
    const MAX_BYTES: usize = 1024 * 1024;
    let store = Store::new(StoreConfig {
        max_bytes: MAX_BYTES,
        ..StoreConfig::default()
    });
    for id in 1..2000_u64 {
        let mut large = span(id.into(), 1, 5);
        large.name = "n".repeat(4000);
        store.add_traces(&request(vec![large]));
        store.add_logs(&logs(vec![log(id.into(), id)]));
        assert!(store.counts().bytes <= MAX_BYTES, "{:?}", store.counts());
    }
    assert!(store.counts().traces > 100);
    assert!(store.counts().bytes > MAX_BYTES / 2);
    store.clear();
    assert_eq!((store.counts().bytes, store.counts().traces), (0, 0));
}

#[test]
fn one_trace_does_not_take_all_memory() {
    let store = Store::new(StoreConfig {
        max_bytes: 1024 * 1024,
        ..StoreConfig::default()
    });
    store.add_traces(&request(vec![span(1, 1, 5)]));
    for _ in 0..50 {
        let spans = (2..100).map(|id| span(2, id, 5)).collect();
        store.add_traces(&request(spans));
    }
    assert_eq!(ids(&store), [1, 2]);
    let large = store.trace(2).unwrap();
    assert!(large.dropped_spans > 0);
    assert_eq!(large.spans.len() as u64 + large.dropped_spans, 50 * 98);
    assert_eq!(store.counts().passed_over_spans, large.dropped_spans);
}

#[test]
fn under_a_heavy_load_whole_traces_are_stored_and_the_rest_is_counted() {
    let store = Store::new(StoreConfig {
        max_spans_per_second: 300,
        ..StoreConfig::default()
    });
    let now = Instant::now();
    for second in 0..4_u32 {
        for batch in 0..10_u32 {
            let first = u128::from(1 + second * 1000 + batch * 100);
            let of_batch = first..first + 100;
            let spans = of_batch.flat_map(|id| [span(id, 2, 5), span(id, 1, 9), span(id, 3, 2)]);
            store.add_traces_at(
                &request(spans.collect()),
                now + Duration::from_secs(second.into()) + Duration::from_millis(batch.into()),
            );
        }
    }
    let counts = store.counts();
    assert_eq!(counts.one_in, 10);
    assert_eq!(counts.seen_spans, 12_000);
    let stored = store.traces();
    assert!((300..800).contains(&stored.len()), "{}", stored.len());
    // The last second's were decided on by one share.
    let last = stored.iter().filter(|it| it.id > 3000);
    assert!(last.clone().count() > 50);
    assert!(last.clone().all(|it| it.spans.len() == 3));
    let stored: usize = stored.iter().map(|it| it.spans.len()).sum();
    assert_eq!(counts.passed_over_spans, 12_000 - stored as u64);
}

#[test]
fn failed_and_slow_traces_are_stored_under_a_heavy_load() {
    let store = Store::new(StoreConfig {
        max_spans_per_second: 100,
        ..StoreConfig::default()
    });
    let now = Instant::now();
    let spans = (1..5000).flat_map(|id| match id {
        1234 => [span(id, 2, 1), failed(span(id, 1, 2))],
        4321 => [span(id, 2, 1), span(id, 1, 2000)],
        _ => [span(id, 2, 1), span(id, 1, 2)],
    });
    store.add_traces_at(&request(spans.collect()), now);
    for id in [1234, 4321] {
        assert_eq!(store.trace(id).unwrap().spans.len(), 2);
    }
    assert!(store.counts().traces < 150);
}

#[test]
fn log_records_are_found_with_their_trace_and_stay_with_it() {
    let store = Store::new(StoreConfig {
        max_logs: 3,
        ..StoreConfig::default()
    });
    store.add_logs(&logs(vec![log(1, 20), log(1, 10), log(0, 5)]));
    store.add_traces(&request(vec![span(1, 1, 5)]));
    let times = |store: &Store| -> Vec<u64> { store.logs_of(1).iter().map(|it| it.time).collect() };
    assert_eq!(times(&store), [10, 20]);
    store.add_logs(&logs((0..3).map(|_| log(0, 6)).collect()));
    assert_eq!(store.counts().logs, 3);
    assert_eq!(times(&store), [10, 20]);
}

#[test]
fn malformed_requests_are_skipped() {
    let store = Store::default();
    let whole = request(vec![span(1, 1, 5), span(2, 1, 5)]);
    for end in 0..whole.len() {
        store.add_traces(&whole[..end]);
    }
    store.add_traces(&[0xff; 100]);
    assert!(ids(&store).len() <= 1);
}

#[test]
fn a_reader_of_the_store_keeps_what_it_has() {
    let store = Store::default();
    store.add_traces(&request(vec![span(1, 1, 5)]));
    let before = store.trace(1).unwrap();
    store.add_traces(&request(vec![span(1, 2, 5)]));
    assert_eq!(before.spans.len(), 1);
    assert_eq!(store.trace(1).unwrap().spans.len(), 2);
}
