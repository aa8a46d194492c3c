//! A span as OTLP has it, written when it ends: the bytes that wait are those
//! that leave, and nothing is built in between.
//!
//! The fields are those of opentelemetry-proto's `trace/v1/trace.proto` and
//! `common/v1/common.proto`; each is written as prost would, in the order of
//! the numbers, and left out where it is the default.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::trace::v1::SpanFlags;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as Kind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::trace::SpanData;

use crate::propagation::trace_state::header_or_empty;

/// The field of a `ScopeSpans` that its spans are in.
const SPANS: u32 = 2;

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// Appends a span as a field of its `ScopeSpans`.
pub(crate) fn write_span(span: &SpanData, out: &mut Vec<u8>) {
    let trace_state = header_or_empty(span.span_context.trace_state());
    let length = span_length(span, &trace_state);
    out.reserve(length + 2 * MAX_VARINT);
    put_header(SPANS, length, out);
    let end = out.len() + length;

    put_bytes(1, &span.span_context.trace_id().to_bytes(), out);
    put_bytes(2, &span.span_context.span_id().to_bytes(), out);
    put_text(3, &trace_state, out);
    if span.parent_span_id != SpanId::INVALID {
        put_bytes(4, &span.parent_span_id.to_bytes(), out);
    }
    put_text(5, &span.name, out);
    put_number(6, kind(&span.span_kind), out);
    put_fixed_64(7, nanos(span.start_time), out);
    put_fixed_64(8, nanos(span.end_time), out);
    put_attributes(9, &span.attributes, out);
    put_number(10, span.dropped_attributes_count.into(), out);
    for event in span.events.iter() {
        put_event(11, event, out);
    }
    put_number(12, span.events.dropped_count.into(), out);
    for link in span.links.iter() {
        put_link(13, link, out);
    }
    put_number(14, span.links.dropped_count.into(), out);
    put_status(15, &span.status, out);
    put_fixed_32(
        16,
        flags(&span.span_context, span.parent_span_is_remote),
        out,
    );
    debug_assert_eq!(out.len(), end, "the length is wrong");
}

fn span_length(span: &SpanData, trace_state: &str) -> usize {
    let parent = match span.parent_span_id {
        SpanId::INVALID => 0,
        _ => bytes_field(1, 8),
    };
    bytes_field(1, 16)
        + bytes_field(2, 8)
        + text_field(3, trace_state)
        + parent
        + text_field(5, &span.name)
        + number_field(6, kind(&span.span_kind))
        + fixed_64_field(7, nanos(span.start_time))
        + fixed_64_field(8, nanos(span.end_time))
        + attribute_fields(9, &span.attributes)
        + number_field(10, span.dropped_attributes_count.into())
        + span
            .events
            .iter()
            .map(|event| bytes_field(11, event_length(event)))
            .sum::<usize>()
        + number_field(12, span.events.dropped_count.into())
        + span
            .links
            .iter()
            .map(|link| {
                bytes_field(
                    13,
                    link_length(link, &header_or_empty(link.span_context.trace_state())),
                )
            })
            .sum::<usize>()
        + number_field(14, span.links.dropped_count.into())
        + bytes_field(15, status_length(&span.status))
        + fixed_32_field(16)
}

fn put_event(field: u32, event: &Event, out: &mut Vec<u8>) {
    put_header(field, event_length(event), out);
    put_fixed_64(1, nanos(event.timestamp), out);
    put_text(2, &event.name, out);
    put_attributes(3, &event.attributes, out);
    put_number(4, event.dropped_attributes_count.into(), out);
}

fn event_length(event: &Event) -> usize {
    fixed_64_field(1, nanos(event.timestamp))
        + text_field(2, &event.name)
        + attribute_fields(3, &event.attributes)
        + number_field(4, event.dropped_attributes_count.into())
}

fn put_link(field: u32, link: &Link, out: &mut Vec<u8>) {
    let context = &link.span_context;
    let trace_state = header_or_empty(context.trace_state());
    put_header(field, link_length(link, &trace_state), out);
    put_bytes(1, &context.trace_id().to_bytes(), out);
    put_bytes(2, &context.span_id().to_bytes(), out);
    put_text(3, &trace_state, out);
    put_attributes(4, &link.attributes, out);
    put_number(5, link.dropped_attributes_count.into(), out);
    put_fixed_32(6, flags(context, context.is_remote()), out);
}

fn link_length(link: &Link, trace_state: &str) -> usize {
    bytes_field(1, 16)
        + bytes_field(2, 8)
        + text_field(3, trace_state)
        + attribute_fields(4, &link.attributes)
        + number_field(5, link.dropped_attributes_count.into())
        + fixed_32_field(6)
}

fn put_status(field: u32, status: &Status, out: &mut Vec<u8>) {
    put_header(field, status_length(status), out);
    let (code, description) = status_parts(status);
    put_text(2, description, out);
    put_number(3, code, out);
}

fn status_length(status: &Status) -> usize {
    let (code, description) = status_parts(status);
    text_field(2, description) + number_field(3, code)
}

fn status_parts(status: &Status) -> (u64, &str) {
    match status {
        Status::Unset => (StatusCode::Unset as u64, ""),
        Status::Ok => (StatusCode::Ok as u64, ""),
        Status::Error { description } => (StatusCode::Error as u64, description),
    }
}

fn kind(kind: &SpanKind) -> u64 {
    let kind = match kind {
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    };
    kind as u64
}

/// A context's own flags, and that it is known whether the other end is remote.
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = match is_remote {
        true => SpanFlags::ContextIsRemoteMask as u32,
        false => 0,
    };
    u32::from(context.trace_flags().to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn nanos(time: SystemTime) -> u64 {
    // As the stock exporter: what is before 1970 is at 1970, and 64 bits last
    // until 2554.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

fn put_attributes(field: u32, attributes: &[KeyValue], out: &mut Vec<u8>) {
    for attribute in attributes {
        let (key, value) = (attribute.key.as_str(), value_length(&attribute.value));
        put_header(field, text_field(1, key) + bytes_field(2, value), out);
        put_text(1, key, out);
        put_header(2, value, out);
        put_value(&attribute.value, out);
    }
}

fn attribute_fields(field: u32, attributes: &[KeyValue]) -> usize {
    let lengths = attributes.iter().map(|attribute| {
        let value = bytes_field(2, value_length(&attribute.value));
        bytes_field(field, text_field(1, attribute.key.as_str()) + value)
    });
    lengths.sum()
}

/// Writes the one field of an `AnyValue`, which is there even for a default.
fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => put_bytes(1, text.as_str().as_bytes(), out),
        Value::Bool(value) => put_bool(*value, out),
        Value::I64(value) => put_i64(*value, out),
        Value::F64(value) => put_f64(*value, out),
        Value::Array(array) => {
            put_header(5, array_length(array), out);
            match array {
                Array::Bool(list) => {
                    put_list(list, |_| bool_value(), |it, out| put_bool(*it, out), out)
                }
                Array::I64(list) => {
                    put_list(list, |it| i64_value(*it), |it, out| put_i64(*it, out), out)
                }
                Array::F64(list) => {
                    put_list(list, |_| f64_value(), |it, out| put_f64(*it, out), out)
                }
                Array::String(list) => put_list(
                    list,
                    text_value,
                    |it, out| put_bytes(1, it.as_str().as_bytes(), out),
                    out,
                ),
                // There is no other kind; were there one, it would be empty.
                _ => {}
            }
        }
        _ => {}
    }
}

fn value_length(value: &Value) -> usize {
    match value {
        Value::String(text) => text_value(text),
        Value::Bool(_) => bool_value(),
        Value::I64(value) => i64_value(*value),
        Value::F64(_) => f64_value(),
        Value::Array(array) => bytes_field(5, array_length(array)),
        _ => 0,
    }
}

fn array_length(array: &Array) -> usize {
    match array {
        Array::Bool(list) => list_length(list, |_| bool_value()),
        Array::I64(list) => list_length(list, |it| i64_value(*it)),
        Array::F64(list) => list_length(list, |_| f64_value()),
        Array::String(list) => list_length(list, text_value),
        _ => 0,
    }
}

fn put_list<T>(
    list: &[T],
    length: impl Fn(&T) -> usize,
    put: impl Fn(&T, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    for item in list {
        put_header(1, length(item), out);
        put(item, out);
    }
}

fn list_length<T>(list: &[T], length: impl Fn(&T) -> usize) -> usize {
    list.iter().map(|item| bytes_field(1, length(item))).sum()
}

fn text_value(text: &StringValue) -> usize {
    bytes_field(1, text.as_str().len())
}

fn bool_value() -> usize {
    key_length(2) + 1
}

fn i64_value(value: i64) -> usize {
    key_length(3) + varint_length(value.cast_unsigned())
}

fn f64_value() -> usize {
    key_length(4) + 8
}

fn put_bool(value: bool, out: &mut Vec<u8>) {
    put_key(2, VARINT, out);
    out.push(value.into());
}

fn put_i64(value: i64, out: &mut Vec<u8>) {
    put_key(3, VARINT, out);
    put_varint(value.cast_unsigned(), out);
}

fn put_f64(value: f64, out: &mut Vec<u8>) {
    put_key(4, FIXED_64, out);
    out.extend_from_slice(&value.to_le_bytes());
}

// The wire format of Protocol Buffers, <https://protobuf.dev/programming-guides/encoding/>.

/// The most bytes of a number.
const MAX_VARINT: usize = 10;

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn varint_length(value: u64) -> usize {
    prost::length_delimiter_len(usize::try_from(value).unwrap_or(usize::MAX))
}

fn put_key(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(field << 3 | wire_type), out);
}

fn key_length(field: u32) -> usize {
    // Fields up to 15 take one byte.
    1 + usize::from(field > 15)
}

/// Begins a field of `length` bytes.
pub(crate) fn put_header(field: u32, length: usize, out: &mut Vec<u8>) {
    put_key(field, LENGTH_DELIMITED, out);
    put_varint(length as u64, out);
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_header(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// The length of a whole field whose content has `length` bytes.
pub(crate) fn bytes_field(field: u32, length: usize) -> usize {
    key_length(field) + prost::length_delimiter_len(length) + length
}

fn put_text(field: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_bytes(field, text.as_bytes(), out);
    }
}

fn text_field(field: u32, text: &str) -> usize {
    match text.len() {
        0 => 0,
        length => bytes_field(field, length),
    }
}

fn put_number(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        put_key(field, VARINT, out);
        put_varint(value, out);
    }
}

fn number_field(field: u32, value: u64) -> usize {
    match value {
        0 => 0,
        value => key_length(field) + varint_length(value),
    }
}

fn put_fixed_64(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        put_key(field, FIXED_64, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn fixed_64_field(field: u32, value: u64) -> usize {
    match value {
        0 => 0,
        _ => key_length(field) + 8,
    }
}

/// Flags, which are never none.
fn put_fixed_32(field: u32, value: u32, out: &mut Vec<u8>) {
    put_key(field, FIXED_32, out);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed_32_field(field: u32) -> usize {
    key_length(field) + 4
}
