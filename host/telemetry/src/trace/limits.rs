//! Bounds on what a span, its events and links, and a log record may hold.
//! Attributes' texts are counted in characters, as the specification has it.

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;

pub use crate::config::limits::{AttributeLimits, SpanLimits};

/// The longest name, key or description that a guest gives, in bytes; longer
/// ones are cut. No variable changes it.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

impl SpanLimits {
    /// Applies the limits to the host's own values; guests' values are within them
    /// already. Returns the number of events' attributes that were dropped.
    pub(crate) fn enforce(&self, span: &mut SpanData) -> u32 {
        let mut lost = 0_u32;
        cut_values(&mut span.attributes, self.value_length);
        for event in &mut span.events.events {
            let over = event.attributes.len().saturating_sub(self.event_attributes);
            event.attributes.truncate(self.event_attributes);
            let over = u32::try_from(over).unwrap_or(u32::MAX);
            event.dropped_attributes_count = event.dropped_attributes_count.saturating_add(over);
            lost = lost.saturating_add(over);
            cut_values(&mut event.attributes, self.value_length);
        }
        lost
    }
}

fn cut_values(attributes: &mut [KeyValue], limit: usize) {
    for attribute in attributes {
        match &mut attribute.value {
            Value::String(text) => cut_text(text, limit),
            // Headers that are captured are lists.
            Value::Array(Array::String(texts)) => {
                texts.iter_mut().for_each(|text| cut_text(text, limit));
            }
            _ => {}
        }
    }
}

fn cut_text(text: &mut StringValue, limit: usize) {
    // A text has at most as many characters as bytes: most are short enough by that.
    if text.as_str().len() > limit {
        let cut = length_of(text.as_str(), limit);
        *text = text.as_str()[..cut].to_owned().into();
    }
}

/// The bytes that the first `limit` characters of a text take.
pub fn length_of(text: &str, limit: usize) -> usize {
    let mut starts = text.char_indices().map(|(at, _)| at);
    starts.nth(limit).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    #[test]
    fn what_the_host_has_said_is_cut_as_well() {
        let limits = SpanLimits {
            event_attributes: 1,
            value_length: 2,
            ..SpanLimits::default()
        };
        let at = SystemTime::UNIX_EPOCH;
        let list = |text: &str| Value::Array(Array::String(vec![text.to_owned().into()]));
        let said = vec![
            KeyValue::new("a.key", "äöü"),
            KeyValue::new("b", 1234),
            KeyValue::new("c", list("äöü")),
        ];
        let mut events = SpanEvents::default();
        events
            .events
            .push(Event::new("exception", at, said.clone(), 0));
        let mut span = SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: Cow::Borrowed("GET"),
            start_time: at,
            end_time: at,
            attributes: said,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        };
        assert_eq!(limits.enforce(&mut span), 2);
        let cut = KeyValue::new("a.key", "äö");
        let others = [KeyValue::new("b", 1234), KeyValue::new("c", list("äö"))];
        assert_eq!(span.attributes[0], cut);
        assert_eq!(span.attributes[1..], others);
        let event = &span.events.events[0];
        assert_eq!(event.attributes, [cut]);
        assert_eq!(event.dropped_attributes_count, 2);
    }

    #[test]
    fn a_length_in_characters_ends_at_a_character() {
        assert_eq!(length_of("äöü", 2), 4);
        assert_eq!(length_of("abc", 3), 3);
        assert_eq!(length_of("abc", 0), 0);
    }
}
