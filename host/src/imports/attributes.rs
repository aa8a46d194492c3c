//! Turns WIT attributes into OpenTelemetry ones, within their bounds.
//! Never panics on guest input.

use std::time::{Duration, SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::bindings::fanlight::telemetry::types;
use crate::span::{SpanLimits, put};
use crate::telemetry::Dropped;

/// Converts attributes: the last value of a key counts, empty keys are ignored,
/// and what is over the limit is dropped and counted.
pub(super) fn convert(
    attributes: Vec<types::Attribute>,
    limits: &SpanLimits,
    dropped: &Dropped,
) -> Vec<KeyValue> {
    convert_counting(attributes, limits, dropped).0
}

/// Converts attributes, and tells how many were dropped.
pub(super) fn convert_counting(
    mut attributes: Vec<types::Attribute>,
    limits: &SpanLimits,
    dropped: &Dropped,
) -> (Vec<KeyValue>, u32) {
    let mut converted = Vec::with_capacity(attributes.len().min(limits.attributes));
    // Each is compared with all that are kept: what is far over the limit is
    // not looked at, or one call could keep a thread busy for a second.
    let looked_at = limits.attributes.saturating_mul(4);
    let unseen = attributes.len().saturating_sub(looked_at);
    let mut over = u32::try_from(unseen).unwrap_or(u32::MAX);
    attributes.truncate(looked_at);
    for types::Attribute { key, value } in attributes {
        if key.is_empty() {
            continue;
        }
        let attribute = KeyValue::new(cut(key, limits.text_bytes), self::value(value, limits));
        if !put(&mut converted, attribute, limits.attributes) {
            over = over.saturating_add(1);
        }
    }
    if over > 0 {
        dropped.attributes(u64::from(over));
    }
    (converted, over)
}

/// Converts a value; texts are cut, and lists too where they take more bytes
/// than a text may.
pub(super) fn value(value: types::Value, limits: &SpanLimits) -> Value {
    let room = limits.text_bytes;
    match value {
        types::Value::String(text) => Value::String(cut(text, room).into()),
        types::Value::Bool(value) => Value::Bool(value),
        types::Value::S64(value) => Value::I64(value),
        types::Value::F64(value) => Value::F64(value),
        types::Value::StringList(list) => {
            let mut left = room;
            let texts = list.into_iter().map_while(|text| {
                // An empty text takes room as well: a list of millions has to end.
                left = left.checked_sub(text.len().min(room) + 1)?;
                Some(StringValue::from(cut(text, room)))
            });
            Value::Array(Array::String(texts.collect()))
        }
        types::Value::BoolList(mut list) => {
            list.truncate(room);
            Value::Array(Array::Bool(list))
        }
        types::Value::S64List(mut list) => {
            list.truncate(room / 8);
            Value::Array(Array::I64(list))
        }
        types::Value::F64List(mut list) => {
            list.truncate(room / 8);
            Value::Array(Array::F64(list))
        }
    }
}

/// Converts a value to what log records hold.
pub(super) fn any_value(value: Value) -> AnyValue {
    fn list<T: Into<AnyValue>>(values: Vec<T>) -> AnyValue {
        AnyValue::ListAny(Box::new(values.into_iter().map(Into::into).collect()))
    }
    match value {
        Value::Bool(value) => AnyValue::Boolean(value),
        Value::I64(value) => AnyValue::Int(value),
        Value::F64(value) => AnyValue::Double(value),
        Value::String(text) => AnyValue::String(text),
        Value::Array(Array::Bool(values)) => list(values),
        Value::Array(Array::I64(values)) => list(values),
        Value::Array(Array::F64(values)) => list(values),
        Value::Array(Array::String(values)) => list(values),
        other => AnyValue::String(other.to_string().into()),
    }
}

/// Cuts a text at `limit` bytes, at a character's border.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        // The memory of the cut part would stay with the attribute.
        text.shrink_to_fit();
    }
    text
}

/// Converts a time; one that no clock here can show becomes the epoch.
pub(super) fn time(time: Datetime) -> SystemTime {
    let since = Duration::from_secs(time.seconds)
        .checked_add(Duration::from_nanos(time.nanoseconds.into()))
        // OTLP holds nanoseconds in 64 bits: until the year 2554.
        .filter(|since| since.as_nanos() <= u128::from(u64::MAX));
    since
        .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(key: &str, value: types::Value) -> types::Attribute {
        types::Attribute {
            key: key.into(),
            value,
        }
    }

    #[test]
    fn the_last_value_of_a_key_counts_and_empty_keys_are_ignored() {
        let attributes = vec![
            attribute("a", types::Value::S64(1)),
            attribute("", types::Value::S64(2)),
            attribute("a", types::Value::Bool(true)),
        ];
        let converted = convert(attributes, &SpanLimits::default(), &Dropped::default());
        assert_eq!(converted, [KeyValue::new("a", true)]);
    }

    #[test]
    fn what_is_over_the_limit_is_counted() {
        let attributes = (0..130).map(|n| attribute(&format!("k{n}"), types::Value::S64(n)));
        let dropped = Dropped::default();
        let (converted, over) =
            convert_counting(attributes.collect(), &SpanLimits::default(), &dropped);
        assert_eq!((converted.len(), over), (128, 2));
        assert!(dropped.read().contains(&("attribute", 2)));
        let flood = (0..100_000).map(|n| attribute(&format!("k{n}"), types::Value::S64(n)));
        let (converted, over) = convert_counting(flood.collect(), &SpanLimits::default(), &dropped);
        assert_eq!((converted.len(), over), (128, 100_000 - 128));
    }

    #[test]
    fn texts_and_lists_are_cut_at_the_same_size() {
        let limits = SpanLimits {
            text_bytes: 16,
            ..SpanLimits::default()
        };
        let text = value(types::Value::String("é".repeat(20)), &limits);
        assert_eq!(text, Value::String("é".repeat(8).into()));
        let Value::Array(Array::I64(list)) = value(types::Value::S64List(vec![7; 9]), &limits)
        else {
            unreachable!()
        };
        assert_eq!(list.len(), 2);
        let Value::Array(Array::String(list)) =
            value(types::Value::StringList(vec![String::new(); 99]), &limits)
        else {
            unreachable!()
        };
        assert_eq!(list.len(), 16);
    }

    #[test]
    fn a_time_beyond_the_wire_format_becomes_the_epoch() {
        let far = Datetime {
            seconds: u64::MAX,
            nanoseconds: u32::MAX,
        };
        assert_eq!(time(far), SystemTime::UNIX_EPOCH);
    }
}
