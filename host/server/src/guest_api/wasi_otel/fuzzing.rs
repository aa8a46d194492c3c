//! What holds for any value that a guest may send as JSON.

use arbitrary::{Result, Unstructured};
use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, Value};

use crate::guest_api::attributes;
use crate::guest_api::wasi_otel::values;

/// Reads a value made of these bytes, in both ways, and checks the result.
///
/// # Errors
/// Where the bytes make none.
pub(crate) fn value(data: &[u8]) -> Result<()> {
    let mut data = Unstructured::new(data);
    let length = data.int_in_range(0..=32)?;
    let text = String::from_utf8_lossy(data.take_rest()).into_owned();
    let short = |kept: &str| assert!(kept.chars().count() <= length, "{kept:?}");

    let value = values::value(text.clone(), length);
    match attributes::value(value, length) {
        Value::String(kept) => short(kept.as_str()),
        Value::Array(Array::String(list)) => list.iter().for_each(|kept| short(kept.as_str())),
        Value::Bool(kept) => assert_eq!(text.trim(), kept.to_string()),
        Value::F64(kept) => assert!(kept.is_finite()),
        _ => {}
    }
    let value = values::any_value(text, length);
    check(&value, length, values::MAX_DEPTH);
    Ok(())
}

fn check(value: &AnyValue, length: usize, depth: usize) {
    let below = || match depth.checked_sub(1) {
        Some(below) => below,
        None => unreachable!("it nests too deep"),
    };
    match value {
        AnyValue::String(kept) => {
            // The word for nothing has a length of its own.
            let is_short = kept.as_str().chars().count() <= length;
            assert!(is_short || kept.as_str() == "null", "{kept:?}");
        }
        AnyValue::Double(kept) => assert!(kept.is_finite()),
        AnyValue::Bytes(kept) => assert!(kept.len() <= length),
        AnyValue::ListAny(list) => list.iter().for_each(|it| check(it, length, below())),
        AnyValue::Map(map) => map.values().for_each(|it| check(it, length, below())),
        _ => {}
    }
}
