//! The API's contexts, attributes and scopes, and those of the host.

use std::str::FromStr;

use ::opentelemetry::trace::{self, SpanId, TraceFlags, TraceId, TraceState};
use ::opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue};

use crate::bindings::fanlight::telemetry::types;
use crate::value::{Attribute, Value};

/// Borrows attributes of the API.
pub(super) fn attributes(attributes: &[KeyValue]) -> Vec<Attribute<'_>> {
    attributes.iter().map(attribute).collect()
}

fn attribute(attribute: &KeyValue) -> Attribute<'_> {
    Attribute::new(attribute.key.as_str(), value(&attribute.value))
}

fn value(value: &::opentelemetry::Value) -> Value<'_> {
    use ::opentelemetry::Value as Api;

    match value {
        Api::Bool(truth) => (*truth).into(),
        Api::I64(number) => (*number).into(),
        Api::F64(number) => (*number).into(),
        Api::String(text) => text.as_str().into(),
        Api::Array(Array::Bool(list)) => list.into(),
        Api::Array(Array::I64(list)) => list.into(),
        Api::Array(Array::F64(list)) => list.into(),
        Api::Array(Array::String(list)) => {
            let texts: Vec<_> = list.iter().map(StringValue::as_str).collect();
            texts.into()
        }
        // What later versions of the API add.
        other => other.to_string().into(),
    }
}

/// Borrows the name and version of a scope; the host takes no more of it.
pub(super) fn scope(scope: &InstrumentationScope) -> types::InstrumentationScope<'_> {
    types::InstrumentationScope {
        name: scope.name(),
        version: scope.version(),
    }
}

/// A context as the host wants it told.
pub(super) fn to_host(context: &trace::SpanContext) -> crate::SpanContext {
    crate::SpanContext {
        trace_id: context.trace_id().to_string(),
        span_id: context.span_id().to_string(),
        trace_flags: crate::TraceFlags::from_bits_truncate(context.trace_flags().to_u8()),
        trace_state: context.trace_state().header(),
        is_remote: context.is_remote(),
    }
}

/// A context as the host tells it.
pub(super) fn from_host(context: &crate::SpanContext) -> trace::SpanContext {
    trace::SpanContext::new(
        TraceId::from_hex(&context.trace_id).unwrap_or(TraceId::INVALID),
        SpanId::from_hex(&context.span_id).unwrap_or(SpanId::INVALID),
        TraceFlags::new(context.trace_flags.bits()),
        context.is_remote,
        TraceState::from_str(&context.trace_state).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use ::opentelemetry::Value as Api;

    use super::*;

    #[test]
    fn a_context_is_the_same_there_and_back() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let context = crate::SpanContext::from_headers(traceparent, "a=b,c=d").unwrap();
        let there = from_host(&context);
        assert!(there.is_valid() && there.is_sampled() && there.is_remote());
        assert_eq!(to_host(&there), context);
    }

    #[test]
    fn attributes_of_every_type_keep_it() {
        let list = [
            KeyValue::new("bool", true),
            KeyValue::new("i64", 7),
            KeyValue::new("f64", 0.5),
            KeyValue::new("text", "a"),
            KeyValue::new("bools", Api::Array(Array::Bool(vec![true, false]))),
            KeyValue::new("i64s", Api::Array(Array::I64(vec![1, 2]))),
            KeyValue::new("f64s", Api::Array(Array::F64(vec![0.5]))),
            KeyValue::new(
                "texts",
                Api::Array(Array::String(vec!["a".into(), "b".into()])),
            ),
        ];
        assert_eq!(
            attributes(&list),
            [
                Attribute::new("bool", true),
                Attribute::new("i64", 7),
                Attribute::new("f64", 0.5),
                Attribute::new("text", "a"),
                Attribute::new("bools", [true, false]),
                Attribute::new("i64s", [1, 2]),
                Attribute::new("f64s", [0.5]),
                Attribute::new("texts", ["a", "b"]),
            ]
        );
    }
}
