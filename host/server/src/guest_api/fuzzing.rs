//! What holds for any attributes that a guest may send.

use std::time::SystemTime;

use arbitrary::{Arbitrary, Result, Unstructured};
use opentelemetry::{Array, KeyValue, Value};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::guest_api::attributes::{any_value, convert_counting, cut, time};
use crate::guest_api::bindings::fanlight::telemetry::types;
use fanlight_telemetry::Dropped;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};

/// Converts attributes made of these bytes, and checks the result.
///
/// # Errors
/// Where the bytes make none.
pub(crate) fn attributes(data: &[u8]) -> Result<()> {
    let mut data = Unstructured::new(data);
    let limits = AttributeLimits {
        count: data.int_in_range(0..=8)?,
        value_length: data.int_in_range(0..=32)?,
    };
    let instant = Datetime {
        seconds: data.arbitrary()?,
        nanoseconds: data.arbitrary()?,
    };
    assert!(time(instant) >= SystemTime::UNIX_EPOCH);
    let mut sent = Vec::new();
    while !data.is_empty() && sent.len() < 64 {
        let key = String::arbitrary(&mut data)?;
        let value = value(&mut data)?;
        sent.push(types::Attribute { key, value });
    }
    check(sent, limits);
    Ok(())
}

fn value(data: &mut Unstructured<'_>) -> Result<types::Value> {
    Ok(match data.int_in_range(0..=7)? {
        0 => types::Value::String(data.arbitrary()?),
        1 => types::Value::Bool(data.arbitrary()?),
        2 => types::Value::S64(data.arbitrary()?),
        3 => types::Value::F64(data.arbitrary()?),
        4 => types::Value::StringList(data.arbitrary()?),
        5 => types::Value::BoolList(data.arbitrary()?),
        6 => types::Value::S64List(data.arbitrary()?),
        _ => types::Value::F64List(data.arbitrary()?),
    })
}

fn check(sent: Vec<types::Attribute>, limits: AttributeLimits) {
    let dropped = Dropped::default();
    let (kept, over) = convert_counting(sent.clone(), limits, &dropped);
    // What is far over the limit is not looked at, only counted.
    let seen = sent.len().min(limits.count * 4);
    let (sent, unseen) = sent.split_at(seen);

    assert!(kept.len() <= limits.count, "the limit holds");
    for (at, attribute) in kept.iter().enumerate() {
        let key = attribute.key.as_str();
        assert!(!key.is_empty(), "no key is empty");
        let again = kept[..at].iter().any(|it| it.key.as_str() == key);
        assert!(!again, "{key} is there twice");
        let of_key = |it: &&types::Attribute| cut(it.key.clone(), MAX_TEXT_BYTES) == key;
        let Some(last) = sent.iter().rfind(of_key) else {
            unreachable!("{key} was never sent");
        };
        check_value(&last.value, attribute, limits.value_length);
        drop(any_value(attribute.value.clone()));
    }
    let lost = sent
        .iter()
        .filter(|it| !it.key.is_empty())
        .filter(|it| {
            let key = cut(it.key.clone(), MAX_TEXT_BYTES);
            kept.iter().all(|kept| kept.key.as_str() != key)
        })
        .count();
    assert_eq!(
        over as usize,
        lost + unseen.len(),
        "each that is lost is counted once"
    );
    assert!(dropped.read().contains(&("attribute", u64::from(over))));
}

/// A value is what was sent, or the beginning of it that fits.
fn check_value(sent: &types::Value, kept: &KeyValue, length: usize) {
    match (sent, &kept.value) {
        (types::Value::String(sent), Value::String(kept)) => {
            check_text(sent, kept.as_str(), length);
        }
        (types::Value::Bool(sent), Value::Bool(kept)) => assert_eq!(sent, kept),
        (types::Value::S64(sent), Value::I64(kept)) => assert_eq!(sent, kept),
        (types::Value::F64(sent), Value::F64(kept)) => assert_eq!(sent.to_bits(), kept.to_bits()),
        // What is sent here is far shorter than a list may be.
        (types::Value::StringList(sent), Value::Array(Array::String(kept))) => {
            assert_eq!(kept.len(), sent.len());
            for (sent, kept) in sent.iter().zip(kept) {
                check_text(sent, kept.as_str(), length);
            }
        }
        (types::Value::BoolList(sent), Value::Array(Array::Bool(kept))) => assert_eq!(sent, kept),
        (types::Value::S64List(sent), Value::Array(Array::I64(kept))) => assert_eq!(sent, kept),
        (types::Value::F64List(sent), Value::Array(Array::F64(kept))) => {
            let bits = |list: &[f64]| list.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(sent), bits(kept));
        }
        (sent, kept) => unreachable!("{sent:?} became {kept:?}"),
    }
}

/// A text is cut by characters, and no more than it has to be.
fn check_text(sent: &str, kept: &str, length: usize) {
    let wanted: String = sent.chars().take(length).collect();
    assert_eq!(kept, wanted);
}
