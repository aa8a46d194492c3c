//! Turns WIT attributes into OpenTelemetry ones, within their bounds.
//! Never panics on guest input.

use std::time::{Duration, SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::guest_api::bindings::fanlight::telemetry::types;
use fanlight_telemetry::Dropped;
use fanlight_telemetry::sanitize::truncated;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES, length_of};
use fanlight_telemetry::trace::span::AttributeIndex;

/// The most bytes of a list as a whole, where a text may not be longer.
const MAX_LIST_BYTES: usize = 16 * 1024;

/// Converts attributes: the last value of a key counts, empty keys are ignored,
/// and what is over the limit is dropped and counted.
pub(crate) fn convert(
    attributes: Vec<types::Attribute>,
    limits: AttributeLimits,
    dropped: &Dropped,
) -> Vec<KeyValue> {
    convert_counting(attributes, limits, dropped).0
}

/// Converts attributes, and tells how many were dropped.
pub(crate) fn convert_counting(
    mut attributes: Vec<types::Attribute>,
    limits: AttributeLimits,
    dropped: &Dropped,
) -> (Vec<KeyValue>, u32) {
    let mut converted = Vec::with_capacity(attributes.len().min(limits.count));
    let mut keys = AttributeIndex::default();
    // What is far over the limit is not looked at: one call could bring so many
    // that it keeps a thread busy.
    let looked_at = limits.count.saturating_mul(4);
    let unseen = attributes.len().saturating_sub(looked_at);
    let mut over = u32::try_from(unseen).unwrap_or(u32::MAX);
    attributes.truncate(looked_at);
    for types::Attribute { key, value } in attributes {
        if key.is_empty() {
            continue;
        }
        let value = self::value(value, limits.value_length);
        let attribute = KeyValue::new(cut(key, MAX_TEXT_BYTES), value);
        if !keys.put(&mut converted, attribute, limits.count) {
            over = over.saturating_add(1);
        }
    }
    if over > 0 {
        dropped.attributes(u64::from(over));
    }
    (converted, over)
}

/// Converts a value; texts are cut to `length` characters, as the specification
/// has it, and lists where they take more bytes than a list may.
pub(crate) fn value(value: types::Value, length: usize) -> Value {
    let room = length.max(MAX_LIST_BYTES);
    match value {
        types::Value::String(text) => Value::String(cut_text(text, length).into()),
        types::Value::Bool(value) => Value::Bool(value),
        types::Value::S64(value) => Value::I64(value),
        types::Value::F64(value) => Value::F64(value),
        types::Value::StringList(list) => {
            let mut left = room;
            let texts = list.into_iter().map_while(|text| {
                // An empty text takes room as well: a list of millions has to end.
                left = left.checked_sub(1)?;
                let text = cut(cut_text(text, length), left);
                left -= text.len();
                Some(StringValue::from(text))
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
pub(crate) fn any_value(value: Value) -> AnyValue {
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
pub(crate) fn cut(text: String, limit: usize) -> String {
    let end = truncated(&text, limit).len();
    cut_at(text, end)
}

/// Cuts a text at `limit` characters.
pub(crate) fn cut_text(text: String, limit: usize) -> String {
    // No text has more characters than bytes, and few are so long.
    if text.len() <= limit {
        return text;
    }
    let end = length_of(&text, limit);
    cut_at(text, end)
}

fn cut_at(mut text: String, end: usize) -> String {
    if text.len() > end {
        text.truncate(end);
        // The memory of the cut part would stay with the attribute.
        text.shrink_to_fit();
    }
    text
}

/// Converts a time; one that no clock here can show becomes the epoch.
pub(crate) fn time(time: Datetime) -> SystemTime {
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
        let converted = convert(attributes, AttributeLimits::default(), &Dropped::default());
        assert_eq!(converted, [KeyValue::new("a", true)]);
    }

    #[test]
    fn what_is_over_the_limit_is_counted() {
        let attributes = (0..130).map(|n| attribute(&format!("k{n}"), types::Value::S64(n)));
        let dropped = Dropped::default();
        let (converted, over) =
            convert_counting(attributes.collect(), AttributeLimits::default(), &dropped);
        assert_eq!((converted.len(), over), (128, 2));
        assert!(dropped.read().contains(&("attribute", 2)));
        let flood = (0..100_000).map(|n| attribute(&format!("k{n}"), types::Value::S64(n)));
        let (converted, over) =
            convert_counting(flood.collect(), AttributeLimits::default(), &dropped);
        assert_eq!((converted.len(), over), (128, 100_000 - 128));
    }

    #[test]
    fn texts_are_cut_by_characters_and_keys_are_not() {
        let limits = AttributeLimits {
            count: 8,
            value_length: 5,
        };
        let texts = vec!["é".repeat(20), "x".repeat(5)];
        let attributes = vec![
            attribute("a.long.key", types::Value::String("é".repeat(20))),
            attribute("b", types::Value::StringList(texts)),
        ];
        let list = vec![StringValue::from("é".repeat(5)), "xxxxx".into()];
        assert_eq!(
            convert(attributes, limits, &Dropped::default()),
            [
                KeyValue::new("a.long.key", "é".repeat(5)),
                KeyValue::new("b", Value::Array(Array::String(list)))
            ]
        );
    }

    #[test]
    fn lists_end_where_they_take_too_much() {
        let of = |sent| match value(sent, 16) {
            Value::Array(Array::I64(list)) => list.len(),
            Value::Array(Array::Bool(list)) => list.len(),
            Value::Array(Array::String(list)) => list.len(),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(of(types::Value::S64List(vec![7; 3_000])), 2_048);
        assert_eq!(of(types::Value::BoolList(vec![true; 20_000])), 16_384);
        let empty = vec![String::new(); 99_999];
        assert_eq!(of(types::Value::StringList(empty)), 16_384);
        let long = vec!["x".repeat(16); 2_000];
        assert_eq!(of(types::Value::StringList(long)), 964);
    }

    #[test]
    fn a_list_of_one_long_text_keeps_its_beginning() {
        let list = types::Value::StringList(vec!["x".repeat(20_000)]);
        let Value::Array(Array::String(kept)) = value(list, 30_000) else {
            unreachable!("it is a list")
        };
        assert_eq!(kept[0].as_str().len(), 20_000);
        let list = types::Value::StringList(vec!["x".repeat(20_000)]);
        let Value::Array(Array::String(kept)) = value(list, 16 * 1024) else {
            unreachable!("it is a list")
        };
        assert_eq!(kept[0].as_str().len(), 16 * 1024 - 1);
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
