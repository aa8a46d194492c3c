//! Short ways to the records of metrics.

use crate::otel::metrics::{
    ExponentialBucket, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, GaugeDataPoint,
    Histogram, HistogramDataPoint, Metric, MetricData, MetricNumber, ResourceMetrics, ScopeMetrics,
    Sum, SumDataPoint, Temporality, export,
};
use crate::otel::types::{KeyValue, Resource};
use crate::otel::{at, attribute, scope};

/// Hands these over; the answer is the host's.
pub(crate) fn exported(metrics: Vec<Metric>) -> Result<(), String> {
    export(&ResourceMetrics {
        resource: Resource {
            attributes: Vec::new(),
            schema_url: None,
        },
        scope_metrics: vec![ScopeMetrics {
            scope: scope(),
            metrics,
        }],
    })
}

pub(crate) fn metric(name: &str, unit: &str, data: MetricData) -> Metric {
    Metric {
        name: name.into(),
        description: format!("About {name}"),
        unit: unit.into(),
        data,
    }
}

/// The attributes that all series have unless said otherwise.
pub(crate) fn red() -> Vec<KeyValue> {
    vec![attribute("color", r#""red""#), attribute("size", "3")]
}

pub(crate) fn gauge(value: MetricNumber) -> Gauge {
    Gauge {
        data_points: vec![GaugeDataPoint {
            attributes: red(),
            value,
            exemplars: Vec::new(),
        }],
        start_time: None,
        time: at(1),
    }
}

pub(crate) fn sum(temporality: Temporality, is_monotonic: bool, value: MetricNumber) -> Sum {
    Sum {
        data_points: vec![SumDataPoint {
            attributes: red(),
            value,
            exemplars: Vec::new(),
        }],
        start_time: at(0),
        time: at(1),
        temporality,
        is_monotonic,
    }
}

/// Buckets up to 1, up to 10, and over it.
pub(crate) fn histogram(
    temporality: Temporality,
    counts: [u64; 3],
    sum: MetricNumber,
    range: (MetricNumber, MetricNumber),
) -> Histogram {
    Histogram {
        data_points: vec![HistogramDataPoint {
            attributes: red(),
            count: counts.iter().sum(),
            bounds: vec![1.0, 10.0],
            bucket_counts: counts.into(),
            min: Some(range.0),
            max: Some(range.1),
            sum,
            exemplars: Vec::new(),
        }],
        start_time: at(0),
        time: at(1),
        temporality,
    }
}

/// Buckets of positive values from `offset` on, at this scale, and zeros.
pub(crate) fn exponential(
    temporality: Temporality,
    scale: i8,
    offset: i32,
    counts: &[u64],
    zero_count: u64,
    sum: f64,
) -> ExponentialHistogram {
    ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            attributes: red(),
            count: counts.iter().sum::<u64>() + zero_count,
            min: None,
            max: None,
            sum: MetricNumber::F64(sum),
            scale,
            zero_count,
            positive_bucket: ExponentialBucket {
                offset,
                counts: counts.into(),
            },
            negative_bucket: ExponentialBucket {
                offset: 0,
                counts: Vec::new(),
            },
            zero_threshold: 0.0,
            exemplars: Vec::new(),
        }],
        start_time: at(0),
        time: at(1),
        temporality,
    }
}
