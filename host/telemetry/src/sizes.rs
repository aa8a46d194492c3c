//! The memory that telemetry takes while it waits, about.
//!
//! Whatever a guest can make long is counted: a bound in bytes is worth no more
//! than the count it stands on.

use opentelemetry::logs::AnyValue;
use opentelemetry::trace::{Event, Link, SpanContext, TraceState};
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_sdk::logs::SdkLogRecord;

use crate::propagation::trace_state;

/// A list or map holds this much for each of its members.
const MEMBER: usize = 64;
/// An element of a list becomes a value of its own in the request that it leaves
/// in, whatever it takes here; on the wire it takes less.
const ELEMENT: usize = 32;
/// The same of an event or a link.
const EVENT: usize = 96;
/// A key and a value of a trace state, each with a place on the heap.
const STATE_MEMBER: usize = 96;

/// An event of a span.
pub fn event(event: &Event) -> usize {
    EVENT + event.name.len() + attributes(&event.attributes)
}

/// A link of a span.
pub fn link(link: &Link) -> usize {
    EVENT + context(&link.span_context) + attributes(&link.attributes)
}

/// A log record without its scope.
pub(crate) fn log_record(record: &SdkLogRecord) -> usize {
    let attributes: usize = record
        .attributes_iter()
        .map(|(key, value)| any_attribute(key, value))
        .sum();
    attributes + record.body().map_or(0, any_value)
}

/// An attribute of a log record.
pub fn any_attribute(key: &Key, value: &AnyValue) -> usize {
    MEMBER + key.as_str().len() + any_value(value)
}

/// The texts of a library's scope.
pub fn scope(scope: &InstrumentationScope) -> usize {
    scope.name().len()
        + scope.version().map_or(0, str::len)
        + scope.schema_url().map_or(0, str::len)
        + scope.attributes().map(attribute).sum::<usize>()
}

/// What a context has on the heap: its trace state.
pub fn context(context: &SpanContext) -> usize {
    // Nearly all have none, and counting allocates.
    if *context.trace_state() == TraceState::NONE {
        return 0;
    }
    let header = trace_state::header(context.trace_state());
    header.len() + header.split(',').count() * STATE_MEMBER
}

/// The bytes that attributes take in a queue.
pub fn attributes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(attribute).sum()
}

/// A key and its value.
pub fn attribute(attribute: &KeyValue) -> usize {
    MEMBER + attribute.key.as_str().len() + value(&attribute.value)
}

/// What a value has on the heap.
pub fn value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| ELEMENT + text.as_str().len()).sum()
        }
        Value::Array(Array::Bool(list)) => list.len() * ELEMENT,
        Value::Array(Array::I64(list)) => list.len() * ELEMENT,
        Value::Array(Array::F64(list)) => list.len() * ELEMENT,
        _ => 8,
    }
}

/// What a value of a log record has on the heap.
pub fn any_value(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(list) => list.iter().map(|value| ELEMENT + any_value(value)).sum(),
        AnyValue::Map(map) => map
            .iter()
            .map(|(key, value)| MEMBER + key.as_str().len() + any_value(value))
            .sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

    use super::*;

    #[test]
    fn everything_that_a_guest_can_make_long_is_counted() {
        let long = "x".repeat(1_000);
        let state = TraceState::from_key_value([("k", "v".repeat(200))]).unwrap();
        let remote = SpanContext::new(
            TraceId::from_bytes([1; 16]),
            SpanId::from_bytes([1; 8]),
            TraceFlags::SAMPLED,
            true,
            state,
        );
        let attributes = vec![KeyValue::new(long.clone(), long.clone())];
        let at = std::time::SystemTime::UNIX_EPOCH;
        let big_event = Event::new(long.clone(), at, attributes.clone(), 0);
        assert!(event(&big_event) >= 3_000);
        assert!(link(&Link::new(remote, attributes.clone(), 0)) >= 2_200);
        let library = InstrumentationScope::builder(long.clone()).with_version(long);
        assert_eq!(scope(&library.build()), 2_000);
        let empty_texts = Value::Array(Array::String(vec!["".into(); 10]));
        assert_eq!(value(&empty_texts), 320);
    }

    #[test]
    fn a_value_is_no_larger_on_the_wire_than_it_is_counted() {
        use prost::Message as _;

        for list in [
            Array::Bool(vec![true; 1_000]),
            Array::I64(vec![i64::MIN; 1_000]),
            Array::F64(vec![0.1; 1_000]),
            Array::String(vec!["".into(); 1_000]),
            Array::String(vec!["x".repeat(1_000).into(); 1_000]),
        ] {
            let list = Value::Array(list);
            let message = opentelemetry_proto::tonic::common::v1::AnyValue::from(list.clone());
            assert!(message.encoded_len() <= value(&list), "{:.40?}", list);
            assert!(size_of_val(&message) <= ELEMENT);
        }
    }
}
