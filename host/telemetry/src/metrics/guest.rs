//! Metrics that guests aggregate themselves.
//!
//! A guest's instance lives for one request, and exports the points of that request
//! alone. The store joins the points of all instances, and the host exports them with
//! the SDK's metrics, since the SDK takes no points that are aggregated already.
//!
//! The caller bounds the number of metrics and series: the store keeps all.

pub(crate) mod buckets;
pub(crate) mod exponential;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub(crate) mod number;
pub(crate) mod otlp;
pub(crate) mod point;
pub(crate) mod prometheus;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::metrics::Temporality;
use parking_lot::{Mutex, RwLock};

pub use crate::metrics::guest::buckets::Buckets;
pub use crate::metrics::guest::exponential::{ExponentialHistogram, MAX_BUCKETS, SCALES};
pub use crate::metrics::guest::number::{Number, NumberType, Range};
pub use crate::metrics::guest::point::{Histogram, Point};

/// Holds all metrics that guests aggregate themselves.
#[derive(Debug)]
pub struct GuestMetricStore {
    metrics: RwLock<Vec<Arc<GuestMetric>>>,
    temporality: Temporality,
    /// Of all that leaves from here.
    resource: Resource,
    started: SystemTime,
}

/// A metric of all guests: what their points are joined to.
#[derive(Debug)]
pub struct GuestMetric {
    what: MetricDescription,
    /// Whether what is pushed is what was added since the last time.
    pushes_deltas: bool,
    series: Mutex<HashMap<SeriesKey, Series>>,
}

/// What is known of a metric besides its points.
#[derive(Clone, Debug)]
pub struct MetricDescription {
    /// The name of the instrument.
    pub name: String,
    /// What it measures, in words.
    pub description: String,
    /// Its unit, by UCUM.
    pub unit: String,
    /// The library that made it.
    pub scope: InstrumentationScope,
    /// How its points are aggregated.
    pub kind: MetricKind,
    /// The bounds of a histogram's buckets; none of any other kind.
    pub bounds: Vec<f64>,
}

/// What a metric's points are, and of what type of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricKind {
    /// Sum, gauge or histogram.
    pub shape: Shape,
    /// Whether its numbers are integers.
    pub number: NumberType,
}

/// What a metric's points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value that replaces the one before.
    Gauge,
    /// A sum that only grows.
    Counter,
    /// Any other sum.
    UpDownCounter,
    /// Counts in buckets with bounds of their own.
    Histogram,
    /// Counts in buckets whose bounds grow by a factor.
    ExponentialHistogram,
}

impl MetricKind {
    /// Its name in the error that a guest gets for a clash.
    pub fn name(self) -> &'static str {
        use NumberType::{F64, I64, U64};
        match (self.shape, self.number) {
            (Shape::Gauge, F64) => "f64-gauge",
            (Shape::Gauge, I64) => "s64-gauge",
            (Shape::Gauge, U64) => "u64-gauge",
            (Shape::Counter, F64) => "monotonic f64-sum",
            (Shape::Counter, I64) => "monotonic s64-sum",
            (Shape::Counter, U64) => "monotonic u64-sum",
            (Shape::UpDownCounter, F64) => "f64-sum",
            (Shape::UpDownCounter, I64) => "s64-sum",
            (Shape::UpDownCounter, U64) => "u64-sum",
            (Shape::Histogram, F64) => "f64-histogram",
            (Shape::Histogram, I64) => "s64-histogram",
            (Shape::Histogram, U64) => "u64-histogram",
            (Shape::ExponentialHistogram, F64) => "f64-exponential-histogram",
            (Shape::ExponentialHistogram, I64) => "s64-exponential-histogram",
            (Shape::ExponentialHistogram, U64) => "u64-exponential-histogram",
        }
    }
}

/// Attributes that tell one series from all others of its metric: each key is
/// there once, and they are in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey(Arc<[KeyValue]>);

impl SeriesKey {
    /// Makes it of attributes without a key that is there twice.
    pub fn new(mut attributes: Vec<KeyValue>) -> Self {
        attributes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Self(attributes.into())
    }

    /// The attributes of the series.
    pub fn attributes(&self) -> &[KeyValue] {
        &self.0
    }
}

/// One series of a metric.
#[derive(Debug)]
struct Series {
    /// All since the process began.
    total: Point,
    /// What is to be pushed yet, where deltas are.
    delta: Option<Delta>,
}

#[derive(Debug)]
struct Delta {
    /// When what was pushed last ended.
    since: SystemTime,
    /// What came since it was last read.
    pending: Option<Point>,
    /// What was read and is not known to have arrived.
    under_way: Option<Point>,
}

impl GuestMetricStore {
    /// Makes it, for a backend that wants this temporality.
    pub fn new(temporality: Temporality, resource: &opentelemetry_sdk::Resource) -> Self {
        Self {
            metrics: RwLock::default(),
            temporality,
            resource: Resource {
                attributes: resource.iter().map(Into::into).collect(),
                ..Resource::default()
            },
            started: SystemTime::now(),
        }
    }

    /// Adds a metric that is not there yet.
    pub fn add(&self, what: MetricDescription) -> Arc<GuestMetric> {
        // Both preferences for deltas leave sums that may fall as they are, and
        // a gauge has no temporality.
        let has_deltas = match what.kind.shape {
            Shape::Counter | Shape::Histogram | Shape::ExponentialHistogram => true,
            Shape::Gauge | Shape::UpDownCounter => false,
        };
        let metric = Arc::new(GuestMetric {
            what,
            pushes_deltas: has_deltas && self.temporality != Temporality::Cumulative,
            series: Mutex::default(),
        });
        let mut metrics = self.metrics.write();
        metrics.push(Arc::clone(&metric));
        metric
    }

    /// All metrics, those of a library one after the other.
    fn metrics(&self) -> Vec<Arc<GuestMetric>> {
        let metrics = self.metrics.read();
        let mut metrics = metrics.clone();
        metrics.sort_by(|a, b| {
            let key = |metric: &GuestMetric| {
                let scope = &metric.what.scope;
                (scope.name().to_owned(), scope.version().map(str::to_owned))
            };
            key(a).cmp(&key(b))
        });
        metrics
    }
}

impl GuestMetric {
    /// What is measured.
    pub fn what(&self) -> &MetricDescription {
        &self.what
    }

    /// Joins a point of a guest's to its series.
    pub fn join(&self, key: SeriesKey, point: &Point) {
        let mut all = self.series.lock();
        let series = all.entry(key).or_insert_with(|| Series {
            total: point.zero(),
            delta: self.pushes_deltas.then(|| Delta {
                since: SystemTime::now(),
                pending: None,
                under_way: None,
            }),
        });
        series.total.add(point);
        if let Some(delta) = &mut series.delta {
            match &mut delta.pending {
                Some(pending) => pending.add(point),
                None => delta.pending = Some(point.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn points(temporality: Temporality) -> GuestMetricStore {
        let resource = opentelemetry_sdk::Resource::builder_empty().build();
        GuestMetricStore::new(temporality, &resource)
    }

    pub(crate) fn counter(name: &str) -> MetricDescription {
        MetricDescription {
            name: name.to_owned(),
            description: format!("About {name}"),
            unit: String::new(),
            scope: InstrumentationScope::builder("shop").build(),
            kind: MetricKind {
                shape: Shape::Counter,
                number: NumberType::U64,
            },
            bounds: Vec::new(),
        }
    }

    pub(crate) fn one() -> Point {
        Point::Sum(Number::I64(1))
    }

    #[test]
    fn the_order_of_attributes_makes_no_other_series() {
        let metric = points(Temporality::Cumulative).add(counter("a"));
        let (a, b) = (KeyValue::new("a", 1), KeyValue::new("b", 2));
        metric.join(SeriesKey::new(vec![a.clone(), b.clone()]), &one());
        metric.join(SeriesKey::new(vec![b, a]), &one());
        let series = metric.series.lock();
        let totals: Vec<_> = series.values().map(|series| &series.total).collect();
        assert_eq!(totals, [&Point::Sum(Number::I64(2))]);
    }
}
