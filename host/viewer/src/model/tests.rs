use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::TraceModel;
use crate::store::Store;
use crate::store::traces::Trace;

/// Spans as (id, parent, start, end).
fn model(spans: &[(u64, u64, u64, u64)]) -> TraceModel {
    TraceModel::new(&trace(spans), &[])
}

fn trace(spans: &[(u64, u64, u64, u64)]) -> Arc<Trace> {
    let spans = spans.iter().map(|(id, parent, start, end)| Span {
        trace_id: vec![1; 16],
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.to_be_bytes().to_vec(),
        start_time_unix_nano: *start,
        end_time_unix_nano: *end,
        ..Default::default()
    });
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let store = Store::default();
    store.add_traces(&request.encode_to_vec());
    store.trace(u128::from_be_bytes([1; 16])).unwrap()
}

fn order(model: &TraceModel) -> Vec<(u64, usize)> {
    let spans = model.spans.iter();
    spans.map(|it| (it.head.span_id, it.depth)).collect()
}

#[test]
fn children_follow_their_parent_by_their_start() {
    let model = model(&[
        (3, 1, 50, 60),
        (2, 1, 20, 40),
        (1, 0, 10, 90),
        (4, 2, 25, 30),
    ]);
    assert_eq!(order(&model), [(1, 0), (2, 1), (4, 2), (3, 1)]);
    let descendants: Vec<_> = model.spans.iter().map(|it| it.descendants).collect();
    assert_eq!(descendants, [3, 1, 0, 0]);
    assert_eq!(model.duration(), 80);
}

#[test]
fn spans_without_their_parent_and_spans_in_a_circle_are_shown() {
    let orphan = model(&[(2, 9, 20, 40), (1, 0, 10, 90)]);
    assert_eq!(order(&orphan), [(1, 0), (2, 0)]);
    let circle = model(&[(1, 2, 10, 20), (2, 1, 10, 20), (3, 3, 5, 6)]);
    assert_eq!(order(&circle), [(3, 0), (1, 0), (2, 1)]);
}

#[test]
fn a_very_deep_trace_is_put_in_order() {
    let chain: Vec<_> = (1..=5000).map(|id| (id, id - 1, id, 20_000 - id)).collect();
    let model = model(&chain);
    assert_eq!(model.spans.last().unwrap().depth, 4999);
    assert!(model.spans.iter().all(|it| it.is_critical));
}

#[test]
fn the_critical_path_is_what_held_the_end_up() {
    let model = model(&[
        (1, 0, 0, 100),
        (2, 1, 10, 50),
        // Beside the one before, and done sooner.
        (3, 1, 10, 30),
        (4, 1, 55, 95),
        (5, 4, 60, 70),
        // Outlives its parent.
        (6, 1, 90, 120),
    ]);
    let critical: Vec<_> = model
        .spans
        .iter()
        .filter(|it| it.is_critical)
        .map(|it| it.head.span_id)
        .collect();
    assert_eq!(critical, [1, 2, 4, 5]);
}
