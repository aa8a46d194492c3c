//! Which series the instruments of guests have.
//!
//! A series stays until the process ends, with every byte of its attributes:
//! what all guests together may make is bounded in number and in bytes. A point
//! of a series that finds no room goes to its instrument's overflow, as the SDK
//! does it at its own bound for each instrument.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use opentelemetry::KeyValue;

use crate::telemetry::sizes;

/// What all series together may take, about: some 1,600 bytes for each of the
/// default number.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a series takes besides its attributes and buckets.
const SERIES_BYTES: usize = 256;

/// The series of all guests' instruments.
pub(super) struct Series {
    limit: usize,
    hasher: RandomState,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    hashes: HashSet<u64>,
    bytes: usize,
}

/// An instrument as its series see it.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    /// Tells it from all others.
    pub(super) number: usize,
    /// What its aggregation takes in each series.
    pub(super) bytes: usize,
}

impl Series {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            known: RwLock::default(),
        }
    }

    /// Whether the series of these attributes is there, or may be made now.
    pub(super) fn admit(&self, owner: Owner, attributes: &[KeyValue]) -> bool {
        // Their order says nothing, and no key stands twice.
        let hash = attributes
            .iter()
            .fold(self.hasher.hash_one(owner.number), |sum, attribute| {
                sum.wrapping_add(self.hasher.hash_one(attribute))
            });
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.hashes.contains(&hash) {
            return true;
        }
        drop(known);
        let bytes = SERIES_BYTES + owner.bytes + sizes::attributes(attributes);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.hashes.contains(&hash) {
            return true;
        }
        if known.hashes.len() >= self.limit || known.bytes + bytes > MAX_BYTES {
            return false;
        }
        known.bytes += bytes;
        known.hashes.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        number: 1,
        bytes: 0,
    };

    #[test]
    fn series_are_bounded_in_number_and_those_that_are_there_stay() {
        let series = Series::new(2);
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
        let series = Series::new(usize::MAX);
        let long = "x".repeat(MAX_BYTES / 4);
        let of = |n: i64| [KeyValue::new("n", n), KeyValue::new("long", long.clone())];
        let admitted = (0..9).filter(|n| series.admit(OWNER, &of(*n))).count();
        assert_eq!(admitted, 3);
    }
}
