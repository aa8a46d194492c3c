//! A point of a series, and what adding two of them gives.
//!
//! Nothing here panics or wraps: over what a number holds it stays at that.

use crate::metrics::guest::exponential::ExponentialHistogram;
use crate::metrics::guest::number::{Number, Range, finite, total};

/// What one series says.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A value that replaces the one before.
    Gauge(Number),
    /// A sum.
    Sum(Number),
    /// Counts in buckets with bounds of their own.
    Histogram(Histogram),
    /// Counts in buckets whose bounds grow by a factor.
    Exponential(Box<ExponentialHistogram>),
}

/// Counts in buckets whose bounds are their metric's.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// One more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of the values.
    pub sum: f64,
    /// The least and the greatest value.
    pub range: Range,
}

impl Point {
    /// A point of the same kind that adds nothing.
    pub(crate) fn zero(&self) -> Self {
        match self {
            Self::Gauge(_) => self.clone(),
            Self::Sum(Number::F64(_)) => Self::Sum(Number::F64(0.0)),
            Self::Sum(Number::I64(_)) => Self::Sum(Number::I64(0)),
            Self::Histogram(histogram) => Self::Histogram(Histogram {
                counts: vec![0; histogram.counts.len()],
                sum: 0.0,
                range: Range::default(),
            }),
            Self::Exponential(histogram) => Self::Exponential(Box::new(histogram.zero())),
        }
    }

    /// Adds another point of the same kind; of two gauges the other one stays.
    pub(crate) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Gauge(value), Self::Gauge(other)) => *value = *other,
            (Self::Sum(value), Self::Sum(other)) => *value = value.plus(*other),
            (Self::Histogram(histogram), Self::Histogram(other)) => histogram.add(other),
            (Self::Exponential(histogram), Self::Exponential(other)) => histogram.add(other),
            // Points of one metric are of one kind.
            _ => {}
        }
    }

    /// What was added between an earlier point and this one. None where the
    /// earlier one is no part of this: then it began anew. `falls` says whether
    /// a sum may.
    pub fn since(&self, earlier: &Self, falls: bool) -> Option<Self> {
        match (self, earlier) {
            (Self::Sum(value), Self::Sum(earlier)) => {
                let added = value.minus(*earlier);
                (falls || !added.is_negative()).then_some(Self::Sum(added))
            }
            (Self::Histogram(histogram), Self::Histogram(earlier)) => {
                histogram.since(earlier).map(Self::Histogram)
            }
            (Self::Exponential(histogram), Self::Exponential(earlier)) => histogram
                .since(earlier)
                .map(|added| Self::Exponential(Box::new(added))),
            _ => None,
        }
    }

    /// What it takes in memory, about.
    pub fn estimated_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Gauge(_) | Self::Sum(_) => 0,
                Self::Histogram(histogram) => histogram.counts.len() * size_of::<u64>(),
                // It may grow up to its bound.
                Self::Exponential(_) => ExponentialHistogram::MAX_BYTES,
            }
    }
}

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        total(&self.counts)
    }

    fn add(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*other);
        }
        self.sum = finite(self.sum + other.sum);
        self.range.join(other.range);
    }

    fn since(&self, earlier: &Self) -> Option<Self> {
        if self.counts.len() != earlier.counts.len() {
            return None;
        }
        let counts = self.counts.iter().zip(&earlier.counts);
        Some(Self {
            counts: counts
                .map(|(count, earlier)| count.checked_sub(*earlier))
                .collect::<Option<_>>()?,
            sum: finite(self.sum - earlier.sum),
            range: self.range,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[u64], sum: f64, min: f64, max: f64) -> Point {
        Point::Histogram(Histogram {
            counts: counts.to_vec(),
            sum,
            range: Range {
                min: Some(min),
                max: Some(max),
            },
        })
    }

    #[test]
    fn sums_stay_at_what_a_number_holds() {
        let mut sum = Point::Sum(Number::I64(i64::MAX - 1));
        sum.add(&Point::Sum(Number::I64(5)));
        assert_eq!(sum, Point::Sum(Number::I64(i64::MAX)));
        let mut sum = Point::Sum(Number::F64(f64::MAX));
        sum.add(&Point::Sum(Number::F64(f64::MAX)));
        assert_eq!(sum, Point::Sum(Number::F64(f64::MAX)));
    }

    #[test]
    fn histograms_add_their_buckets_and_keep_the_outermost_values() {
        let mut all = histogram(&[1, 2], 3.0, 0.5, 2.0);
        all.add(&histogram(&[4, 0], 1.0, 0.1, 0.9));
        assert_eq!(all, histogram(&[5, 2], 4.0, 0.1, 2.0));
    }

    #[test]
    fn what_was_added_is_the_difference_unless_it_began_anew() {
        let sum = |value| Point::Sum(Number::I64(value));
        assert_eq!(sum(7).since(&sum(3), false), Some(sum(4)));
        assert_eq!(sum(3).since(&sum(7), false), None);
        assert_eq!(sum(3).since(&sum(7), true), Some(sum(-4)));
        let later = histogram(&[3, 2], 9.0, 0.5, 8.0);
        let added = later.since(&histogram(&[1, 2], 4.0, 0.5, 3.0), false);
        assert_eq!(added, Some(histogram(&[2, 0], 5.0, 0.5, 8.0)));
        assert_eq!(later.since(&histogram(&[4, 0], 4.0, 0.5, 3.0), false), None);
        let gauge = Point::Gauge(Number::I64(1));
        assert_eq!(gauge.since(&gauge, false), None);
    }
}
