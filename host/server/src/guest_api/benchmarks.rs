//! The conversion of attributes as a guest sends them, for benchmarks.

use opentelemetry::KeyValue;

use crate::guest_api::attributes::convert;
use crate::guest_api::bindings::fanlight::telemetry::types;
use fanlight_telemetry::Dropped;
use fanlight_telemetry::trace::limits::AttributeLimits;

/// Converts attributes within the default limits.
#[derive(Default)]
pub struct AttributeConversion {
    limits: AttributeLimits,
    dropped: Dropped,
}

/// What a guest sends with one call.
#[derive(Clone)]
pub struct SentAttributes(Vec<types::Attribute>);

impl AttributeConversion {
    /// `count` attributes, of each simple type in turn.
    pub fn sent(&self, count: usize) -> SentAttributes {
        let attribute = |number: usize| types::Attribute {
            key: format!("benchmark.attribute.{number}"),
            value: match number % 4 {
                0 => types::Value::String("a text of some length".to_owned()),
                1 => types::Value::S64(4711),
                2 => types::Value::F64(0.5),
                _ => types::Value::Bool(true),
            },
        };
        SentAttributes((0..count).map(attribute).collect())
    }

    /// Converts what a guest has sent.
    pub fn convert(&self, sent: SentAttributes) -> Vec<KeyValue> {
        convert(sent.0, self.limits, &self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_attributes_that_are_sent_are_converted() {
        let conversion = AttributeConversion::default();
        let converted = conversion.convert(conversion.sent(10));
        assert_eq!(converted.len(), 10);
    }
}
