//! Items as lines of JSON, the resource left out.

#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
    number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{Span, span, status};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::otlp::not_finite;

/// What can be written as lines.
pub(crate) trait ConsoleLines {
    /// Appends a line for each item.
    ///
    /// # Errors
    /// Where an item cannot be written, which would be a defect.
    fn lines(&self, text: &mut Vec<u8>) -> io::Result<()>;
}

fn line(text: &mut Vec<u8>, item: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, item)?;
    text.push(b'\n');
    Ok(())
}

impl ConsoleLines for ExportTraceServiceRequest {
    fn lines(&self, text: &mut Vec<u8>) -> io::Result<()> {
        for scope in self.resource_spans.iter().flat_map(|it| &it.scope_spans) {
            let library = scope.scope.as_ref().map_or("", |scope| &scope.name);
            for span in &scope.spans {
                line(text, &SpanLine::of(span, library))?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct SpanLine<'a> {
    span: &'a str,
    kind: &'static str,
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_span_id: String,
    start: String,
    duration_ms: f64,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status_message: &'a str,
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Value>,
    scope: &'a str,
}

impl<'a> SpanLine<'a> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a span of 100 days is shown right"
    )]
    fn of(span: &'a Span, scope: &'a str) -> Self {
        let nanos = span
            .end_time_unix_nano
            .saturating_sub(span.start_time_unix_nano);
        let status = span.status.as_ref();
        Self {
            span: &span.name,
            kind: match span.kind() {
                span::SpanKind::Unspecified | span::SpanKind::Internal => "internal",
                span::SpanKind::Server => "server",
                span::SpanKind::Client => "client",
                span::SpanKind::Producer => "producer",
                span::SpanKind::Consumer => "consumer",
            },
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_span_id: hex(&span.parent_span_id),
            start: rfc3339(span.start_time_unix_nano),
            duration_ms: nanos as f64 / 1e6,
            status: match status.map(|status| status.code()) {
                None | Some(status::StatusCode::Unset) => "unset",
                Some(status::StatusCode::Ok) => "ok",
                Some(status::StatusCode::Error) => "error",
            },
            status_message: status.map_or("", |status| &status.message),
            attributes: attributes(&span.attributes),
            events: span
                .events
                .iter()
                .map(|event| {
                    json!({
                        "name": event.name,
                        "time": rfc3339(event.time_unix_nano),
                        "attributes": attributes(&event.attributes),
                    })
                })
                .collect(),
            links: span
                .links
                .iter()
                .map(|link| {
                    json!({
                        "trace_id": hex(&link.trace_id),
                        "span_id": hex(&link.span_id),
                        "attributes": attributes(&link.attributes),
                    })
                })
                .collect(),
            scope,
        }
    }
}

impl ConsoleLines for ExportLogsServiceRequest {
    fn lines(&self, text: &mut Vec<u8>) -> io::Result<()> {
        for scope in self.resource_logs.iter().flat_map(|it| &it.scope_logs) {
            let library = scope.scope.as_ref().map_or("", |scope| &scope.name);
            for record in &scope.log_records {
                line(text, &LogLine::of(record, library))?;
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct LogLine<'a> {
    log: Value,
    severity: &'a str,
    time: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_name: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    span_id: String,
    attributes: Map<String, Value>,
    scope: &'a str,
}

impl<'a> LogLine<'a> {
    fn of(record: &'a LogRecord, scope: &'a str) -> Self {
        Self {
            log: record.body.as_ref().map_or_else(nothing, value),
            severity: &record.severity_text,
            time: rfc3339(record.time_unix_nano),
            event_name: &record.event_name,
            trace_id: hex(&record.trace_id),
            span_id: hex(&record.span_id),
            attributes: attributes(&record.attributes),
            scope,
        }
    }
}

impl ConsoleLines for ExportMetricsServiceRequest {
    fn lines(&self, text: &mut Vec<u8>) -> io::Result<()> {
        let resources = self.resource_metrics.iter();
        for scope in resources.flat_map(|it| &it.scope_metrics) {
            let library = scope.scope.as_ref().map_or("", |scope| &scope.name);
            for metric in &scope.metrics {
                for point in points(metric) {
                    line(text, &point.line(metric, library))?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct PointLine<'a> {
    metric: &'a str,
    unit: &'a str,
    kind: &'static str,
    #[serde(flatten)]
    value: Map<String, Value>,
    attributes: Map<String, Value>,
    time: String,
    scope: &'a str,
}

/// A point of whatever kind.
struct Point<'a> {
    kind: &'static str,
    value: Map<String, Value>,
    attributes: &'a [KeyValue],
    nanos: u64,
}

impl<'a> Point<'a> {
    fn line(self, metric: &'a Metric, scope: &'a str) -> PointLine<'a> {
        PointLine {
            metric: &metric.name,
            unit: &metric.unit,
            kind: self.kind,
            value: self.value,
            attributes: attributes(self.attributes),
            time: rfc3339(self.nanos),
            scope,
        }
    }

    fn number(kind: &'static str, point: &'a NumberDataPoint) -> Self {
        let number = match point.value {
            Some(number_data_point::Value::AsDouble(number)) => Some(double(number)),
            Some(number_data_point::Value::AsInt(number)) => Some(json!(number)),
            None => None,
        };
        Self {
            kind,
            value: members([("value", number)]),
            attributes: &point.attributes,
            nanos: point.time_unix_nano,
        }
    }

    fn histogram(point: &'a HistogramDataPoint) -> Self {
        Self {
            kind: "histogram",
            value: members([
                ("count", Some(json!(point.count))),
                ("sum", point.sum.map(double)),
                (
                    "bounds",
                    Some(point.explicit_bounds.iter().copied().map(double).collect()),
                ),
                ("buckets", Some(json!(point.bucket_counts))),
            ]),
            attributes: &point.attributes,
            nanos: point.time_unix_nano,
        }
    }

    fn exponential(point: &'a ExponentialHistogramDataPoint) -> Self {
        Self {
            kind: "exponential_histogram",
            value: members([
                ("count", Some(json!(point.count))),
                ("sum", point.sum.map(double)),
                ("scale", Some(json!(point.scale))),
            ]),
            attributes: &point.attributes,
            nanos: point.time_unix_nano,
        }
    }

    fn summary(point: &'a SummaryDataPoint) -> Self {
        Self {
            kind: "summary",
            value: members([
                ("count", Some(json!(point.count))),
                ("sum", Some(double(point.sum))),
            ]),
            attributes: &point.attributes,
            nanos: point.time_unix_nano,
        }
    }
}

fn points(metric: &Metric) -> Vec<Point<'_>> {
    match &metric.data {
        Some(Data::Gauge(gauge)) => {
            let points = gauge.data_points.iter();
            points.map(|point| Point::number("gauge", point)).collect()
        }
        Some(Data::Sum(sum)) => {
            let kind = match sum.is_monotonic {
                true => "counter",
                false => "up_down_counter",
            };
            let points = sum.data_points.iter();
            points.map(|point| Point::number(kind, point)).collect()
        }
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.iter().map(Point::histogram).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            let points = histogram.data_points.iter();
            points.map(Point::exponential).collect()
        }
        Some(Data::Summary(summary)) => summary.data_points.iter().map(Point::summary).collect(),
        None => Vec::new(),
    }
}

fn attributes(list: &[KeyValue]) -> Map<String, Value> {
    let value = |it: &KeyValue| it.value.as_ref().map_or_else(nothing, value);
    list.iter().map(|it| (it.key.clone(), value(it))).collect()
}

fn value(any: &AnyValue) -> Value {
    match &any.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(value)) => json!(value),
        Some(any_value::Value::IntValue(value)) => json!(value),
        Some(any_value::Value::DoubleValue(value)) => double(*value),
        Some(any_value::Value::BytesValue(bytes)) => json!(hex(bytes)),
        Some(any_value::Value::ArrayValue(list)) => list.values.iter().map(value).collect(),
        Some(any_value::Value::KvlistValue(map)) => Value::Object(attributes(&map.values)),
        _ => nothing(),
    }
}

/// What has no value is an empty text, as the specification has it outside of OTLP.
fn nothing() -> Value {
    json!("")
}

/// A number; a text where JSON has none for it, which would make it `null`.
fn double(number: f64) -> Value {
    not_finite(number).map_or_else(|| json!(number), |text| json!(text))
}

/// An object of the members that have a value.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.collect()
}

/// A time in UTC. The wire format's last year, 2554, is one that it can show.
fn rfc3339(nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    humantime::format_rfc3339_nanos(time).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
