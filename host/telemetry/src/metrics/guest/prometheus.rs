//! The points of guests as Prometheus scrapes them: all since the process began.
//!
//! Its text has no histograms whose bounds grow by a factor. They become such
//! with bounds at powers of two, which stay where they are while the histogram
//! grows; over OTLP they leave as fine as they are.

use super::{GuestMetric, GuestMetricStore};
use crate::metrics::guest::buckets::lower_bound;
use crate::metrics::guest::exponential::ExponentialHistogram;
use crate::metrics::guest::point::Point;
use crate::metrics::prometheus::family::{Family, Kind, Series, Source, Value};
use crate::metrics::prometheus::naming::{family_name, labels};

impl GuestMetricStore {
    /// One family for each metric.
    pub(crate) fn families(&self) -> Vec<Family> {
        let metrics = self.metrics();
        metrics.iter().filter_map(|metric| family(metric)).collect()
    }
}

fn family(metric: &GuestMetric) -> Option<Family> {
    let what = metric.what();
    let shape = what.kind.shape;
    let (name, unit) = family_name(&what.name, &what.unit, shape)?;
    let series = metric.series.lock();
    let series = series.iter().map(|(key, series)| Series {
        labels: labels(key.attributes(), &what.scope),
        value: match &series.total {
            Point::Sum(value) | Point::Gauge(value) => Value::Number(value.as_f64()),
            Point::Histogram(histogram) => {
                let within = what.bounds.iter().copied().zip(&histogram.counts);
                let within = within.map(|(bound, count)| (bound, *count));
                Value::histogram(within, histogram.sum, histogram.count())
            }
            Point::Exponential(histogram) => {
                Value::histogram(powers_of_two(histogram), histogram.sum, histogram.count())
            }
        },
    });
    Some(Family {
        name,
        unit,
        help: what.description.clone(),
        kind: Kind::of(shape),
        source: Source {
            scope: what.scope.name().to_owned(),
            instrument: what.name.clone(),
        },
        series: series.collect(),
    })
}

/// The counts by their upper bounds: powers of two, or of a greater factor where
/// the histogram is that coarse.
fn powers_of_two(histogram: &ExponentialHistogram) -> Vec<(f64, u64)> {
    let mut histogram = histogram.clone();
    histogram.lower_to(0);
    let scale = histogram.scale;
    let mut within = Vec::new();
    let negative = &histogram.negative;
    for (index, count) in (i64::from(negative.offset)..).zip(&negative.counts) {
        within.push((-lower_bound(index, scale), *count));
    }
    // The farthest from zero is the least.
    within.reverse();
    if histogram.zero_count > 0 || !within.is_empty() {
        within.push((histogram.zero_threshold, histogram.zero_count));
    }
    let positive = &histogram.positive;
    for (index, count) in (i64::from(positive.offset)..).zip(&positive.counts) {
        within.push((lower_bound(index + 1, scale), *count));
    }
    // What has no finite bound is told by the count, and Prometheus wants them
    // to rise.
    within.retain(|(bound, _)| bound.is_finite());
    within.dedup_by(|later, first| {
        let same = later.0 <= first.0;
        if same {
            first.1 = first.1.saturating_add(later.1);
        }
        same
    });
    within
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::guest::buckets;
    use crate::metrics::guest::number::Range;

    #[test]
    fn a_histogram_by_a_factor_has_its_bounds_at_powers_of_two() {
        let of = |scale, offset, counts: &[u64]| {
            buckets::Buckets::new(scale, offset, counts.to_vec()).unwrap()
        };
        let histogram = ExponentialHistogram {
            scale: 1,
            zero_count: 5,
            zero_threshold: 0.0,
            positive: of(1, -2, &[1, 2, 3, 4]),
            negative: of(1, 2, &[6, 0, 7]),
            sum: 0.0,
            range: Range::default(),
        };
        let expected = [(-4.0, 7), (-2.0, 6), (0.0, 5), (1.0, 3), (2.0, 7)];
        assert_eq!(powers_of_two(&histogram), expected);
        let coarse = ExponentialHistogram {
            scale: -1,
            positive: of(-1, 0, &[1, 1]),
            negative: of(-1, 0, &[]),
            zero_count: 0,
            ..histogram
        };
        assert_eq!(powers_of_two(&coarse), [(4.0, 1), (16.0, 1)]);
    }
}
