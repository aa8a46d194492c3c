//! Traces and log records as the viewer's API gives them: OTLP's JSON.
//!
//! Never fails: a member that is missing, or of another type, counts as empty.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A trace as far as the viewer has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) id: String,
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
}

/// A span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    /// As the API gave it.
    pub(crate) json: Value,
    pub(crate) service: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) is_server: bool,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_error: bool,
    pub(crate) status_message: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<SpanEvent>,
    /// The traces that it is linked with.
    pub(crate) links: Vec<String>,
}

/// An attribute, its value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// An event of a span.
#[derive(Clone, Debug)]
pub(crate) struct SpanEvent {
    pub(crate) time: u64,
    pub(crate) name: String,
    pub(crate) attributes: Vec<Attribute>,
}

/// A log record.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    /// As the API gave it.
    pub(crate) json: Value,
    pub(crate) time: u64,
    pub(crate) severity: u64,
    pub(crate) event_name: String,
    pub(crate) body: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

impl Trace {
    /// The span that stands for the trace: the first server span, or else the first one
    /// whose parent is not here.
    pub(crate) fn entry(&self) -> Option<&Span> {
        let is_here = |id: &str| self.spans.iter().any(|it| it.id == id);
        self.spans
            .iter()
            .min_by_key(|it| (!it.is_server, it.is_server || is_here(&it.parent), it.start))
    }

    pub(crate) fn start(&self) -> u64 {
        self.spans.iter().map(|it| it.start).min().unwrap_or(0)
    }

    pub(crate) fn duration(&self) -> Duration {
        let end = self.spans.iter().map(|it| it.end).max().unwrap_or(0);
        Duration::from_nanos(end.saturating_sub(self.start()))
    }

    pub(crate) fn errors(&self) -> usize {
        self.spans.iter().filter(|it| it.is_error).count()
    }
}

impl Span {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }

    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }
}

impl SpanEvent {
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }
}

impl LogRecord {
    /// The name of the severity's range, as the specification has them.
    pub(crate) fn level(&self) -> &'static str {
        match self.severity {
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21..=24 => "FATAL",
            _ => "-",
        }
    }
}

fn find<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key == key);
    found.map(|it| it.value.as_str())
}

/// A time in nanoseconds since 1970.
pub(crate) fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// The traces of an answer, in its order.
pub(crate) fn traces(answer: &Value) -> Vec<Trace> {
    let mut traces: Vec<Trace> = Vec::new();
    for of_resource in list(&answer["result"]["resourceSpans"]) {
        let resource = attributes(&of_resource["resource"]["attributes"]);
        let service = find(&resource, "service.name").unwrap_or_default();
        let of_scopes = list(&of_resource["scopeSpans"]);
        for json in of_scopes.flat_map(|it| list(&it["spans"])) {
            let id = text(&json["traceId"]);
            // The resources of one trace follow one another.
            if traces.last().is_none_or(|it| it.id != id) {
                traces.push(Trace {
                    id: id.to_owned(),
                    ..Trace::default()
                });
            }
            if let Some(trace) = traces.last_mut() {
                trace.spans.push(span(json, service));
            }
        }
    }
    traces
}

/// The log records of an answer, in its order.
pub(crate) fn log_records(answer: &Value) -> Vec<LogRecord> {
    let record = |json: &Value| LogRecord {
        time: number(&json["timeUnixNano"]),
        severity: number(&json["severityNumber"]),
        event_name: text(&json["eventName"]).to_owned(),
        body: value(&json["body"]),
        attributes: attributes(&json["attributes"]),
        trace_id: text(&json["traceId"]).to_owned(),
        span_id: text(&json["spanId"]).to_owned(),
        json: json.clone(),
    };
    list(&answer["logRecords"]).map(record).collect()
}

fn span(json: &Value, service: &str) -> Span {
    let event = |json: &Value| SpanEvent {
        time: number(&json["timeUnixNano"]),
        name: text(&json["name"]).to_owned(),
        attributes: attributes(&json["attributes"]),
    };
    let start = number(&json["startTimeUnixNano"]);
    Span {
        service: service.to_owned(),
        id: text(&json["spanId"]).to_owned(),
        parent: text(&json["parentSpanId"]).to_owned(),
        name: text(&json["name"]).to_owned(),
        is_server: json["kind"] == 2,
        start,
        end: number(&json["endTimeUnixNano"]).max(start),
        is_error: json["status"]["code"] == 2,
        status_message: text(&json["status"]["message"]).to_owned(),
        attributes: attributes(&json["attributes"]),
        events: list(&json["events"]).map(event).collect(),
        links: list(&json["links"])
            .map(|it| text(&it["traceId"]).to_owned())
            .collect(),
        json: json.clone(),
    }
}

fn attributes(json: &Value) -> Vec<Attribute> {
    list(json)
        .map(|it| Attribute {
            key: text(&it["key"]).to_owned(),
            value: value(&it["value"]),
        })
        .collect()
}

/// An `AnyValue` as text. The viewer bounds how deep values nest.
fn value(json: &Value) -> String {
    let Some((kind, inner)) = json.as_object().and_then(|it| it.iter().next()) else {
        return String::new();
    };
    match kind.as_str() {
        "arrayValue" => {
            let values: Vec<_> = list(&inner["values"]).map(value).collect();
            format!("[{}]", values.join(", "))
        }
        "kvlistValue" => {
            let pairs = attributes(&inner["values"]).into_iter();
            let pairs: Vec<_> = pairs
                .map(|it| format!("{}: {}", it.key, it.value))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => match inner {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
    }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_default()
}

/// A number, which OTLP's JSON may write as text.
fn number(json: &Value) -> u64 {
    json.as_u64()
        .or_else(|| json.as_str()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn traces_are_read_in_the_order_of_the_answer() {
        let spans = |trace: &str, span: &str| {
            json!({
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": "orders"}},
                ]},
                "scopeSpans": [{"spans": [{
                    "traceId": trace, "spanId": span, "name": "GET /", "kind": 2,
                    "startTimeUnixNano": "1000", "endTimeUnixNano": "3500",
                    "status": {"code": 2, "message": "why"},
                    "attributes": [{"key": "list", "value": {"arrayValue": {"values": [
                        {"intValue": "1"}, {"doubleValue": 1.5}, {"boolValue": true},
                    ]}}}],
                    "events": [{"name": "exception", "timeUnixNano": "1200"}],
                }]}],
            })
        };
        let answer = json!({"result": {"resourceSpans": [
            spans("b", "1"), spans("b", "2"), spans("a", "3"),
        ]}});
        let traces = traces(&answer);
        let shape: Vec<_> = traces.iter().map(|it| (&*it.id, it.spans.len())).collect();
        assert_eq!(shape, [("b", 2), ("a", 1)]);
        let span = traces[1].entry().unwrap();
        assert_eq!((&*span.service, span.is_error), ("orders", true));
        assert_eq!(span.duration(), Duration::from_nanos(2500));
        assert_eq!(span.attribute("list"), Some("[1, 1.5, true]"));
        assert_eq!(span.events[0].time, 1200);
    }

    #[test]
    fn what_is_no_trace_and_no_log_counts_as_nothing() {
        for answer in [
            json!({}),
            json!([1]),
            json!({"result": {"resourceSpans": 7}}),
        ] {
            assert!(traces(&answer).is_empty());
        }
        let records = log_records(&json!({"logRecords": [7, {"body": {"kvlistValue": {}}}]}));
        let bodies: Vec<_> = records.iter().map(|it| it.body.as_str()).collect();
        assert_eq!(bodies, ["", "{}"]);
    }
}
