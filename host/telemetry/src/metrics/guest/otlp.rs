//! The points of guests as OTLP has them.
//!
//! In pieces, for collectors refuse messages over 4 MiB. What is pushed as a
//! delta is kept until it has arrived.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as OtlpBuckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::{GuestMetric, GuestMetricStore, SeriesKey, Shape};
use crate::metrics::guest::buckets::Buckets;
use crate::metrics::guest::number::Number;
use crate::metrics::guest::point::Point;
use crate::otlp::split::MAX_REQUEST_BYTES;

/// A request to export points, and whose they are.
pub(crate) struct Request {
    body: ExportMetricsServiceRequest,
    bytes: usize,
    at: SystemTime,
    deltas: Vec<(Arc<GuestMetric>, SeriesKey)>,
}

impl GuestMetricStore {
    /// What is to be pushed now.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let at = SystemTime::now();
        let mut requests: Vec<Request> = Vec::new();
        for metric in self.metrics() {
            // In the last request, whether this metric is in it already.
            let mut is_begun = false;
            for (key, since, point) in metric.to_push(self.started) {
                // It may have begun since, and the clock may have been set back.
                let point = DataPoint::new(&metric, &key, &point, since.min(at), at);
                let bytes = point.encoded_len() + 8;
                let is_full = |request: &Request| request.bytes + bytes > MAX_REQUEST_BYTES;
                if requests.last().is_none_or(is_full) {
                    requests.push(Request::new(&self.resource, at));
                    is_begun = false;
                }
                let Some(request) = requests.last_mut() else {
                    continue;
                };
                if !is_begun {
                    request.begin(&metric);
                    is_begun = true;
                }
                request.bytes += bytes;
                request.push(point);
                if metric.pushes_deltas {
                    request.deltas.push((Arc::clone(&metric), key));
                }
            }
        }
        requests
    }
}

impl GuestMetric {
    /// Each series with what is to be pushed, and since when that is.
    fn to_push(&self, started: SystemTime) -> Vec<(SeriesKey, SystemTime, Point)> {
        let mut all = self.series.lock();
        let points = all.iter_mut().filter_map(|(key, series)| {
            let Some(delta) = &mut series.delta else {
                return Some((key.clone(), started, series.total.clone()));
            };
            match (&mut delta.under_way, delta.pending.take()) {
                (Some(under_way), Some(pending)) => under_way.add(&pending),
                (None, pending) => delta.under_way = pending,
                (Some(_), None) => {}
            }
            let point = delta.under_way.clone()?;
            Some((key.clone(), delta.since, point))
        });
        points.collect()
    }
}

impl Request {
    fn new(resource: &Resource, at: SystemTime) -> Self {
        Self {
            bytes: resource.encoded_len(),
            body: ExportMetricsServiceRequest {
                resource_metrics: vec![ResourceMetrics {
                    resource: Some(resource.clone()),
                    scope_metrics: Vec::new(),
                    schema_url: String::new(),
                }],
            },
            at,
            deltas: Vec::new(),
        }
    }

    /// What is to be sent; it is empty from then on.
    pub(crate) fn take_body(&mut self) -> ExportMetricsServiceRequest {
        std::mem::take(&mut self.body)
    }

    /// Records that it has arrived, or never will: its deltas are not pushed again.
    pub(crate) fn settled(self) {
        for (metric, key) in self.deltas {
            if let Some(delta) = metric
                .series
                .lock()
                .get_mut(&key)
                .and_then(|series| series.delta.as_mut())
            {
                delta.under_way = None;
                delta.since = self.at;
            }
        }
    }

    /// Adds a metric without points, below its library.
    fn begin(&mut self, metric: &GuestMetric) {
        let what = metric.what();
        let temporality = if metric.pushes_deltas {
            AggregationTemporality::Delta
        } else {
            AggregationTemporality::Cumulative
        };
        let aggregation_temporality = temporality.into();
        let data = match what.kind.shape {
            Shape::Gauge => Data::Gauge(Gauge::default()),
            Shape::Counter | Shape::UpDownCounter => Data::Sum(Sum {
                data_points: Vec::new(),
                aggregation_temporality,
                is_monotonic: what.kind.shape == Shape::Counter,
            }),
            Shape::Histogram => Data::Histogram(Histogram {
                data_points: Vec::new(),
                aggregation_temporality,
            }),
            Shape::ExponentialHistogram => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: Vec::new(),
                aggregation_temporality,
            }),
        };
        let metric = Metric {
            name: what.name.clone(),
            description: what.description.clone(),
            unit: what.unit.clone(),
            metadata: Vec::new(),
            data: Some(data),
        };
        self.bytes += metric.encoded_len() + 8;
        let scope = (&what.scope, None).into();
        let schema_url = what.scope.schema_url().unwrap_or_default();
        let Some(resource) = self.body.resource_metrics.last_mut() else {
            return;
        };
        match resource.scope_metrics.last_mut() {
            Some(last) if last.scope.as_ref() == Some(&scope) && last.schema_url == schema_url => {
                last.metrics.push(metric);
            }
            _ => {
                self.bytes += scope.encoded_len() + schema_url.len() + 16;
                resource.scope_metrics.push(ScopeMetrics {
                    scope: Some(scope),
                    metrics: vec![metric],
                    schema_url: schema_url.to_owned(),
                });
            }
        }
    }

    /// Adds a point to the metric that was begun last.
    fn push(&mut self, point: DataPoint) {
        let metric = self
            .body
            .resource_metrics
            .last_mut()
            .and_then(|resource| resource.scope_metrics.last_mut())
            .and_then(|scope| scope.metrics.last_mut())
            .and_then(|metric| metric.data.as_mut());
        match (metric, point) {
            (Some(Data::Gauge(gauge)), DataPoint::Number(point)) => gauge.data_points.push(point),
            (Some(Data::Sum(sum)), DataPoint::Number(point)) => sum.data_points.push(point),
            (Some(Data::Histogram(histogram)), DataPoint::Histogram(point)) => {
                histogram.data_points.push(point);
            }
            (Some(Data::ExponentialHistogram(histogram)), DataPoint::Exponential(point)) => {
                histogram.data_points.push(point);
            }
            // Points of one metric are of one kind.
            _ => {}
        }
    }
}

enum DataPoint {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
    Exponential(ExponentialHistogramDataPoint),
}

impl DataPoint {
    fn new(
        metric: &GuestMetric,
        key: &SeriesKey,
        point: &Point,
        since: SystemTime,
        at: SystemTime,
    ) -> Self {
        let attributes = key.attributes().iter().map(Into::into).collect();
        let start_time_unix_nano = nanos(since);
        let time_unix_nano = nanos(at);
        match point {
            Point::Gauge(value) => Self::Number(NumberDataPoint {
                attributes,
                time_unix_nano,
                value: Some(number(*value)),
                ..NumberDataPoint::default()
            }),
            Point::Sum(value) => Self::Number(NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                value: Some(number(*value)),
                ..NumberDataPoint::default()
            }),
            Point::Histogram(histogram) => Self::Histogram(HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: histogram.count(),
                sum: Some(histogram.sum),
                bucket_counts: histogram.counts.clone(),
                explicit_bounds: metric.what().bounds.clone(),
                min: histogram.range.min,
                max: histogram.range.max,
                ..HistogramDataPoint::default()
            }),
            Point::Exponential(histogram) => Self::Exponential(ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: histogram.count(),
                sum: Some(histogram.sum),
                scale: histogram.scale,
                zero_count: histogram.zero_count,
                positive: Some(buckets(&histogram.positive)),
                negative: Some(buckets(&histogram.negative)),
                min: histogram.range.min,
                max: histogram.range.max,
                zero_threshold: histogram.zero_threshold,
                ..ExponentialHistogramDataPoint::default()
            }),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Number(point) => point.encoded_len(),
            Self::Histogram(point) => point.encoded_len(),
            Self::Exponential(point) => point.encoded_len(),
        }
    }
}

fn buckets(buckets: &Buckets) -> OtlpBuckets {
    OtlpBuckets {
        offset: buckets.offset,
        bucket_counts: buckets.counts.clone(),
    }
}

fn number(value: Number) -> Value {
    match value {
        Number::F64(value) => Value::AsDouble(value),
        Number::I64(value) => Value::AsInt(value),
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;
    use opentelemetry_sdk::metrics::Temporality;

    use super::*;
    use crate::metrics::guest::tests::{self, counter, one};

    /// The values of all points in these requests.
    fn values(requests: &[Request]) -> Vec<i64> {
        let metrics = requests
            .iter()
            .flat_map(|request| &request.body.resource_metrics)
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics);
        let points = metrics.flat_map(|metric| match &metric.data {
            Some(Data::Sum(sum)) => &*sum.data_points,
            _ => &[],
        });
        points
            .map(|point| match point.value {
                Some(Value::AsInt(value)) => value,
                _ => i64::MIN,
            })
            .collect()
    }

    fn key(n: i64) -> SeriesKey {
        SeriesKey::new(vec![KeyValue::new("n", n)])
    }

    #[test]
    fn a_delta_is_pushed_once_and_again_only_where_it_did_not_arrive() {
        let points = tests::points(Temporality::Delta);
        let metric = points.add(counter("a"));
        let push = || points.requests();
        metric.join(key(1), &one());
        let lost = push();
        assert_eq!(values(&lost), [1]);
        metric.join(key(1), &one());
        let mut second = push();
        assert_eq!(values(&second), [2]);
        // What comes meanwhile is for the next one.
        metric.join(key(1), &one());
        second.remove(0).settled();
        let mut third = push();
        assert_eq!(values(&third), [1]);
        third.remove(0).settled();
        assert!(push().is_empty());
    }

    #[test]
    fn all_since_the_beginning_is_pushed_every_time() {
        let points = tests::points(Temporality::Cumulative);
        let metric = points.add(counter("a"));
        metric.join(key(1), &one());
        for _ in 0..2 {
            let mut requests = points.requests();
            assert_eq!(values(&requests), [1]);
            requests.remove(0).settled();
        }
    }

    #[test]
    fn what_is_too_much_for_one_request_leaves_in_several() {
        let points = tests::points(Temporality::Delta);
        let metric = points.add(counter("a"));
        let long = "x".repeat(16 * 1024);
        for n in 0..500 {
            let attributes = vec![KeyValue::new("n", n), KeyValue::new("long", long.clone())];
            metric.join(SeriesKey::new(attributes), &one());
        }
        let mut requests = points.requests();
        assert_eq!(requests.len(), 3);
        assert_eq!(values(&requests).len(), 500);
        for request in &requests {
            assert!(request.body.encoded_len() <= MAX_REQUEST_BYTES);
        }
        // One of them arrives: the other two are pushed again.
        let arrived = requests.remove(1);
        let count = arrived.deltas.len();
        arrived.settled();
        let again = points.requests();
        assert_eq!(values(&again).len(), 500 - count);
    }
}
