//! Values that a guest sends as JSON texts, within their bounds.
//!
//! What is no JSON is a string: nothing that a guest says is an error here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry::Key;
use opentelemetry::logs::AnyValue;
use serde_json::{Number, Value as Json};

use crate::guest_api::attributes::{cut, cut_text};
use crate::guest_api::bindings::fanlight::telemetry::types::{Attribute, Value};
use crate::guest_api::wasi_otel::bindings::wasi::otel::types::KeyValue;
use fanlight_telemetry::sanitize::truncated;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};

/// How deep arrays and objects may nest. Each level takes three of the 100 that
/// decoders of protobuf go down.
pub(crate) const MAX_DEPTH: usize = 16;
/// What a string begins with that stands for bytes (RFC 2397).
const BYTES: &str = "data:application/octet-stream;base64,";
/// The longest escape of one character: two such as `\u0041`.
const LONGEST_ESCAPE: usize = 12;
/// The longest text of an array or object, in bytes: what it becomes takes some
/// times as much. Of a longer one the text is kept.
const MAX_NESTED_BYTES: usize = 16 * 1024;

/// Reads attributes of spans and metrics; tells how many are so far over the
/// limit that they are not even looked at.
pub(crate) fn attributes(list: Vec<KeyValue>, limits: AttributeLimits) -> (Vec<Attribute>, u32) {
    let (list, unseen) = looked_at(list, limits);
    let attributes = list.map(|KeyValue { key, value }| Attribute {
        key,
        value: self::value(value, limits.value_length),
    });
    (attributes.collect(), unseen)
}

/// Reads attributes of log records, which hold any value; tells how many are
/// over the limit. The last value of a key counts, empty keys are ignored.
pub(crate) fn any_attributes(
    list: Vec<KeyValue>,
    limits: AttributeLimits,
) -> (Vec<(Key, AnyValue)>, u32) {
    let (list, mut over) = looked_at(list, limits);
    let mut kept: Vec<(Key, AnyValue)> = Vec::new();
    for KeyValue { key, value } in list {
        if key.is_empty() {
            continue;
        }
        let key = Key::from(cut(key, MAX_TEXT_BYTES));
        match kept.iter().position(|(known, _)| *known == key) {
            Some(at) => kept[at].1 = any_value(value, limits.value_length),
            None if kept.len() < limits.count => {
                kept.push((key, any_value(value, limits.value_length)));
            }
            None => over = over.saturating_add(1),
        }
    }
    (kept, over)
}

/// Each is parsed and compared with all that are kept: one call must not keep a
/// thread busy for long.
fn looked_at(
    mut list: Vec<KeyValue>,
    limits: AttributeLimits,
) -> (impl Iterator<Item = KeyValue>, u32) {
    let looked_at = limits.count.saturating_mul(4);
    let unseen = list.len().saturating_sub(looked_at);
    list.truncate(looked_at);
    (list.into_iter(), u32::try_from(unseen).unwrap_or(u32::MAX))
}

/// Reads a value of a span's or a metric's attribute: a scalar or an array of
/// one type of scalar. Of anything else the text is kept.
pub(crate) fn value(text: String, limit: usize) -> Value {
    match parsed(&text, limit) {
        Some(Json::Bool(value)) => Value::Bool(value),
        Some(Json::Number(number)) => match scalar(&number) {
            Scalar::S64(value) => Value::S64(value),
            Scalar::F64(value) => Value::F64(value),
            Scalar::Large => Value::String(number.to_string()),
        },
        Some(Json::String(string)) => Value::String(match string.strip_prefix(BYTES) {
            Some(encoded) if BASE64.decode(encoded).is_ok() => encoded.to_owned(),
            _ => string,
        }),
        Some(Json::Array(array)) => list(array).unwrap_or(Value::String(text)),
        Some(Json::Null | Json::Object(_)) | None => Value::String(text),
    }
}

/// Reads a value of a log record: whatever JSON can say, and bytes.
pub(crate) fn any_value(text: String, limit: usize) -> AnyValue {
    let value = parsed(&text, limit).and_then(|json| any(json, limit, MAX_DEPTH));
    value.unwrap_or_else(|| AnyValue::String(cut_text(text, limit).into()))
}

/// Parses a text; none where it is no JSON, or too long. A string is cut instead,
/// and keeps at least `length` characters.
fn parsed(text: &str, length: usize) -> Option<Json> {
    let is_string = text.starts_with('"');
    let most = if is_string {
        // With the quotes, and what goes with the cut.
        length.saturating_add(2).saturating_mul(LONGEST_ESCAPE)
    } else {
        MAX_NESTED_BYTES
    };
    if text.len() <= most {
        return serde_json::from_str(text).ok();
    }
    is_string
        .then(|| serde_json::from_str(&cut_string(text, most)).ok())
        .flatten()
}

/// Cuts the text of a JSON string, between two characters of what it stands for.
fn cut_string(text: &str, limit: usize) -> String {
    let mut end = truncated(text, limit).len();
    let bytes = text.as_bytes();
    let from = end.saturating_sub(LONGEST_ESCAPE);
    if let Some(at) = bytes[from..end].iter().position(|byte| *byte == b'\\') {
        let at = from + at;
        let before = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\');
        // After an odd number of them this one is itself what is escaped.
        end = at - before.count() % 2;
    }
    format!("{}\"", &text[..end])
}

enum Scalar {
    S64(i64),
    F64(f64),
    /// An integer over what 63 bits hold. OpenTelemetry's mapping has it as a
    /// string of digits.
    Large,
}

fn scalar(number: &Number) -> Scalar {
    match (number.as_i64(), number.as_f64()) {
        (Some(value), _) => Scalar::S64(value),
        (None, Some(value)) if number.is_f64() => Scalar::F64(value),
        _ => Scalar::Large,
    }
}

/// An array of one type of scalar; integers among floating-point numbers become
/// such.
fn list(array: Vec<Json>) -> Option<Value> {
    match array.first() {
        None => Some(Value::StringList(Vec::new())),
        Some(Json::Bool(_)) => {
            let list = array.iter().map(Json::as_bool);
            list.collect::<Option<_>>().map(Value::BoolList)
        }
        Some(Json::String(_)) => {
            let list = array.into_iter().map(|member| match member {
                Json::String(text) => Some(text),
                _ => None,
            });
            list.collect::<Option<_>>().map(Value::StringList)
        }
        Some(Json::Number(_)) => {
            let whole = array.iter().map(Json::as_i64).collect::<Option<_>>();
            whole.map(Value::S64List).or_else(|| {
                let list = array.iter().map(Json::as_f64);
                list.collect::<Option<_>>().map(Value::F64List)
            })
        }
        Some(Json::Null | Json::Array(_) | Json::Object(_)) => None,
    }
}

/// None where it nests too deep.
fn any(json: Json, limit: usize, depth: usize) -> Option<AnyValue> {
    let below = depth.checked_sub(1);
    Some(match json {
        // There is no value for it; a word says more than its absence.
        Json::Null => AnyValue::String("null".into()),
        Json::Bool(value) => AnyValue::Boolean(value),
        Json::Number(number) => match scalar(&number) {
            Scalar::S64(value) => AnyValue::Int(value),
            Scalar::F64(value) => AnyValue::Double(value),
            Scalar::Large => AnyValue::String(number.to_string().into()),
        },
        Json::String(text) => match text.strip_prefix(BYTES).and_then(|it| bytes(it, limit)) {
            Some(bytes) => AnyValue::Bytes(Box::new(bytes)),
            None => AnyValue::String(cut_text(text, limit).into()),
        },
        Json::Array(list) => {
            let below = below?;
            let list = list.into_iter().map(|member| any(member, limit, below));
            AnyValue::ListAny(Box::new(list.collect::<Option<_>>()?))
        }
        Json::Object(map) => {
            let below = below?;
            let members = map
                .into_iter()
                .map(|(key, value)| Some((Key::from(key), any(value, limit, below)?)));
            AnyValue::Map(Box::new(members.collect::<Option<_>>()?))
        }
    })
}

/// The bytes that a text stands for, at most `limit` of them.
fn bytes(encoded: &str, limit: usize) -> Option<Vec<u8>> {
    // Four characters stand for three bytes.
    let most = (limit / 3).saturating_mul(4);
    let within = encoded.as_bytes().get(..most);
    BASE64.decode(within.unwrap_or(encoded.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn of(text: &str) -> Value {
        value(text.to_owned(), LIMIT)
    }

    fn any_of(text: &str) -> AnyValue {
        any_value(text.to_owned(), LIMIT)
    }

    fn string(text: &str) -> AnyValue {
        AnyValue::String(text.to_owned().into())
    }

    #[test]
    fn scalars_and_lists_of_one_type_are_what_they_say() {
        for (text, value) in [
            (r#""a\"b""#, Value::String("a\"b".into())),
            ("true", Value::Bool(true)),
            ("-7", Value::S64(-7)),
            ("7.0", Value::F64(7.0)),
            ("1e3", Value::F64(1000.0)),
            (
                "18446744073709551615",
                Value::String("18446744073709551615".into()),
            ),
            ("[]", Value::StringList(Vec::new())),
            (
                r#"["a","b"]"#,
                Value::StringList(vec!["a".into(), "b".into()]),
            ),
            ("[true,false]", Value::BoolList(vec![true, false])),
            ("[1,2]", Value::S64List(vec![1, 2])),
            ("[1,2.5]", Value::F64List(vec![1.0, 2.5])),
        ] {
            assert_eq!(format!("{:?}", of(text)), format!("{value:?}"), "{text}");
        }
    }

    #[test]
    fn what_an_attribute_cannot_hold_keeps_its_text() {
        for text in [
            "",
            "plain words",
            "null",
            "NaN",
            r#"{"a":1}"#,
            r#"[1,"a"]"#,
            "[[1]]",
            "[1,2",
            r#""open"#,
        ] {
            assert!(
                matches!(of(text), Value::String(kept) if kept == text),
                "{text}"
            );
        }
    }

    #[test]
    fn bytes_are_bytes_in_logs_and_base64_in_attributes() {
        let text = format!("\"{BYTES}AQID\"");
        assert!(matches!(of(&text), Value::String(kept) if kept == "AQID"));
        assert_eq!(any_of(&text), AnyValue::Bytes(Box::new(vec![1, 2, 3])));
        let broken = format!("{BYTES}A*");
        assert_eq!(any_of(&format!("\"{broken}\"")), string(&broken));
        let long = any_value(format!("\"{BYTES}{}\"", "AQID".repeat(60)), LIMIT);
        let AnyValue::Bytes(long) = long else {
            unreachable!("{long:?}")
        };
        assert_eq!(long.len(), LIMIT / 3 * 3);
    }

    #[test]
    fn logs_hold_objects_and_what_is_too_deep_is_a_string() {
        let AnyValue::Map(map) = any_of(r#"{"a":[1,{"b":null}],"c":"d"}"#) else {
            unreachable!()
        };
        assert_eq!(map[&Key::from("c")], string("d"));
        let AnyValue::ListAny(list) = &map[&Key::from("a")] else {
            unreachable!()
        };
        assert_eq!(list[0], AnyValue::Int(1));
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(matches!(any_of(&nested(MAX_DEPTH)), AnyValue::ListAny(_)));
        let deep = nested(MAX_DEPTH + 1);
        assert_eq!(any_of(&deep), string(&deep));
        // Deeper than the parser itself goes.
        let deep = nested(100_000);
        assert_eq!(any_of(&deep), string(&deep[..LIMIT]));
    }

    #[test]
    fn long_strings_are_cut_where_a_character_ends() {
        for (text, kept) in [
            (format!("\"{}\"", "x".repeat(1_000)), "x".repeat(LIMIT)),
            (format!("\"{}\"", r"\\".repeat(1_000)), r"\".repeat(LIMIT)),
            (
                format!("\"a{}\"", r"\\".repeat(1_000)),
                format!("a{}", r"\".repeat(LIMIT - 1)),
            ),
            (
                format!("\"{}\"", r"\u0041".repeat(1_000)),
                "A".repeat(LIMIT),
            ),
            (format!("\"{}\"", "é".repeat(1_000)), "é".repeat(LIMIT)),
        ] {
            assert_eq!(any_of(&text), string(&kept), "{}", &text[..20]);
        }
        // An array is not cut into another one.
        let list = format!("[{}1]", "1,".repeat(10_000));
        assert_eq!(any_of(&list), string(&list[..LIMIT]));
    }

    #[test]
    fn attributes_of_logs_are_bounded_and_the_last_value_of_a_key_counts() {
        let limits = AttributeLimits {
            count: 2,
            ..AttributeLimits::default()
        };
        let list = |keys: &[&str]| {
            let list = keys.iter().enumerate().map(|(n, key)| KeyValue {
                key: (*key).to_owned(),
                value: n.to_string(),
            });
            any_attributes(list.collect(), limits)
        };
        let (kept, over) = list(&["a", "", "a", "b", "c"]);
        let expected = [
            (Key::from("a"), AnyValue::Int(2)),
            (Key::from("b"), AnyValue::Int(3)),
        ];
        assert_eq!((kept.as_slice(), over), (&expected[..], 1));
        let (_, over) = list(&["a"; 100]);
        assert_eq!(over, 92);
    }
}
