//! Attribute values as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Values nest no deeper here; the rest is left out.
const MAX_DEPTH: usize = 16;

/// The value as a page shows it and a search compares it.
pub(crate) fn text(value: Option<&AnyValue>) -> String {
    let mut out = String::new();
    write(value, MAX_DEPTH, &mut out);
    out
}

fn write(value: Option<&AnyValue>, depth: usize, out: &mut String) {
    let Some(value) = value.and_then(|it| it.value.as_ref()) else {
        return;
    };
    match value {
        Value::StringValue(text) => out.push_str(text),
        Value::BoolValue(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::IntValue(value) => out.push_str(&value.to_string()),
        Value::DoubleValue(value) => out.push_str(&value.to_string()),
        Value::BytesValue(bytes) => out.push_str(&BASE64.encode(bytes)),
        Value::StringValueStrindex(_) => {}
        Value::ArrayValue(_) | Value::KvlistValue(_) if depth == 0 => out.push('…'),
        Value::ArrayValue(list) => {
            out.push('[');
            for (at, item) in list.values.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(Some(item), depth - 1, out);
            }
            out.push(']');
        }
        Value::KvlistValue(list) => {
            out.push('{');
            for (at, item) in list.values.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                out.push_str(&item.key);
                out.push_str(": ");
                write(item.value.as_ref(), depth - 1, out);
            }
            out.push('}');
        }
    }
}

/// The value of a key; the last one where the key is there twice.
pub(crate) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    let found = attributes.iter().rev().find(|it| it.key == key);
    found.and_then(|it| it.value.as_ref())
}

/// The same as text.
pub(crate) fn find_text(attributes: &[KeyValue], key: &str) -> Option<String> {
    find(attributes, key).map(|value| text(Some(value)))
}
