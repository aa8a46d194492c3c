use opentelemetry_proto::tonic::metrics::v1::{Gauge, Histogram, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

use super::*;

#[test]
fn a_span_is_one_line_whatever_its_texts_hold() {
    let span = Span {
        name: "GET /\nx\u{1b}".into(),
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_000_000_000,
        end_time_unix_nano: 1_001_500_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    let mut text = Vec::new();
    ExportTraceServiceRequest { resource_spans }
        .lines(&mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    assert!(!text.contains('\u{1b}'));
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["span"], "GET /\nx\u{1b}");
    assert_eq!(line["duration_ms"], 1.5);
    assert_eq!(line["start"], "1970-01-01T00:00:01.000000000Z");
    assert_eq!(line["trace_id"], "01".repeat(16));
}
#[test]
fn numbers_that_are_not_finite_are_texts_and_null_stands_nowhere() {
    let attribute = |value| KeyValue {
        key: "ratio".into(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    };
    let infinite = Some(any_value::Value::DoubleValue(f64::NEG_INFINITY));
    let gauge = Gauge {
        data_points: [f64::NAN, f64::INFINITY]
            .map(|number| NumberDataPoint {
                attributes: vec![attribute(infinite.clone())],
                value: Some(number_data_point::Value::AsDouble(number)),
                ..NumberDataPoint::default()
            })
            .to_vec(),
    };
    let mut histograms = vec![HistogramDataPoint::default(); 2];
    histograms[1] = HistogramDataPoint {
        sum: Some(f64::NAN),
        explicit_bounds: vec![f64::INFINITY],
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram {
        data_points: histograms,
        ..Histogram::default()
    };
    let data = [Data::Gauge(gauge), Data::Histogram(histogram)];
    let metrics = data.map(|data| Metric {
        data: Some(data),
        ..Metric::default()
    });
    let mut text = Vec::new();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.to_vec(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .lines(&mut text)
    .unwrap();
    let record = LogRecord {
        attributes: vec![attribute(None), attribute(infinite)],
        ..LogRecord::default()
    };
    line(&mut text, &LogLine::of(&record, "")).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("null"), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["value"], "NaN");
    assert_eq!(lines[0]["attributes"]["ratio"], "-Infinity");
    assert_eq!(lines[1]["value"], "Infinity");
    assert!(lines[2].get("sum").is_none(), "{text}");
    assert_eq!(lines[3]["sum"], "NaN");
    assert_eq!(lines[3]["bounds"], json!(["Infinity"]));
    assert_eq!(lines[4]["attributes"]["ratio"], "-Infinity");
}
