//! What holds for any exponential histograms that guests may export.

use arbitrary::{Result, Unstructured};

use crate::metrics::guest::buckets::Buckets;
use crate::metrics::guest::exponential::{ExponentialHistogram, MAX_BUCKETS, SCALES};
use crate::metrics::guest::number::Range;

/// Joins histograms made of these bytes: none of their counts is lost, their
/// buckets are few, and the difference to the state before is what was added.
///
/// # Errors
/// Where the bytes make none.
pub fn exponential_histograms(data: &[u8]) -> Result<()> {
    let mut data = Unstructured::new(data);
    let mut all: Option<ExponentialHistogram> = None;
    while !data.is_empty() {
        let Some(given) = histogram(&mut data)? else {
            continue;
        };
        check(&given);
        let Some(before) = all.as_ref() else {
            all = Some(given);
            continue;
        };
        let mut after = before.clone();
        after.add(&given);
        check(&after);
        assert_eq!(after.count(), before.count() + given.count());
        let Some(added) = after.since(before) else {
            unreachable!("{before:?} is in {after:?}");
        };
        assert_eq!(added.count(), given.count());
        all = Some(after);
    }
    Ok(())
}

/// None where a bucket is of what no double can be.
fn histogram(data: &mut Unstructured<'_>) -> Result<Option<ExponentialHistogram>> {
    let scale = data.int_in_range(SCALES)?;
    let mut side = || -> Result<Option<Buckets>> {
        let offset = match data.int_in_range(0..=3)? {
            0 => data.arbitrary()?,
            _ => i32::from(data.arbitrary::<i16>()?),
        };
        let counts: Vec<u8> = data.arbitrary()?;
        let counts = counts.into_iter().map(u64::from).collect();
        Ok(Buckets::new(scale, offset, counts))
    };
    let (Some(positive), Some(negative)) = (side()?, side()?) else {
        return Ok(None);
    };
    let threshold: f64 = data.arbitrary()?;
    let histogram = ExponentialHistogram {
        scale,
        zero_count: data.arbitrary::<u8>()?.into(),
        zero_threshold: match data.int_in_range(0..=3)? {
            0 if threshold.is_finite() => threshold.abs(),
            1 => 1.0,
            _ => 0.0,
        },
        positive,
        negative,
        sum: 0.0,
        range: Range::default(),
    };
    Ok(Some(histogram.bounded()))
}

fn check(histogram: &ExponentialHistogram) {
    for Buckets { counts, .. } in [&histogram.positive, &histogram.negative] {
        assert!(counts.len() <= MAX_BUCKETS);
        assert!(counts.first() != Some(&0) && counts.last() != Some(&0));
    }
    assert!(histogram.zero_threshold.is_finite() && histogram.zero_threshold >= 0.0);
}
