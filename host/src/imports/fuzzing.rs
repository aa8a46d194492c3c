//! What holds for any attributes that a guest may send.

use std::time::SystemTime;

use arbitrary::{Arbitrary, Result, Unstructured};
use opentelemetry::{Array, KeyValue, Value};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::attributes::{any_value, convert_counting, cut, time};
use super::bindings::fanlight::telemetry::types;
use crate::span::SpanLimits;
use crate::telemetry::Dropped;

/// Converts attributes made of these bytes, and checks what became of them.
///
/// # Errors
/// Where the bytes make none.
pub(crate) fn attributes(data: &[u8]) -> Result<()> {
    let mut data = Unstructured::new(data);
    let limits = SpanLimits {
        attributes: data.int_in_range(0..=8)?,
        text_bytes: data.int_in_range(4..=32)?,
        ..SpanLimits::default()
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
    check(sent, &limits);
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

fn check(sent: Vec<types::Attribute>, limits: &SpanLimits) {
    let dropped = Dropped::default();
    let (kept, over) = convert_counting(sent.clone(), limits, &dropped);
    // What is far over the limit is not looked at, only counted.
    let seen = sent.len().min(limits.attributes * 4);
    let (sent, unseen) = sent.split_at(seen);

    assert!(kept.len() <= limits.attributes, "the limit holds");
    for (at, attribute) in kept.iter().enumerate() {
        let key = attribute.key.as_str();
        assert!(!key.is_empty(), "no key is empty");
        let again = kept[..at].iter().any(|it| it.key.as_str() == key);
        assert!(!again, "{key} is there twice");
        let of_key = |it: &&types::Attribute| cut(it.key.clone(), limits.text_bytes) == key;
        let Some(last) = sent.iter().rfind(of_key) else {
            unreachable!("{key} was never sent");
        };
        check_value(&last.value, attribute, limits.text_bytes);
        drop(any_value(attribute.value.clone()));
    }
    let lost = sent
        .iter()
        .filter(|it| !it.key.is_empty())
        .filter(|it| {
            let key = cut(it.key.clone(), limits.text_bytes);
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
fn check_value(sent: &types::Value, kept: &KeyValue, room: usize) {
    match (sent, &kept.value) {
        (types::Value::String(sent), Value::String(kept)) => check_text(sent, kept.as_str(), room),
        (types::Value::Bool(sent), Value::Bool(kept)) => assert_eq!(sent, kept),
        (types::Value::S64(sent), Value::I64(kept)) => assert_eq!(sent, kept),
        (types::Value::F64(sent), Value::F64(kept)) => assert_eq!(sent.to_bits(), kept.to_bits()),
        (types::Value::StringList(sent), Value::Array(Array::String(kept))) => {
            let bytes: usize = kept.iter().map(|text| text.as_str().len()).sum();
            assert!(bytes <= room && kept.len() <= room && kept.len() <= sent.len());
            for (sent, kept) in sent.iter().zip(kept) {
                check_text(sent, kept.as_str(), room);
            }
        }
        (types::Value::BoolList(sent), Value::Array(Array::Bool(kept))) => {
            assert_eq!(sent[..sent.len().min(room)], kept[..]);
        }
        (types::Value::S64List(sent), Value::Array(Array::I64(kept))) => {
            assert_eq!(sent[..sent.len().min(room / 8)], kept[..]);
        }
        (types::Value::F64List(sent), Value::Array(Array::F64(kept))) => {
            let bits = |list: &[f64]| list.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&sent[..sent.len().min(room / 8)]), bits(kept));
        }
        (sent, kept) => unreachable!("{sent:?} became {kept:?}"),
    }
}

fn check_text(sent: &str, kept: &str, room: usize) {
    assert!(kept.len() <= room && sent.starts_with(kept));
    // A character takes four bytes at most.
    assert!(
        kept == sent || kept.len() + 4 > room,
        "cut no more than it has to be"
    );
}
