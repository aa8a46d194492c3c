//! Random numbers from the host.

use std::ops::RangeInclusive;

use crate::bindings::wasi::random::random::get_random_u64;

/// Returns a random number, fit for secrets.
pub fn random_u64() -> u64 {
    get_random_u64()
}

/// Returns a random number within a range, both ends included.
///
/// An empty range gives its start.
pub fn random_range(range: RangeInclusive<u64>) -> u64 {
    spread(random_u64(), &range)
}

/// Maps the whole of `u64` onto the range, each number equally often but for
/// one part in 2^64 over the range's size.
fn spread(random: u64, range: &RangeInclusive<u64>) -> u64 {
    let (start, end) = (*range.start(), *range.end());
    let size = u128::from(end.saturating_sub(start)) + 1;
    let offset = (u128::from(random) * size) >> 64;
    start.saturating_add(u64::try_from(offset).unwrap_or(0))
}

#[cfg(test)]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_reached_and_none_is_passed() {
        assert_eq!(spread(0, &(100..=300)), 100);
        assert_eq!(spread(u64::MAX / 2, &(100..=300)), 200);
        assert_eq!(spread(u64::MAX, &(100..=300)), 300);
        assert_eq!(spread(u64::MAX, &(0..=u64::MAX)), u64::MAX);
        assert_eq!(spread(u64::MAX, &(7..=7)), 7);
        assert_eq!(spread(u64::MAX, &(7..=3)), 7);
    }
}
