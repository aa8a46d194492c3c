//! Buckets of an exponential histogram, on one side of zero.

use crate::metrics::guest::number::finite;

/// Buckets that follow each other: the first and the last one hold something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The number of the first one.
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

impl Buckets {
    /// Makes them of counts from the bucket `offset` on. None where there are
    /// buckets of values that no double can be, at that scale.
    pub fn new(scale: i32, offset: i32, mut counts: Vec<u64>) -> Option<Self> {
        let first = counts.iter().position(|count| *count > 0);
        let last = counts.iter().rposition(|count| *count > 0);
        let (Some(first), Some(last)) = (first, last) else {
            return Some(Self::default());
        };
        counts.truncate(last + 1);
        counts.drain(..first);
        let offset = i64::from(offset) + i64::try_from(first).ok()?;
        let end = offset + i64::try_from(counts.len()).ok()?;
        // The least double is 2^-1074, the greatest just below 2^1024.
        let exponent = |index: i64| as_double(index) * f64::from(-scale).exp2();
        if exponent(offset + 1) <= -1_075.0 || exponent(end - 1) >= 1_024.0 {
            return None;
        }
        Some(Self {
            offset: i32::try_from(offset).ok()?,
            counts,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The numbers of the first one and of the one after the last.
    fn span(&self) -> (i64, i64) {
        let offset = i64::from(self.offset);
        let length = i64::try_from(self.counts.len()).unwrap_or(i64::MAX);
        (offset, offset.saturating_add(length))
    }

    /// How many it takes for both, at a scale lower by that many.
    pub(crate) fn width_with(&self, other: &Self, mine: u32, others: u32) -> i64 {
        let of = |buckets: &Self, by: u32| {
            let (start, end) = buckets.span();
            (!buckets.is_empty()).then_some((start >> by, (end - 1) >> by))
        };
        match (of(self, mine), of(other, others)) {
            (Some(a), Some(b)) => a.1.max(b.1) - a.0.min(b.0) + 1,
            (Some(one), None) | (None, Some(one)) => one.1 - one.0 + 1,
            (None, None) => 0,
        }
    }

    /// The same at a scale lower by that many.
    pub(crate) fn lowered(&self, by: u32) -> Self {
        if by == 0 || self.is_empty() {
            return self.clone();
        }
        let (start, end) = self.span();
        let offset = start >> by;
        let length = ((end - 1) >> by) - offset + 1;
        let mut counts = vec![0_u64; usize::try_from(length).unwrap_or(0)];
        for (index, count) in (start..).zip(&self.counts) {
            let at = usize::try_from((index >> by) - offset).unwrap_or(usize::MAX);
            if let Some(sum) = counts.get_mut(at) {
                *sum = sum.saturating_add(*count);
            }
        }
        Self {
            // It is nearer to zero than before.
            offset: i32::try_from(offset).unwrap_or(self.offset),
            counts,
        }
    }

    /// Adds buckets of the same scale.
    pub(crate) fn add(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        let (start, end) = self.span();
        let (other_start, other_end) = other.span();
        let before = usize::try_from(start - other_start).unwrap_or(0);
        let after = usize::try_from(other_end - end).unwrap_or(0);
        if before > 0 {
            self.counts.splice(..0, std::iter::repeat_n(0, before));
            self.offset = other.offset;
        }
        self.counts.resize(self.counts.len() + after, 0);
        let at = usize::try_from(i64::from(other.offset) - i64::from(self.offset)).unwrap_or(0);
        for (sum, count) in self.counts.iter_mut().skip(at).zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// These without earlier ones of the same scale; none where those hold more.
    pub(crate) fn without(&self, earlier: &Self, scale: i32) -> Option<Self> {
        let mut counts = self.counts.clone();
        for (index, count) in (i64::from(earlier.offset)..).zip(&earlier.counts) {
            if *count > 0 {
                let at = usize::try_from(index - i64::from(self.offset)).ok()?;
                let left = counts.get_mut(at)?;
                *left = left.checked_sub(*count)?;
            }
        }
        Self::new(scale, self.offset, counts)
    }

    /// Takes out the buckets that reach below a bound; gives back what they
    /// held, and where the last one that held something ends.
    pub(crate) fn take_below(&mut self, bound: f64, scale: i32) -> (u64, f64) {
        let (mut taken, mut end) = (0_u64, 0.0);
        let first = i64::from(self.offset);
        let below = (first..)
            .zip(&self.counts)
            .take_while(|(index, _)| lower_bound(*index, scale) < bound);
        let mut number = 0;
        for (index, count) in below {
            number += 1;
            if *count > 0 {
                taken = taken.saturating_add(*count);
                end = finite(lower_bound(index + 1, scale));
            }
        }
        let empty = self.counts[number..].iter().take_while(|it| **it == 0);
        let number = number + empty.count();
        self.counts.drain(..number);
        if self.is_empty() {
            self.offset = 0;
        } else {
            self.offset += i32::try_from(number).unwrap_or(0);
        }
        (taken, end)
    }
}

/// The greatest value that is not in the bucket any more.
pub(crate) fn lower_bound(index: i64, scale: i32) -> f64 {
    (as_double(index) * f64::from(-scale).exp2()).exp2()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of a bucket has 33 bits"
)]
fn as_double(index: i64) -> f64 {
    index as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_what_no_double_is_are_refused() {
        for (scale, offset) in [
            (20, i32::MAX),
            (0, 1_024),
            (0, -1_076),
            (-10, 1),
            (-10, i32::MIN),
        ] {
            let made = Buckets::new(scale, offset, vec![1]);
            assert_eq!(made, None, "{scale} {offset}");
        }
        for (scale, offset) in [
            (0, 1_023),
            (0, -1_075),
            (-10, 0),
            (-10, -1),
            (20, 1_073_741_823),
        ] {
            let made = Buckets::new(scale, offset, vec![1]);
            assert!(made.is_some(), "{scale} {offset}");
        }
    }
}
