//! What a collector was sent, in a form that tests can look at.

use std::collections::BTreeMap;

use fanlight_runner::span::{Event, Kind, Span, Status};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use serde_json::{Value, json};

/// Attributes by key. A key that was sent twice fails the test that sees it.
pub type Attributes = BTreeMap<String, Value>;

/// A span with all that OTLP says of it.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    /// What the runner looks at too.
    pub span: Span,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// The description of an Error status.
    pub status_message: String,
    /// The spans it refers to.
    pub links: Vec<CollectedLink>,
    /// The library's name and version.
    pub scope: (String, String),
    /// What else the library says of itself.
    pub scope_attributes: Attributes,
    /// The resource's attributes.
    pub resource: Attributes,
    /// OTLP's flags: the W3C ones and whether the parent is remote.
    pub flags: u32,
    /// The vendors' keys and values.
    pub trace_state: String,
    /// When each event was, in nanoseconds since 1970.
    pub event_times: Vec<u64>,
    /// Attributes, events and links that were dropped.
    pub dropped: (u32, u32, u32),
}

impl std::ops::Deref for CollectedSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl CollectedSpan {
    /// An attribute's value; null where there is none.
    pub fn attribute(&self, key: &str) -> Value {
        self.attributes.get(key).cloned().unwrap_or(Value::Null)
    }

    /// The event of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn event(&self, name: &str) -> &Event {
        let event = self.events.iter().find(|event| event.name == name);
        event.unwrap_or_else(|| panic!("no event {name} on {self:#?}"))
    }
}

/// A reference to another span.
#[derive(Clone, Debug)]
pub struct CollectedLink {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The vendors' keys and values.
    pub trace_state: String,
    /// What was said about it.
    pub attributes: Attributes,
}

/// A log record.
#[derive(Clone, Debug)]
pub struct CollectedLog {
    /// What was told.
    pub body: Value,
    /// OTLP's number, 1 to 24.
    pub severity: i32,
    /// Its name.
    pub severity_text: String,
    /// What else was told.
    pub attributes: Attributes,
    /// The name of the event.
    pub event_name: String,
    /// 32 hexadecimal digits, or none.
    pub trace_id: String,
    /// 16 hexadecimal digits, or none.
    pub span_id: String,
    /// The library's name.
    pub scope: String,
    /// When it happened and when it was seen, in nanoseconds since 1970.
    pub times: (u64, u64),
    /// The W3C flags.
    pub flags: u32,
    /// The resource's attributes.
    pub resource: Attributes,
}

/// One point of a metric.
#[derive(Clone, Debug)]
pub struct CollectedPoint {
    /// The metric's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// `sum`, `up-down`, `gauge`, `histogram` or `exponential`.
    pub kind: &'static str,
    /// What the point is about.
    pub attributes: Attributes,
    /// The value of a sum or gauge, the sum of a histogram.
    pub value: f64,
    /// The count of a histogram.
    pub count: u64,
    /// Its buckets' upper bounds.
    pub bounds: Vec<f64>,
    /// `cumulative` or `delta`; nothing for a gauge.
    pub temporality: &'static str,
    /// What its buckets hold; of an exponential one those of positive values.
    pub buckets: Vec<u64>,
    /// Its least and greatest value.
    pub range: (Option<f64>, Option<f64>),
    /// The scale of an exponential one, what is zero, and its first bucket.
    pub exponential: (i32, u64, i32),
    /// The library's name.
    pub scope: String,
    /// The resource's attributes.
    pub resource: Attributes,
}

pub(crate) fn spans(request: ExportTraceServiceRequest) -> Vec<CollectedSpan> {
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let of = attributes(
            resource
                .resource
                .map(|it| it.attributes)
                .unwrap_or_default(),
        );
        for scope in resource.scope_spans {
            let library = scope.scope.unwrap_or_default();
            let scope_attributes = attributes(library.attributes);
            for span in scope.spans {
                let library = (library.name.clone(), library.version.clone());
                spans.push(CollectedSpan {
                    scope_attributes: scope_attributes.clone(),
                    ..collected(span, library, of.clone())
                });
            }
        }
    }
    spans
}

fn collected(span: otlp::Span, scope: (String, String), resource: Attributes) -> CollectedSpan {
    let status = span.status.unwrap_or_default();
    CollectedSpan {
        trace_id: hex(&span.trace_id),
        status_message: status.message,
        links: span
            .links
            .into_iter()
            .map(|link| CollectedLink {
                trace_id: hex(&link.trace_id),
                span_id: hex(&link.span_id),
                trace_state: link.trace_state,
                attributes: attributes(link.attributes),
            })
            .collect(),
        scope,
        scope_attributes: Attributes::new(),
        resource,
        flags: span.flags,
        trace_state: span.trace_state,
        event_times: span
            .events
            .iter()
            .map(|event| event.time_unix_nano)
            .collect(),
        dropped: (
            span.dropped_attributes_count,
            span.dropped_events_count,
            span.dropped_links_count,
        ),
        span: Span {
            name: span.name,
            span_id: hex(&span.span_id),
            parent_span_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            kind: Kind::from_otlp(u64::try_from(span.kind).unwrap_or_default()),
            status: Status::from_otlp(u64::try_from(status.code).unwrap_or_default()),
            attributes: attributes(span.attributes),
            events: span
                .events
                .into_iter()
                .map(|event| Event {
                    name: event.name,
                    attributes: attributes(event.attributes),
                })
                .collect(),
            start_unix_nanos: span.start_time_unix_nano,
            end_unix_nanos: span.end_time_unix_nano,
        },
    }
}

pub(crate) fn logs(request: ExportLogsServiceRequest) -> Vec<CollectedLog> {
    let scopes = request.resource_logs.into_iter().flat_map(|it| {
        let of = attributes(it.resource.map(|it| it.attributes).unwrap_or_default());
        let scopes = it.scope_logs.into_iter();
        scopes.map(move |scope| (scope, of.clone()))
    });
    let records = scopes.flat_map(|(scope, resource)| {
        let library = scope.scope.unwrap_or_default().name;
        scope
            .log_records
            .into_iter()
            .map(move |record| (library.clone(), resource.clone(), record))
    });
    records
        .map(|(scope, resource, record)| CollectedLog {
            body: record.body.map_or(Value::Null, value),
            severity: record.severity_number,
            severity_text: record.severity_text,
            attributes: attributes(record.attributes),
            event_name: record.event_name,
            trace_id: hex(&record.trace_id),
            span_id: hex(&record.span_id),
            scope,
            times: (record.time_unix_nano, record.observed_time_unix_nano),
            flags: record.flags,
            resource,
        })
        .collect()
}

pub(crate) fn points(request: ExportMetricsServiceRequest) -> Vec<CollectedPoint> {
    let mut points = Vec::new();
    let scopes = request.resource_metrics.into_iter().flat_map(|it| {
        let of = attributes(it.resource.map(|it| it.attributes).unwrap_or_default());
        let scopes = it.scope_metrics.into_iter();
        scopes.map(move |scope| (scope, of.clone()))
    });
    for (scope, resource) in scopes {
        let library = scope.scope.unwrap_or_default().name;
        for metric in scope.metrics {
            let temporality = match &metric.data {
                Some(metric::Data::Sum(sum)) => sum.aggregation_temporality(),
                Some(metric::Data::Histogram(it)) => it.aggregation_temporality(),
                Some(metric::Data::ExponentialHistogram(it)) => it.aggregation_temporality(),
                _ => AggregationTemporality::Unspecified,
            };
            let point = |kind, attributes: Vec<KeyValue>, value, count, bounds| CollectedPoint {
                name: metric.name.clone(),
                unit: metric.unit.clone(),
                kind,
                attributes: self::attributes(attributes),
                value,
                count,
                bounds,
                temporality: match temporality {
                    AggregationTemporality::Cumulative => "cumulative",
                    AggregationTemporality::Delta => "delta",
                    AggregationTemporality::Unspecified => "",
                },
                buckets: Vec::new(),
                range: (None, None),
                exponential: (0, 0, 0),
                scope: library.clone(),
                resource: resource.clone(),
            };
            match metric.data {
                Some(metric::Data::Sum(sum)) => {
                    let kind = if sum.is_monotonic { "sum" } else { "up-down" };
                    points.extend(
                        sum.data_points
                            .into_iter()
                            .map(|it| point(kind, it.attributes, number(it.value), 0, Vec::new())),
                    );
                }
                Some(metric::Data::Gauge(gauge)) => {
                    points.extend(
                        gauge.data_points.into_iter().map(|it| {
                            point("gauge", it.attributes, number(it.value), 0, Vec::new())
                        }),
                    );
                }
                Some(metric::Data::Histogram(histogram)) => {
                    points.extend(histogram.data_points.into_iter().map(|it| {
                        let sum = it.sum.unwrap_or_default();
                        CollectedPoint {
                            buckets: it.bucket_counts,
                            range: (it.min, it.max),
                            ..point(
                                "histogram",
                                it.attributes,
                                sum,
                                it.count,
                                it.explicit_bounds,
                            )
                        }
                    }));
                }
                Some(metric::Data::ExponentialHistogram(histogram)) => {
                    points.extend(histogram.data_points.into_iter().map(|it| {
                        let sum = it.sum.unwrap_or_default();
                        let positive = it.positive.unwrap_or_default();
                        CollectedPoint {
                            buckets: positive.bucket_counts,
                            range: (it.min, it.max),
                            exponential: (it.scale, it.zero_count, positive.offset),
                            ..point("exponential", it.attributes, sum, it.count, Vec::new())
                        }
                    }));
                }
                _ => {}
            }
        }
    }
    points
}

#[expect(clippy::cast_precision_loss, reason = "tests count to less than 2^53")]
fn number(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    }
}

fn attributes(list: Vec<KeyValue>) -> Attributes {
    let mut attributes = Attributes::new();
    for attribute in list {
        let value = attribute.value.map_or(Value::Null, value);
        let twice = attributes.insert(attribute.key.clone(), value);
        assert!(twice.is_none(), "{} was sent twice", attribute.key);
    }
    attributes
}

fn value(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(value)) => json!(value),
        Some(any_value::Value::IntValue(value)) => json!(value),
        // As ProtoJSON has them: JSON has no such numbers.
        Some(any_value::Value::DoubleValue(value)) if value.is_nan() => json!("NaN"),
        Some(any_value::Value::DoubleValue(f64::INFINITY)) => json!("Infinity"),
        Some(any_value::Value::DoubleValue(f64::NEG_INFINITY)) => json!("-Infinity"),
        Some(any_value::Value::DoubleValue(value)) => json!(value),
        Some(any_value::Value::ArrayValue(list)) => {
            Value::Array(list.values.into_iter().map(self::value).collect())
        }
        Some(any_value::Value::KvlistValue(map)) => json!(attributes(map.values)),
        // JSON has no bytes: told from a text by what is around them.
        Some(any_value::Value::BytesValue(bytes)) => json!({"bytes": bytes}),
        other => panic!("an attribute of a kind that nobody sends: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
