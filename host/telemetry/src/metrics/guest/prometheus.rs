//! The points of guests as Prometheus scrapes them: all since the process began.
//!
//! Its text has no histograms whose bounds grow by a factor. They become such
//! with bounds at powers of two, which stay where they are while the histogram
//! grows; over OTLP they leave as fine as they are.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as Buckets, Metric, MetricFamily, MetricType,
};

use super::{GuestMetric, GuestPoints, Shape};
use crate::metrics::guest::buckets::lower_bound;
use crate::metrics::guest::exponential::ExponentialHistogram;
use crate::metrics::guest::naming::{family_name, labels};
use crate::metrics::guest::point::{Number, Point};

impl GuestPoints {
    /// One family for each metric.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        let metrics = self.metrics();
        let families = metrics.iter().map(|metric| family(metric));
        // One without a series yet would be invalid.
        families
            .filter(|family| !family.get_metric().is_empty())
            .collect()
    }
}

fn family(metric: &GuestMetric) -> MetricFamily {
    let what = metric.what();
    let shape = what.kind.shape;
    let mut family = MetricFamily::default();
    let is_counter = shape == Shape::Counter;
    family.set_name(family_name(&what.name, &what.unit, is_counter));
    family.set_help(what.description.clone());
    family.set_field_type(match shape {
        Shape::Counter => MetricType::COUNTER,
        Shape::Gauge | Shape::UpDownCounter => MetricType::GAUGE,
        Shape::Histogram | Shape::ExponentialHistogram => MetricType::HISTOGRAM,
    });
    let series = metric.lock();
    let samples = series.iter().map(|(key, series)| {
        let mut sample = Metric::default();
        sample.set_label(labels(key.attributes(), &what.scope));
        match &series.total {
            Point::Sum(value) if is_counter => {
                let mut counter = Counter::default();
                counter.set_value(value.as_f64());
                sample.set_counter(counter);
            }
            Point::Sum(value) | Point::Gauge(value) => sample.set_gauge(gauge(*value)),
            Point::Histogram(histogram) => {
                let within = what.bounds.iter().copied().zip(&histogram.counts);
                let within = within.map(|(bound, count)| (bound, *count));
                let count = histogram.count();
                sample.set_histogram(buckets(within, histogram.sum, count));
            }
            Point::Exponential(histogram) => {
                let within = powers_of_two(histogram);
                let count = histogram.count();
                sample.set_histogram(buckets(within, histogram.sum, count));
            }
        }
        sample
    });
    family.set_metric(samples.collect());
    family
}

fn gauge(value: Number) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value.as_f64());
    gauge
}

/// A histogram of counts by their buckets' upper bounds; what is over the last
/// one is in the count alone.
fn buckets(within: impl IntoIterator<Item = (f64, u64)>, sum: f64, count: u64) -> Buckets {
    let mut cumulative = 0_u64;
    let within = within.into_iter().map(|(bound, count)| {
        cumulative = cumulative.saturating_add(count);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Buckets::default();
    histogram.set_bucket(within.collect());
    histogram.set_sample_sum(sum);
    histogram.set_sample_count(count);
    histogram
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
    use crate::metrics::guest::point::Range;

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
