//! Histograms whose bounds grow by a factor, after the OpenTelemetry metrics
//! data model, "ExponentialHistogram".
//!
//! At the scale `s` the factor is `2 ^ (2 ^ -s)`, and the bucket `i` holds what
//! is over `factor ^ i` and at most `factor ^ (i + 1)`. A scale lower by one
//! joins two buckets to one, exactly; so two histograms are added at the lower
//! of their scales.

use crate::metrics::guest::buckets::Buckets;
use crate::metrics::guest::number::{Range, finite, total};

/// The most buckets on either side of zero: OpenTelemetry's own default. Where
/// there would be more, the scale is lowered.
pub const MAX_BUCKETS: usize = 160;

/// The scales that the data model's implementations have.
pub const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

/// Counts in buckets whose bounds grow by a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialHistogram {
    /// The resolution: the base of the buckets is 2 to the power of 2 to the power of minus `scale`.
    pub scale: i32,
    /// How many values are as good as zero.
    pub zero_count: u64,
    /// The greatest distance from zero that is as good as zero.
    pub zero_threshold: f64,
    /// Counts of positive values.
    pub positive: Buckets,
    /// Of negative values, by their distance from zero.
    pub negative: Buckets,
    /// The sum of the values.
    pub sum: f64,
    /// The least and the greatest value.
    pub range: Range,
}

impl ExponentialHistogram {
    /// The most that one takes in memory, about.
    pub(crate) const MAX_BYTES: usize = size_of::<Self>() + 2 * MAX_BUCKETS * size_of::<u64>();

    /// The same at a scale where it has few enough buckets.
    pub fn bounded(self) -> Self {
        let mut bounded = self.zero();
        bounded.add(&self);
        bounded
    }

    pub(crate) fn count(&self) -> u64 {
        total(&self.positive.counts)
            .saturating_add(total(&self.negative.counts))
            .saturating_add(self.zero_count)
    }

    /// One of the same scale that holds nothing.
    pub(crate) fn zero(&self) -> Self {
        Self {
            scale: self.scale,
            zero_count: 0,
            zero_threshold: self.zero_threshold,
            positive: Buckets::default(),
            negative: Buckets::default(),
            sum: 0.0,
            range: Range::default(),
        }
    }

    /// Adds another one, at a scale that has buckets enough for both.
    pub(crate) fn add(&mut self, other: &Self) {
        let mut scale = self.scale.min(other.scale);
        let by = |from: i32, to: i32| u32::try_from(from - to).unwrap_or(0).min(63);
        let fits = |width: i64| usize::try_from(width).is_ok_and(|width| width <= MAX_BUCKETS);
        // Ends: each step halves the distance, down to one bucket on each side
        // of one.
        while !(fits(self.positive.width_with(
            &other.positive,
            by(self.scale, scale),
            by(other.scale, scale),
        )) && fits(self.negative.width_with(
            &other.negative,
            by(self.scale, scale),
            by(other.scale, scale),
        ))) {
            scale -= 1;
        }
        self.lower_to(scale);
        let mut other = other.clone();
        other.lower_to(scale);
        // What one holds as good as zero, the other must not tell from it. Ends:
        // each turn takes in a bucket, or is the last one.
        while self.zero_threshold != other.zero_threshold {
            let threshold = self.zero_threshold.max(other.zero_threshold);
            self.raise_threshold(threshold);
            other.raise_threshold(threshold);
        }
        self.positive.add(&other.positive);
        self.negative.add(&other.negative);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.sum = finite(self.sum + other.sum);
        self.range.join(other.range);
    }

    /// What was added since an earlier one; none where that is no part of this.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Self> {
        let mut later = self.clone();
        let mut earlier = earlier.clone();
        let scale = later.scale.min(earlier.scale);
        later.lower_to(scale);
        earlier.lower_to(scale);
        earlier.raise_threshold(later.zero_threshold);
        later.raise_threshold(earlier.zero_threshold);
        Some(Self {
            zero_count: later.zero_count.checked_sub(earlier.zero_count)?,
            positive: later.positive.without(&earlier.positive, scale)?,
            negative: later.negative.without(&earlier.negative, scale)?,
            sum: finite(later.sum - earlier.sum),
            ..later
        })
    }

    /// Lowers the scale, which joins buckets.
    pub(crate) fn lower_to(&mut self, scale: i32) {
        let by = u32::try_from(self.scale - scale).unwrap_or(0).min(63);
        self.positive = self.positive.lowered(by);
        self.negative = self.negative.lowered(by);
        self.scale = self.scale.min(scale);
    }

    /// Raises the threshold of zero, which takes in buckets. Where it falls
    /// within one that holds something, it rises to that one's end.
    fn raise_threshold(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        self.zero_threshold = threshold;
        let positive = self.positive.take_below(threshold, self.scale);
        let negative = self.negative.take_below(threshold, self.scale);
        for (taken, end) in [positive, negative] {
            self.zero_count = self.zero_count.saturating_add(taken);
            self.zero_threshold = self.zero_threshold.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogram {
        let histogram = ExponentialHistogram {
            scale,
            zero_count: 0,
            zero_threshold: 0.0,
            positive: Buckets::new(scale, offset, counts.to_vec()).unwrap(),
            negative: Buckets::default(),
            sum: 1.0,
            range: Range::default(),
        };
        histogram.bounded()
    }

    fn buckets(histogram: &ExponentialHistogram) -> (i32, i32, &[u64]) {
        let Buckets { offset, counts } = &histogram.positive;
        (histogram.scale, *offset, counts)
    }

    #[test]
    fn two_scales_are_added_at_the_lower_one() {
        // Of 1 to 2 there are two halves at scale 1.
        let mut sum = of(0, 0, &[4]);
        sum.add(&of(1, -1, &[1, 2, 3, 4]));
        assert_eq!(buckets(&sum), (0, -1, &[1, 9, 4][..]));
        assert_eq!(sum.count(), 14);
    }

    #[test]
    fn what_is_far_apart_is_joined_at_a_scale_that_holds_both() {
        let mut sum = of(3, 0, &[1]);
        sum.add(&of(3, 8 * 100, &[2]));
        let (scale, offset, counts) = buckets(&sum);
        // 801 buckets at scale 3, 101 at scale 0.
        assert_eq!((scale, offset, counts.len()), (0, 0, 101));
        assert_eq!((counts[0], counts[100], sum.count()), (1, 2, 3));
        // The least and the greatest double.
        let mut sum = of(20, -1_074 << 20, &[1]);
        sum.add(&of(20, (1_024 << 20) - 1, &[1]));
        let (scale, _, counts) = buckets(&sum);
        assert_eq!((scale, sum.count()), (-4, 2));
        assert!(counts.len() <= MAX_BUCKETS);
    }

    #[test]
    fn too_many_buckets_are_joined_when_they_come() {
        let many = of(10, 5, &vec![1; 1_000]);
        let (scale, _, counts) = buckets(&many);
        assert_eq!(scale, 7);
        assert!(counts.len() <= MAX_BUCKETS);
        assert_eq!(many.count(), 1_000);
    }

    #[test]
    fn empty_buckets_at_the_ends_take_no_room() {
        assert_eq!(buckets(&of(0, -3, &[0, 0, 7, 0])), (0, -1, &[7][..]));
        assert_eq!(buckets(&of(0, 9, &[0; 500])), (0, 0, &[][..]));
    }

    #[test]
    fn what_was_added_is_the_difference_at_the_lower_scale() {
        let earlier = of(1, 0, &[1, 2]);
        let mut later = earlier.clone();
        later.add(&of(0, 0, &[4, 5]));
        let added = later.since(&earlier).unwrap();
        assert_eq!(buckets(&added), (0, 0, &[4, 5][..]));
        assert!(earlier.since(&later).is_none());
        let nothing = later.since(&later).unwrap();
        assert_eq!(nothing.count(), 0);
    }

    #[test]
    fn a_threshold_of_zero_takes_in_the_buckets_below_it() {
        let mut sum = of(0, -2, &[1, 2, 4, 8]);
        let mut other = of(0, 1, &[16]);
        // Within the bucket from 1/2 to 1, which goes as a whole.
        other.zero_threshold = 0.75;
        other.zero_count = 32;
        sum.add(&other);
        assert_eq!(buckets(&sum), (0, 0, &[4, 24][..]));
        assert_eq!((sum.zero_count, sum.zero_threshold), (35, 1.0));
        assert_eq!(sum.count(), 63);
    }
}
