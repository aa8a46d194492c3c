//! Points as a guest sends them, checked: one that breaks a rule is refused and
//! the reason told.

use crate::guest_api::wasi_otel::bindings::wasi::otel::metrics as wit;
use crate::guest_api::wasi_otel::bindings::wasi::otel::types::KeyValue;
use fanlight_telemetry::metrics::guest::{
    Buckets, ExponentialHistogram, Histogram, MetricKind, Number, NumberType, Point, Range, SCALES,
    Shape,
};

/// Why a point is refused.
pub(crate) type Refusal = &'static str;

/// The points of a metric, and what they have in common.
pub(crate) struct Points {
    pub(crate) kind: MetricKind,
    pub(crate) stands_for: StandsFor,
    list: List,
}

/// What the values of a metric's points stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandsFor {
    /// What was added since the last point, or a gauge's value now.
    Itself,
    /// All since this moment.
    AllSince(Moment),
}

/// Seconds and nanoseconds.
pub(crate) type Moment = (u64, u32);

enum List {
    Gauge(Vec<wit::GaugeDataPoint>),
    Sum(Vec<wit::SumDataPoint>),
    Histogram(Vec<wit::HistogramDataPoint>),
    Exponential(Vec<wit::ExponentialHistogramDataPoint>),
}

/// One of them, checked.
pub(crate) struct Checked {
    pub(crate) attributes: Vec<KeyValue>,
    /// The bounds of a histogram's buckets; none of any other kind.
    pub(crate) bounds: Vec<f64>,
    pub(crate) point: Result<Point, Refusal>,
}

impl Points {
    pub(crate) fn new(data: wit::MetricData) -> Self {
        use NumberType::{F64, I64, U64};
        use wit::MetricData as Data;
        match data {
            Data::F64Gauge(gauge) => Self::gauge(F64, gauge),
            Data::S64Gauge(gauge) => Self::gauge(I64, gauge),
            Data::U64Gauge(gauge) => Self::gauge(U64, gauge),
            Data::F64Sum(sum) => Self::sum(F64, sum),
            Data::S64Sum(sum) => Self::sum(I64, sum),
            Data::U64Sum(sum) => Self::sum(U64, sum),
            Data::F64Histogram(histogram) => Self::histogram(F64, histogram),
            Data::S64Histogram(histogram) => Self::histogram(I64, histogram),
            Data::U64Histogram(histogram) => Self::histogram(U64, histogram),
            Data::F64ExponentialHistogram(histogram) => Self::exponential(F64, histogram),
            Data::S64ExponentialHistogram(histogram) => Self::exponential(I64, histogram),
            Data::U64ExponentialHistogram(histogram) => Self::exponential(U64, histogram),
        }
    }

    fn gauge(number: NumberType, gauge: wit::Gauge) -> Self {
        Self {
            kind: MetricKind {
                shape: Shape::Gauge,
                number,
            },
            stands_for: StandsFor::Itself,
            list: List::Gauge(gauge.data_points),
        }
    }

    fn sum(number: NumberType, sum: wit::Sum) -> Self {
        let shape = if sum.is_monotonic {
            Shape::Counter
        } else {
            Shape::UpDownCounter
        };
        Self {
            kind: MetricKind { shape, number },
            stands_for: stands_for(sum.temporality, sum.start_time, shape),
            list: List::Sum(sum.data_points),
        }
    }

    fn histogram(number: NumberType, histogram: wit::Histogram) -> Self {
        let shape = Shape::Histogram;
        Self {
            kind: MetricKind { shape, number },
            stands_for: stands_for(histogram.temporality, histogram.start_time, shape),
            list: List::Histogram(histogram.data_points),
        }
    }

    fn exponential(number: NumberType, histogram: wit::ExponentialHistogram) -> Self {
        let shape = Shape::ExponentialHistogram;
        Self {
            kind: MetricKind { shape, number },
            stands_for: stands_for(histogram.temporality, histogram.start_time, shape),
            list: List::Exponential(histogram.data_points),
        }
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        match &self.list {
            List::Gauge(list) => list.len(),
            List::Sum(list) => list.len(),
            List::Histogram(list) => list.len(),
            List::Exponential(list) => list.len(),
        }
    }

    /// Checks the first of them, `most` at most.
    pub(crate) fn checked(self, most: usize) -> Vec<Checked> {
        let MetricKind { shape, number } = self.kind;
        match self.list {
            List::Gauge(list) => {
                let list = list.into_iter().take(most);
                list.map(|given| Checked {
                    attributes: given.attributes,
                    bounds: Vec::new(),
                    point: self::number(given.value, number).map(Point::Gauge),
                })
                .collect()
            }
            List::Sum(list) => {
                let list = list.into_iter().take(most);
                list.map(|given| Checked {
                    attributes: given.attributes,
                    bounds: Vec::new(),
                    point: sum(given.value, number, shape),
                })
                .collect()
            }
            List::Histogram(list) => {
                let list = list.into_iter().take(most);
                list.map(|mut given| Checked {
                    attributes: std::mem::take(&mut given.attributes),
                    point: histogram(&mut given, number),
                    bounds: given.bounds,
                })
                .collect()
            }
            List::Exponential(list) => {
                let list = list.into_iter().take(most);
                list.map(|mut given| Checked {
                    attributes: std::mem::take(&mut given.attributes),
                    bounds: Vec::new(),
                    point: exponential(given, number),
                })
                .collect()
            }
        }
    }
}

/// Low memory is delta where that is what saves memory: not for sums that may
/// fall.
fn stands_for(temporality: wit::Temporality, start: wit::Datetime, shape: Shape) -> StandsFor {
    match (temporality, shape) {
        (wit::Temporality::Delta, _) => StandsFor::Itself,
        (wit::Temporality::LowMemory, shape) if shape != Shape::UpDownCounter => StandsFor::Itself,
        _ => StandsFor::AllSince((start.seconds, start.nanoseconds)),
    }
}

/// A finite number of the metric's own type.
fn number(value: wit::MetricNumber, of: NumberType) -> Result<Number, Refusal> {
    match (value, of) {
        (wit::MetricNumber::F64(value), NumberType::F64) if value.is_finite() => {
            Ok(Number::F64(value))
        }
        (wit::MetricNumber::F64(_), NumberType::F64) => Err("a value is finite"),
        (wit::MetricNumber::S64(value), NumberType::I64) => Ok(Number::I64(value)),
        (wit::MetricNumber::U64(value), NumberType::U64) => {
            Ok(Number::I64(i64::try_from(value).unwrap_or(i64::MAX)))
        }
        _ => Err("a value is of its metric's type"),
    }
}

fn sum(value: wit::MetricNumber, of: NumberType, shape: Shape) -> Result<Point, Refusal> {
    let value = number(value, of)?;
    if shape == Shape::Counter && value.is_negative() {
        return Err("a sum that only grows is not negative");
    }
    Ok(Point::Sum(value))
}

/// The rules of bounds themselves are those of all instruments.
fn histogram(given: &mut wit::HistogramDataPoint, of: NumberType) -> Result<Point, Refusal> {
    let mut counts = std::mem::take(&mut given.bucket_counts);
    if counts.is_empty() && given.bounds.is_empty() {
        // OTLP allows to leave out the only bucket.
        counts.push(given.count);
    }
    if counts.len() != given.bounds.len() + 1 {
        return Err("a histogram has one bucket more than bounds");
    }
    if total(&counts) != Some(given.count) {
        return Err("the count of a histogram is that of its buckets");
    }
    Ok(Point::Histogram(Histogram {
        counts,
        sum: number(given.sum, of)?.as_f64(),
        range: range(given.min, given.max, of)?,
    }))
}

fn exponential(
    given: wit::ExponentialHistogramDataPoint,
    of: NumberType,
) -> Result<Point, Refusal> {
    let scale = i32::from(given.scale);
    if !SCALES.contains(&scale) {
        return Err("a scale is from -10 to 20");
    }
    if !given.zero_threshold.is_finite() || given.zero_threshold < 0.0 {
        return Err("a threshold of zero is finite and not negative");
    }
    let (positive, negative) = (given.positive_bucket, given.negative_bucket);
    let counted = total(&positive.counts)
        .zip(total(&negative.counts))
        .and_then(|(positive, negative)| positive.checked_add(negative))
        .and_then(|sum| sum.checked_add(given.zero_count));
    if counted != Some(given.count) {
        return Err("the count of a histogram is that of its buckets");
    }
    let buckets = |it: wit::ExponentialBucket| {
        Buckets::new(scale, it.offset, it.counts).ok_or("a bucket is one of what a double can be")
    };
    let histogram = ExponentialHistogram {
        scale,
        zero_count: given.zero_count,
        zero_threshold: given.zero_threshold,
        positive: buckets(positive)?,
        negative: buckets(negative)?,
        sum: number(given.sum, of)?.as_f64(),
        range: range(given.min, given.max, of)?,
    };
    Ok(Point::Exponential(Box::new(histogram.bounded())))
}

fn range(
    min: Option<wit::MetricNumber>,
    max: Option<wit::MetricNumber>,
    of: NumberType,
) -> Result<Range, Refusal> {
    let value = |value: Option<wit::MetricNumber>| match value {
        Some(value) => number(value, of).map(|value| Some(value.as_f64())),
        None => Ok(None),
    };
    Ok(Range {
        min: value(min)?,
        max: value(max)?,
    })
}

/// The sum of counts; none where it is more than a number holds.
fn total(counts: &[u64]) -> Option<u64> {
    counts
        .iter()
        .try_fold(0_u64, |sum, count| sum.checked_add(*count))
}
