//! OTLP's JSON, as backends take it.
//!
//! The generated messages write what they have no value for as `null`, and
//! numbers that are none as well. Collectors refuse the whole batch for one of
//! those, and an attribute that is not a number is easily made by a guest. What
//! is kept while encoding is text alone: a tree of values would take thirty
//! times as much, and how much there is to tell is a guest's to say.

use serde::Serialize;

/// Members that are in their message for the sake of their value.
const NUMBERS: [&[u8]; 2] = [b"\"doubleValue\":", b"\"asDouble\":"];
const NULL: &[u8] = b"null";

/// Encodes a message.
///
/// # Errors
/// Where it cannot be told in JSON, which would be a defect.
pub(super) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    Ok(tidy(&serde_json::to_vec(message)?))
}

/// Leaves out what is not there. A number that is none is a text in Protobuf's
/// JSON; which of the three it was is lost by now. `json` is as `serde_json`
/// writes it: well-formed, and without white space.
fn tidy(json: &[u8]) -> Vec<u8> {
    let mut tidied = Vec::with_capacity(json.len());
    let mut rest = json;
    // Where the latest text began, which is the key of a `null` behind a colon.
    let mut latest_text = 0;
    while let Some(byte) = rest.first() {
        if *byte == b'"' {
            let (text, behind) = rest.split_at(text_length(rest));
            latest_text = tidied.len();
            tidied.extend_from_slice(text);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(NULL)
            && tidied.ends_with(b":")
        {
            rest = behind;
            if NUMBERS.contains(&&tidied[latest_text..]) {
                tidied.extend_from_slice(b"\"NaN\"");
                continue;
            }
            tidied.truncate(latest_text);
            // One of the commas around it goes with it.
            if tidied.ends_with(b",") {
                tidied.pop();
            } else if let Some(behind) = rest.strip_prefix(b",") {
                rest = behind;
            }
        } else {
            tidied.push(*byte);
            rest = &rest[1..];
        }
    }
    tidied
}

/// The bytes of the text that `json` begins with, its quotes included.
fn text_length(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::{
        HistogramDataPoint, NumberDataPoint, number_data_point,
    };
    use serde_json::{Value, json};

    use super::*;

    fn encoded(message: &impl Serialize) -> Value {
        serde_json::from_slice(&encode(message).unwrap()).unwrap()
    }

    #[test]
    fn a_number_that_is_none_is_a_text_and_what_is_absent_is_left_out() {
        for (number, wanted) in [(1.5, json!(1.5)), (f64::NAN, json!("NaN"))] {
            let value = Some(any_value::Value::DoubleValue(number));
            let attribute = KeyValue {
                key: "ratio".into(),
                value: Some(AnyValue { value }),
                ..KeyValue::default()
            };
            let point = NumberDataPoint {
                attributes: vec![attribute],
                value: Some(number_data_point::Value::AsDouble(number)),
                ..NumberDataPoint::default()
            };
            let point = encoded(&point);
            assert_eq!(point["asDouble"], wanted);
            assert_eq!(point["attributes"][0]["value"]["doubleValue"], wanted);
        }
        let histogram = encoded(&HistogramDataPoint::default());
        assert!(histogram.get("sum").is_none(), "{histogram}");
        assert!(!histogram.to_string().contains("null"), "{histogram}");
    }

    #[test]
    fn members_without_a_value_go_wherever_they_stand_and_texts_are_left_alone() {
        for (message, wanted) in [
            (json!({"a": null}), json!({})),
            (json!({"a": null, "b": null}), json!({})),
            (json!({"a": null, "b": 1}), json!({"b": 1})),
            (json!({"a": 1, "b": null}), json!({"a": 1})),
            (json!({"a": 1, "b": null, "c": 2}), json!({"a": 1, "c": 2})),
            (json!([{"a": null}, {"b": 1}]), json!([{}, {"b": 1}])),
            (json!({"a": {"b": null}}), json!({"a": {}})),
            (
                json!({"a": ":null", "b": "\":null,\\", "\"c": null}),
                json!({"a": ":null", "b": "\":null,\\"}),
            ),
            (json!({"asDouble": null}), json!({"asDouble": "NaN"})),
            (
                json!({"x": "asDouble", "y": null}),
                json!({"x": "asDouble"}),
            ),
        ] {
            assert_eq!(encoded(&message), wanted, "{message}");
        }
    }

    #[test]
    fn a_list_takes_no_more_than_its_text() {
        let element = AnyValue {
            value: Some(any_value::Value::BoolValue(true)),
        };
        let list = ArrayValue {
            values: vec![element; 1_000],
        };
        let text = encode(&list).unwrap();
        assert_eq!(
            text.len(),
            r#"{"values":[]}"#.len() + 1_000 * r#"{"boolValue":true},"#.len() - 1
        );
        assert!(text.capacity() < 2 * text.len());
    }
}
