//! OTLP's JSON as Jaeger writes it: ids in hexadecimal, attributes by key, and members
//! with default values left out.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Map, Value, json};

use crate::model::{LogModel, SpanModel, TraceModel, sorted};
use crate::store::origin::Origin;

/// Values nest no deeper here.
const MAX_DEPTH: usize = 32;

/// Writes a trace as one `ResourceSpans` for each resource, as `ExportTraceServiceRequest`
/// has them, with commas between them. The text is made span by span: a tree of all of it
/// would take many times its size.
pub(crate) fn write_resource_spans(trace: &TraceModel, out: &mut String) {
    let mut scopes: Vec<(&Origin, Vec<&SpanModel>)> = Vec::new();
    let mut places = HashMap::new();
    for span in &trace.spans {
        let place = *places.entry(&*span.origin).or_insert(scopes.len());
        match scopes.get_mut(place) {
            Some((_, spans)) => spans.push(span),
            None => scopes.push((&span.origin, vec![span])),
        }
    }
    let mut resources: Vec<Vec<(&Origin, Vec<&SpanModel>)>> = Vec::new();
    let mut places = HashMap::new();
    for of_scope in scopes {
        let place = *places
            .entry(&of_scope.0.resource)
            .or_insert(resources.len());
        match resources.get_mut(place) {
            Some(scopes) => scopes.push(of_scope),
            None => resources.push(vec![of_scope]),
        }
    }
    for (at, scopes) in resources.into_iter().enumerate() {
        let Some((origin, _)) = scopes.first() else {
            continue;
        };
        out.push_str(if at == 0 { "{" } else { ",{" });
        write(out, "\"resource\":", &resource(&origin.resource()));
        out.push_str(",\"scopeSpans\":[");
        for (at, (origin, mut spans)) in scopes.into_iter().enumerate() {
            out.push_str(if at == 0 { "{" } else { ",{" });
            write(out, "\"scope\":", &scope(&origin.scope()));
            out.push_str(",\"spans\":[");
            spans.sort_by_key(|it| (it.head.start, it.head.span_id));
            for (at, it) in spans.into_iter().enumerate() {
                write(out, if at == 0 { "" } else { "," }, &span(&it.span));
            }
            out.push_str("]}");
        }
        out.push_str("]}");
    }
}

fn write(out: &mut String, before: &str, value: &Value) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = write!(out, "{before}{value}");
}

/// A log record, with the name of its service.
pub(crate) fn log(log: &LogModel) -> Value {
    let record = &log.record;
    let mut out = Map::new();
    put_number(&mut out, "timeUnixNano", log.time);
    put_u32(&mut out, "severityNumber", log.severity.unsigned_abs());
    put_text(&mut out, "severityText", &record.severity_text);
    put_text(&mut out, "eventName", &record.event_name);
    if let Some(body) = &record.body {
        out.insert("body".to_owned(), any(Some(body), MAX_DEPTH));
    }
    put_attributes(&mut out, &record.attributes);
    if log.trace_id != 0 {
        put_text(&mut out, "traceId", &format!("{:032x}", log.trace_id));
    }
    if log.span_id != 0 {
        put_text(&mut out, "spanId", &format!("{:016x}", log.span_id));
    }
    put_text(&mut out, "serviceName", log.origin.service());
    Value::Object(out)
}

fn resource(resource: &Resource) -> Value {
    let mut out = Map::new();
    put_attributes(&mut out, &resource.attributes);
    put_u32(
        &mut out,
        "droppedAttributesCount",
        resource.dropped_attributes_count,
    );
    Value::Object(out)
}

fn scope(scope: &InstrumentationScope) -> Value {
    let mut out = Map::new();
    put_text(&mut out, "name", &scope.name);
    put_text(&mut out, "version", &scope.version);
    put_attributes(&mut out, &scope.attributes);
    Value::Object(out)
}

fn span(span: &Span) -> Value {
    let mut out = Map::new();
    put_id(&mut out, "traceId", &span.trace_id);
    put_id(&mut out, "spanId", &span.span_id);
    put_text(&mut out, "traceState", &span.trace_state);
    put_id(&mut out, "parentSpanId", &span.parent_span_id);
    put_u32(&mut out, "flags", span.flags);
    put_text(&mut out, "name", &span.name);
    put_u32(&mut out, "kind", span.kind.unsigned_abs());
    put_number(&mut out, "startTimeUnixNano", span.start_time_unix_nano);
    put_number(&mut out, "endTimeUnixNano", span.end_time_unix_nano);
    put_attributes(&mut out, &span.attributes);
    put_u32(
        &mut out,
        "droppedAttributesCount",
        span.dropped_attributes_count,
    );
    put_list(&mut out, "events", span.events.iter().map(event));
    put_u32(&mut out, "droppedEventsCount", span.dropped_events_count);
    put_list(&mut out, "links", span.links.iter().map(link));
    put_u32(&mut out, "droppedLinksCount", span.dropped_links_count);
    // Jaeger writes it always, empty where it is unset.
    out.insert("status".to_owned(), status(span.status.as_ref()));
    Value::Object(out)
}

fn event(event: &Event) -> Value {
    let mut out = Map::new();
    put_number(&mut out, "timeUnixNano", event.time_unix_nano);
    put_text(&mut out, "name", &event.name);
    put_attributes(&mut out, &event.attributes);
    put_u32(
        &mut out,
        "droppedAttributesCount",
        event.dropped_attributes_count,
    );
    Value::Object(out)
}

fn link(link: &Link) -> Value {
    let mut out = Map::new();
    put_id(&mut out, "traceId", &link.trace_id);
    put_id(&mut out, "spanId", &link.span_id);
    put_text(&mut out, "traceState", &link.trace_state);
    put_attributes(&mut out, &link.attributes);
    put_u32(
        &mut out,
        "droppedAttributesCount",
        link.dropped_attributes_count,
    );
    put_u32(&mut out, "flags", link.flags);
    Value::Object(out)
}

fn status(status: Option<&Status>) -> Value {
    let mut out = Map::new();
    if let Some(status) = status {
        put_text(&mut out, "message", &status.message);
        put_u32(&mut out, "code", status.code.unsigned_abs());
    }
    Value::Object(out)
}

fn put_attributes(out: &mut Map<String, Value>, attributes: &[KeyValue]) {
    let attributes = sorted(attributes).into_iter();
    put_list(
        out,
        "attributes",
        attributes.map(|it| key_value(it, MAX_DEPTH)),
    );
}

fn key_value(pair: &KeyValue, depth: usize) -> Value {
    json!({"key": pair.key, "value": any(pair.value.as_ref(), depth)})
}

fn any(value: Option<&AnyValue>, depth: usize) -> Value {
    let Some(value) = value.and_then(|it| it.value.as_ref()) else {
        return json!({});
    };
    match value {
        Any::StringValue(text) => json!({"stringValue": text}),
        Any::BoolValue(value) => json!({"boolValue": value}),
        Any::IntValue(value) => json!({"intValue": value.to_string()}),
        Any::DoubleValue(value) => json!({"doubleValue": double(*value)}),
        Any::BytesValue(bytes) => json!({"bytesValue": BASE64.encode(bytes)}),
        Any::StringValueStrindex(_) => json!({}),
        Any::ArrayValue(_) | Any::KvlistValue(_) if depth == 0 => json!({}),
        Any::ArrayValue(list) => {
            let mut out = Map::new();
            let values = list.values.iter();
            put_list(
                &mut out,
                "values",
                values.map(|it| any(Some(it), depth - 1)),
            );
            json!({"arrayValue": out})
        }
        Any::KvlistValue(list) => {
            let mut out = Map::new();
            let values = list.values.iter();
            put_list(
                &mut out,
                "values",
                values.map(|it| key_value(it, depth - 1)),
            );
            json!({"kvlistValue": out})
        }
    }
}

/// A number, or the text that ProtoJSON has for one that JSON cannot write; whole ones
/// as Jaeger writes them.
fn double(value: f64) -> Value {
    match value {
        _ if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(value),
    }
}

fn put_id(out: &mut Map<String, Value>, key: &str, id: &[u8]) {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * id.len());
    for byte in id {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    put_text(out, key, &text);
}

fn put_text(out: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        out.insert(key.to_owned(), json!(text));
    }
}

fn put_number(out: &mut Map<String, Value>, key: &str, number: u64) {
    if number != 0 {
        out.insert(key.to_owned(), json!(number.to_string()));
    }
}

fn put_u32(out: &mut Map<String, Value>, key: &str, number: u32) {
    if number != 0 {
        out.insert(key.to_owned(), json!(number));
    }
}

fn put_list(out: &mut Map<String, Value>, key: &str, list: impl Iterator<Item = Value>) {
    let list: Vec<_> = list.collect();
    if !list.is_empty() {
        out.insert(key.to_owned(), Value::Array(list));
    }
}
