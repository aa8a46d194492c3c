use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum, SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use serde_json::{Value, json};

use super::*;

const NUMBERS: [(f64, &str); 3] = [
    (f64::NAN, "NaN"),
    (f64::INFINITY, "Infinity"),
    (f64::NEG_INFINITY, "-Infinity"),
];

fn encoded(message: &impl Serialize) -> Value {
    let text = encode(message).unwrap();
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        unreachable!("{error}: {}", String::from_utf8_lossy(&text));
    })
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(value: any_value::Value) -> KeyValue {
    KeyValue {
        key: "ratio".into(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

#[test]
fn a_number_that_is_not_finite_is_a_text_wherever_it_stands() {
    for (number, text) in NUMBERS {
        let double = any_value::Value::DoubleValue(number);
        let value = json!({"doubleValue": text});
        let list = any_value::Value::ArrayValue(ArrayValue {
            values: vec![any(double.clone())],
        });
        let list = encoded(&attribute(list));
        assert_eq!(list["value"]["arrayValue"]["values"], json!([value]));
        let map = any_value::Value::KvlistValue(KeyValueList {
            values: vec![attribute(double.clone())],
        });
        let map = encoded(&attribute(map));
        assert_eq!(map["value"]["kvlistValue"]["values"][0]["value"], value);

        let point = NumberDataPoint {
            attributes: vec![attribute(double)],
            value: Some(number_data_point::Value::AsDouble(number)),
            exemplars: vec![Exemplar {
                value: Some(exemplar::Value::AsDouble(number)),
                ..Exemplar::default()
            }],
            ..NumberDataPoint::default()
        };
        for data in [
            metric::Data::Gauge(Gauge {
                data_points: vec![point.clone()],
            }),
            metric::Data::Sum(Sum {
                data_points: vec![point.clone()],
                ..Sum::default()
            }),
        ] {
            let metric = encoded(&Metric {
                data: Some(data),
                ..Metric::default()
            });
            let data = metric.get("gauge").or_else(|| metric.get("sum")).unwrap();
            let point = &data["dataPoints"][0];
            assert_eq!(point["asDouble"], text);
            assert_eq!(point["attributes"][0]["value"], value);
            assert_eq!(point["exemplars"][0]["asDouble"], text);
        }

        let histogram = encoded(&HistogramDataPoint {
            sum: Some(number),
            min: Some(number),
            max: Some(number),
            explicit_bounds: vec![0.5, number],
            ..HistogramDataPoint::default()
        });
        for member in ["sum", "min", "max"] {
            assert_eq!(histogram[member], text);
        }
        assert_eq!(histogram["explicitBounds"], json!([0.5, text]));

        let exponential = encoded(&ExponentialHistogramDataPoint {
            sum: Some(number),
            min: Some(number),
            max: Some(number),
            zero_threshold: number,
            ..ExponentialHistogramDataPoint::default()
        });
        for member in ["sum", "min", "max", "zeroThreshold"] {
            assert_eq!(exponential[member], text);
        }

        let quantile = ValueAtQuantile {
            quantile: number,
            value: number,
        };
        let summary = encoded(&SummaryDataPoint {
            sum: number,
            quantile_values: vec![quantile],
            ..SummaryDataPoint::default()
        });
        assert_eq!(summary["sum"], text);
        assert_eq!(
            summary["quantileValues"],
            json!([{"quantile": text, "value": text}])
        );
    }
}

#[test]
fn what_has_no_value_is_left_out_and_null_stands_nowhere() {
    let no_value = KeyValue {
        key: "nothing".into(),
        value: Some(AnyValue::default()),
        ..KeyValue::default()
    };
    let no_message = KeyValue {
        value: None,
        ..no_value.clone()
    };
    assert_eq!(encoded(&no_value), json!({"key": "nothing", "value": {}}));
    assert_eq!(encoded(&no_message), json!({"key": "nothing"}));
    let list = ArrayValue {
        values: vec![AnyValue::default(), any(any_value::Value::BoolValue(true))],
    };
    assert_eq!(encoded(&list), json!({"values": [{}, {"boolValue": true}]}));
    let metric = Metric {
        data: Some(metric::Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint::default()],
            ..Histogram::default()
        })),
        ..Metric::default()
    };
    for message in [
        encoded(&metric),
        encoded(&Metric::default()),
        encoded(&NumberDataPoint::default()),
        encoded(&ExponentialHistogramDataPoint::default()),
        encoded(&Exemplar::default()),
        encoded(&Span::default()),
        encoded(&LogRecord::default()),
    ] {
        assert!(!message.to_string().contains("null"), "{message}");
    }
}

#[test]
fn numbers_of_64_bits_are_texts_ids_are_hexadecimal_and_bytes_are_base64() {
    let (small, large) = (i64::MIN, u64::MAX);
    let (small_text, large_text) = (small.to_string(), large.to_string());
    assert_eq!(
        encoded(&attribute(any_value::Value::IntValue(small)))["value"],
        json!({"intValue": small_text})
    );
    assert_eq!(
        encoded(&attribute(any_value::Value::BytesValue(vec![0xfb, 0xff])))["value"],
        json!({"bytesValue": "+/8="})
    );
    let point = encoded(&NumberDataPoint {
        start_time_unix_nano: large,
        time_unix_nano: large,
        flags: u32::MAX,
        value: Some(number_data_point::Value::AsInt(small)),
        exemplars: vec![Exemplar {
            time_unix_nano: large,
            span_id: vec![0xab; 8],
            trace_id: vec![0xcd; 16],
            value: Some(exemplar::Value::AsInt(small)),
            ..Exemplar::default()
        }],
        ..NumberDataPoint::default()
    });
    assert_eq!(
        point,
        json!({
            "attributes": [],
            "startTimeUnixNano": large_text,
            "timeUnixNano": large_text,
            "flags": u32::MAX,
            "asInt": small_text,
            "exemplars": [{
                "filteredAttributes": [],
                "timeUnixNano": large_text,
                "spanId": "ab".repeat(8),
                "traceId": "cd".repeat(16),
                "asInt": small_text,
            }],
        })
    );
    let buckets = Some(Buckets {
        offset: -3,
        bucket_counts: vec![large],
    });
    let exponential = encoded(&ExponentialHistogramDataPoint {
        count: large,
        zero_count: large,
        scale: -1,
        positive: buckets.clone(),
        negative: buckets,
        ..ExponentialHistogramDataPoint::default()
    });
    assert_eq!(exponential["count"], large_text);
    assert_eq!(exponential["zeroCount"], large_text);
    assert_eq!(exponential["scale"], -1);
    for side in ["positive", "negative"] {
        let wanted = json!({"offset": -3, "bucketCounts": [large_text]});
        assert_eq!(exponential[side], wanted);
    }
    let histogram = encoded(&HistogramDataPoint {
        count: large,
        bucket_counts: vec![0, large],
        ..HistogramDataPoint::default()
    });
    assert_eq!(histogram["count"], large_text);
    assert_eq!(histogram["bucketCounts"], json!(["0", large_text]));
    let summary = SummaryDataPoint {
        count: large,
        ..SummaryDataPoint::default()
    };
    assert_eq!(encoded(&summary)["count"], large_text);
}

#[test]
fn enums_are_numbers_in_spans_and_log_records() {
    let span = encoded(&Span {
        trace_id: vec![1; 16],
        span_id: vec![0xef; 8],
        parent_span_id: vec![2; 8],
        kind: span::SpanKind::Server.into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: u64::MAX,
        links: vec![span::Link {
            trace_id: vec![3; 16],
            span_id: vec![4; 8],
            ..span::Link::default()
        }],
        events: vec![span::Event {
            time_unix_nano: 7,
            ..span::Event::default()
        }],
        status: Some(Status {
            code: 2,
            message: "no".into(),
        }),
        ..Span::default()
    });
    assert_eq!(span["kind"], 2);
    assert_eq!(span["status"], json!({"code": 2, "message": "no"}));
    assert_eq!(span["traceId"], "01".repeat(16));
    assert_eq!(span["spanId"], "ef".repeat(8));
    assert_eq!(span["parentSpanId"], "02".repeat(8));
    assert_eq!(span["startTimeUnixNano"], "1");
    assert_eq!(span["endTimeUnixNano"], u64::MAX.to_string());
    assert_eq!(span["links"][0]["traceId"], "03".repeat(16));
    assert_eq!(span["links"][0]["spanId"], "04".repeat(8));
    assert_eq!(span["events"][0]["timeUnixNano"], "7");
    let record = LogRecord {
        time_unix_nano: 5,
        observed_time_unix_nano: 6,
        severity_number: 17,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..LogRecord::default()
    };
    let request = encoded(&ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    });
    let record = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "5");
    assert_eq!(record["observedTimeUnixNano"], "6");
    assert_eq!(record["severityNumber"], 17);
    assert_eq!(record["traceId"], "01".repeat(16));
    assert_eq!(record["spanId"], "02".repeat(8));
}

#[test]
fn members_without_a_value_go_wherever_they_stand_and_texts_are_left_alone() {
    for (message, wanted) in [
        (json!({"a": null}), json!({})),
        (json!({"a": null, "b": null}), json!({})),
        (json!({"a": null, "b": true}), json!({"b": true})),
        (json!({"a": true, "b": null}), json!({"a": true})),
        (
            json!({"a": "1", "b": null, "c": "2"}),
            json!({"a": "1", "c": "2"}),
        ),
        (json!([{"a": null}, {"b": true}]), json!([{}, {"b": true}])),
        (json!({"a": {"b": null}}), json!({"a": {}})),
        (
            json!({"a": ":null", "b": "\":null,\\", "\"c": null}),
            json!({"a": ":null", "b": "\":null,\\"}),
        ),
    ] {
        assert_eq!(encoded(&message), wanted, "{message}");
    }
}

#[test]
fn a_list_takes_no_more_than_its_text() {
    let element = any(any_value::Value::BoolValue(true));
    let list = ArrayValue {
        values: vec![element; 1_000],
    };
    let text = encode(&list).unwrap();
    assert_eq!(
        text.len(),
        r#"{"values":[]}"#.len() + 1_000 * r#"{"boolValue":true},"#.len() - 1
    );
    assert!(text.capacity() <= 2 * text.len());
}
