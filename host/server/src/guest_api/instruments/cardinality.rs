//! Which series the instruments of guests have.
//!
//! A series stays until the process ends, with every byte of its attributes:
//! what all guests together may make is bounded in number and in bytes. A point
//! of a series that finds no room goes to its instrument's overflow, as the SDK
//! does it at its own bound for each instrument.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use opentelemetry::KeyValue;
use parking_lot::RwLock;

use fanlight_telemetry::sizes;

/// The SDK's own name for what is over its bound on series.
pub(crate) const OVERFLOW: &str = "otel.metric.overflow";

/// What all series together may take, about: some 1,600 bytes for each of the
/// default number.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What all of them together may take in Prometheus' text, where each bucket
/// has a line with all attributes.
const MAX_TEXT: usize = 64 * 1024 * 1024;
/// What a series takes besides its attributes and buckets.
const SERIES_BYTES: usize = 256;
/// What a line of the text takes besides them.
const LINE_BYTES: usize = 96;

/// The series of all guests' instruments.
pub(crate) struct CardinalityLimiter {
    limit: usize,
    hasher: RandomState,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    hashes: HashSet<u64>,
    bytes: usize,
    text: usize,
}

/// An instrument as its series see it.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// Tells it from all others.
    pub(crate) number: usize,
    /// The buckets in each of its series; none but for a histogram.
    pub(crate) buckets: usize,
}

impl CardinalityLimiter {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            known: RwLock::default(),
        }
    }

    /// Whether the series of these attributes is there, or may be made now.
    pub(crate) fn admit(&self, owner: Owner, attributes: &[KeyValue]) -> bool {
        // Their order says nothing, and no key stands twice.
        let hash = attributes
            .iter()
            .fold(self.hasher.hash_one(owner.number), |sum, attribute| {
                sum.wrapping_add(self.hasher.hash_one(attribute))
            });
        let known = self.known.read();
        if known.hashes.contains(&hash) {
            return true;
        }
        drop(known);
        let bytes = SERIES_BYTES + owner.buckets * size_of::<u64>() + sizes::attributes(attributes);
        let labels = attributes
            .iter()
            .map(|label| label.key.as_str().len() + sizes::value(&label.value));
        let text = (owner.buckets + 1) * (LINE_BYTES + labels.sum::<usize>());
        let mut known = self.known.write();
        if known.hashes.contains(&hash) {
            return true;
        }
        if known.hashes.len() >= self.limit
            || known.bytes + bytes > MAX_BYTES
            || known.text + text > MAX_TEXT
        {
            return false;
        }
        known.bytes += bytes;
        known.text += text;
        known.hashes.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        number: 1,
        buckets: 0,
    };

    #[test]
    fn series_are_bounded_in_number_and_those_that_are_there_stay() {
        let series = CardinalityLimiter::new(2);
        let of = |n: i64| [KeyValue::new("a", n), KeyValue::new("b", "x")];
        assert!(series.admit(OWNER, &of(1)));
        assert!(series.admit(OWNER, &of(2)));
        assert!(!series.admit(OWNER, &of(3)));
        let turned = [KeyValue::new("b", "x"), KeyValue::new("a", 1)];
        assert!(series.admit(OWNER, &turned));
        let other = Owner { number: 2, ..OWNER };
        assert!(!series.admit(other, &of(1)));
    }

    #[test]
    fn series_are_bounded_in_bytes() {
        let series = CardinalityLimiter::new(usize::MAX);
        let long = "x".repeat(MAX_BYTES / 4);
        let of = |n: i64| [KeyValue::new("n", n), KeyValue::new("long", long.clone())];
        let admitted = (0..9).filter(|n| series.admit(OWNER, &of(*n))).count();
        assert_eq!(admitted, 3);
    }

    #[test]
    fn series_are_bounded_in_the_text_that_they_make() {
        let series = CardinalityLimiter::new(usize::MAX);
        let histogram = Owner {
            buckets: 255,
            ..OWNER
        };
        let long = "x".repeat(MAX_TEXT / 256 / 4);
        let of = |n: i64| [KeyValue::new("n", n), KeyValue::new("long", long.clone())];
        let admitted = (0..9).filter(|n| series.admit(histogram, &of(*n))).count();
        assert_eq!(admitted, 3);
    }
}
