//! The metrics of the SDK's instruments: a second reader beside the one that pushes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, Metric, MetricData, ResourceMetrics, Sum,
};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};

use crate::metrics::guest::Shape;
use crate::metrics::prometheus::family::{Family, Kind, Series, Source, Value};
use crate::metrics::prometheus::naming::{family_name, labels};

/// Reads all instruments when asked. Its clones read the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct SdkReader(Arc<ManualReader>);

impl SdkReader {
    /// One family for each instrument, and `target_info` for the resource.
    pub(crate) fn families(&self) -> Result<Vec<Family>, opentelemetry_sdk::error::OTelSdkError> {
        let mut all = ResourceMetrics::default();
        self.0.collect(&mut all)?;
        let mut families = Vec::new();
        families.extend(target_info(all.resource()));
        for of_scope in all.scope_metrics() {
            let metrics = of_scope.metrics();
            families.extend(metrics.filter_map(|metric| family(metric, of_scope.scope())));
        }
        Ok(families)
    }
}

impl MetricReader for SdkReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, _: InstrumentKind) -> Temporality {
        Temporality::Cumulative
    }
}

fn target_info(resource: &Resource) -> Option<Family> {
    if resource.is_empty() {
        return None;
    }
    let attributes = resource
        .iter()
        .map(|(key, value)| opentelemetry::KeyValue::new(key.clone(), value.clone()));
    let attributes: Vec<_> = attributes.collect();
    let scope = InstrumentationScope::builder(crate::scope::HOST_SCOPE).build();
    Some(Family {
        name: "target_info".to_owned(),
        unit: None,
        help: "Target metadata".to_owned(),
        kind: Kind::Info,
        source: Source {
            scope: scope.name().to_owned(),
            instrument: "target_info".to_owned(),
        },
        series: vec![Series {
            labels: labels(&attributes, &scope),
            value: Value::Number(1.0),
        }],
    })
}

fn family(metric: &Metric, scope: &InstrumentationScope) -> Option<Family> {
    let (shape, series) = match metric.data() {
        AggregatedMetrics::F64(data) => series(data, scope, |value| value),
        AggregatedMetrics::I64(data) => series(data, scope, from_signed),
        AggregatedMetrics::U64(data) => series(data, scope, from_unsigned),
    }?;
    let (name, unit) = family_name(metric.name(), metric.unit(), shape)?;
    Some(Family {
        name,
        unit,
        help: metric.description().to_owned(),
        kind: Kind::of(shape),
        source: Source {
            scope: scope.name().to_owned(),
            instrument: metric.name().to_owned(),
        },
        series,
    })
}

fn series<T: Copy>(
    data: &MetricData<T>,
    scope: &InstrumentationScope,
    as_f64: fn(T) -> f64,
) -> Option<(Shape, Vec<Series>)> {
    Some(match data {
        MetricData::Gauge(gauge) => {
            let series = gauge.data_points().map(|point| Series {
                labels: labels(point.attributes(), scope),
                value: Value::Number(as_f64(point.value())),
            });
            (Shape::Gauge, series.collect())
        }
        MetricData::Sum(sum) => {
            let series = sum.data_points().map(|point| Series {
                labels: labels(point.attributes(), scope),
                value: Value::Number(as_f64(point.value())),
            });
            (shape_of_sum(sum), series.collect())
        }
        MetricData::Histogram(histogram) => {
            let series = histogram.data_points().map(|point| Series {
                labels: labels(point.attributes(), scope),
                value: Value::histogram(
                    point.bounds().zip(point.bucket_counts()),
                    as_f64(point.sum()),
                    point.count(),
                ),
            });
            (Shape::Histogram, series.collect())
        }
        // No instrument of the SDK is set up to make one.
        MetricData::ExponentialHistogram(_) => return None,
    })
}

fn shape_of_sum<T>(sum: &Sum<T>) -> Shape {
    match sum.is_monotonic() {
        true => Shape::Counter,
        false => Shape::UpDownCounter,
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats alone")]
fn from_signed(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats alone")]
fn from_unsigned(value: u64) -> f64 {
    value as f64
}
