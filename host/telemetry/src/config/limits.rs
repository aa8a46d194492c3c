//! The specification's limits on attributes: a signal's own variable stands
//! over the common one.

use crate::config::env::Env;
use crate::trace::limits::{AttributeLimits, SpanLimits};

/// Reads the limits of spans, their events and links.
pub(crate) fn of_spans(env: &mut Env) -> SpanLimits {
    let common = of_anything(env);
    let defaults = SpanLimits::default();
    let mut limit = |name: &str, default| env.parsed(name).unwrap_or(default);
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
    let mut limit = |name: &str, default| env.parsed(name).unwrap_or(default);
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
    let mut limit = |name: &str, default| env.parsed(name).unwrap_or(default);
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
