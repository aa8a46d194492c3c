//! OTLP's JSON, as backends take it.
//!
//! The generated messages write what they have no value for as `null`, and
//! numbers that are none as well. Collectors refuse the whole batch for one of
//! those, and an attribute that is not a number is easily made by a guest.

use serde::Serialize;
use serde_json::Value;

/// Members that are in their message for the sake of their value.
const NUMBERS: [&str; 2] = ["doubleValue", "asDouble"];

/// Encodes a message.
///
/// # Errors
/// Where it cannot be told in JSON, which would be a defect.
pub(super) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(message)?;
    tidy(&mut value);
    serde_json::to_vec(&value)
}

/// Leaves out what is not there. A number that is none is a text in Protobuf's
/// JSON; which of the three it was is lost by now.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in NUMBERS {
                if let Some(number @ Value::Null) = members.get_mut(name) {
                    *number = "NaN".into();
                }
            }
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::{
        HistogramDataPoint, NumberDataPoint, number_data_point,
    };
    use serde_json::json;

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
}
