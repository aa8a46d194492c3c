//! The specification's limits on attributes: a signal's own variable stands
//! over the common one.

use crate::config::env::Env;

/// Bounds on one span. What is over them is dropped and counted on the span.
#[derive(Clone, Copy, Debug)]
pub struct SpanLimits {
    /// Attributes a span.
    pub attributes: usize,
    /// Attributes an event.
    pub event_attributes: usize,
    /// Attributes a link.
    pub link_attributes: usize,
    /// Characters of a text among the values of all these; longer ones are cut.
    pub value_length: usize,
    /// Events a span.
    pub events: usize,
    /// Links a span.
    pub links: usize,
}

impl Default for SpanLimits {
    /// 128 of each, as the OpenTelemetry specification has it.
    fn default() -> Self {
        let AttributeLimits {
            count,
            value_length,
        } = AttributeLimits::default();
        Self {
            attributes: count,
            event_attributes: count,
            link_attributes: count,
            value_length,
            events: 128,
            links: 128,
        }
    }
}

impl SpanLimits {
    /// The limits on attributes of a span.
    pub fn of_span(&self) -> AttributeLimits {
        self.of(self.attributes)
    }

    /// The limits on attributes of an event.
    pub fn of_event(&self) -> AttributeLimits {
        self.of(self.event_attributes)
    }

    /// The limits on attributes of a link.
    pub fn of_link(&self) -> AttributeLimits {
        self.of(self.link_attributes)
    }

    fn of(&self, count: usize) -> AttributeLimits {
        AttributeLimits {
            count,
            value_length: self.value_length,
        }
    }
}

/// Bounds on the attributes of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeLimits {
    /// How many it may have.
    pub count: usize,
    /// Characters of a text among the values; longer ones are cut.
    pub value_length: usize,
}

impl Default for AttributeLimits {
    /// 128, as the OpenTelemetry specification has it, and 16,384 where it has
    /// no limit: a guest has to have one.
    fn default() -> Self {
        Self {
            count: 128,
            value_length: 16 * 1024,
        }
    }
}

/// Reads the limits of spans, their events and links.
pub(crate) fn of_spans(env: &mut Env) -> SpanLimits {
    let common = of_anything(env);
    let defaults = SpanLimits::default();
    let mut limit = |name: &str, default| env.count(name).unwrap_or(default);
    SpanLimits {
        attributes: limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", common.count),
        event_attributes: limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", common.count),
        link_attributes: limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", common.count),
        value_length: limit(
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            common.value_length,
        ),
        events: limit("OTEL_SPAN_EVENT_COUNT_LIMIT", defaults.events),
        links: limit("OTEL_SPAN_LINK_COUNT_LIMIT", defaults.links),
    }
}

/// Reads the limits of log records.
pub(crate) fn of_log_records(env: &mut Env) -> AttributeLimits {
    let common = of_anything(env);
    let mut limit = |name: &str, default| env.count(name).unwrap_or(default);
    AttributeLimits {
        count: limit("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", common.count),
        value_length: limit(
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            common.value_length,
        ),
    }
}

fn of_anything(env: &mut Env) -> AttributeLimits {
    let defaults = AttributeLimits::default();
    let mut limit = |name: &str, default| env.count(name).unwrap_or(default);
    AttributeLimits {
        count: limit("OTEL_ATTRIBUTE_COUNT_LIMIT", defaults.count),
        value_length: limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", defaults.value_length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        Env::new(
            vars.iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        )
    }

    #[test]
    fn the_common_limits_hold_where_there_is_none_of_the_signals_own() {
        let vars = [
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "5"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "50"),
            ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "0"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7"),
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-7"),
        ];
        let mut env = env(&vars);
        let spans = of_spans(&mut env);
        let attributes = [
            spans.attributes,
            spans.event_attributes,
            spans.link_attributes,
        ];
        assert_eq!(attributes, [5, 5, 0]);
        assert_eq!(spans.value_length, 50);
        let records = of_log_records(&mut env);
        assert_eq!((records.count, records.value_length), (5, 7));
        assert_eq!(env.warnings.len(), 1);
    }
}
