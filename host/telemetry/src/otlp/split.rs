//! Splits a request that is too large for a collector into several.
//!
//! Every item is in exactly one of them, below its own resource, library and metric.
//! The size on the wire counts, not an estimate.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, Summary,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

/// The most that one request takes on the wire, in bytes of protobuf.
/// Collectors refuse messages over 4 MiB unless told otherwise (gRPC's default),
/// and refuse them for good.
pub(crate) const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// Splits a request into some of [`MAX_REQUEST_BYTES`] at most each. An item
/// that is larger than that goes alone: it takes no other with it.
pub(crate) fn split<R: Split + Message>(mut request: R) -> Vec<R> {
    let count = request.count();
    if count < 2 || request.encoded_len() <= MAX_REQUEST_BYTES {
        return vec![request];
    }
    let rest = request.split_off(count / 2);
    let mut requests = split(request);
    requests.extend(split(rest));
    requests
}

/// Something with items below it.
pub(crate) trait Split: Sized {
    /// Its spans, points or log records.
    fn count(&self) -> usize;

    /// Keeps the first `keep` items and returns the others, below a copy of their
    /// common resource, library and metric.
    fn split_off(&mut self, keep: usize) -> Self;
}

impl<T: Split> Split for Vec<T> {
    fn count(&self) -> usize {
        self.iter().map(Split::count).sum()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        let mut left = keep;
        let kept = self.iter().take_while(|part| match part.count() {
            count if count <= left => {
                left -= count;
                true
            }
            _ => false,
        });
        let kept = kept.count();
        let mut rest = Vec::split_off(self, kept);
        if left > 0
            && let Some(first) = rest.first_mut()
        {
            let others = first.split_off(left);
            self.push(std::mem::replace(first, others));
        }
        rest
    }
}

impl Split for ExportTraceServiceRequest {
    fn count(&self) -> usize {
        self.resource_spans.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource_spans: Split::split_off(&mut self.resource_spans, keep),
        }
    }
}

impl Split for ResourceSpans {
    fn count(&self) -> usize {
        self.scope_spans.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource: self.resource.clone(),
            scope_spans: Split::split_off(&mut self.scope_spans, keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for ScopeSpans {
    fn count(&self) -> usize {
        self.spans.len()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            scope: self.scope.clone(),
            spans: self.spans.split_off(keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for ExportLogsServiceRequest {
    fn count(&self) -> usize {
        self.resource_logs.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource_logs: Split::split_off(&mut self.resource_logs, keep),
        }
    }
}

impl Split for ResourceLogs {
    fn count(&self) -> usize {
        self.scope_logs.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource: self.resource.clone(),
            scope_logs: Split::split_off(&mut self.scope_logs, keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for ScopeLogs {
    fn count(&self) -> usize {
        self.log_records.len()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            scope: self.scope.clone(),
            log_records: self.log_records.split_off(keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for ExportMetricsServiceRequest {
    fn count(&self) -> usize {
        self.resource_metrics.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource_metrics: Split::split_off(&mut self.resource_metrics, keep),
        }
    }
}

impl Split for ResourceMetrics {
    fn count(&self) -> usize {
        self.scope_metrics.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            resource: self.resource.clone(),
            scope_metrics: Split::split_off(&mut self.scope_metrics, keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for ScopeMetrics {
    fn count(&self) -> usize {
        self.metrics.count()
    }

    fn split_off(&mut self, keep: usize) -> Self {
        Self {
            scope: self.scope.clone(),
            metrics: Split::split_off(&mut self.metrics, keep),
            schema_url: self.schema_url.clone(),
        }
    }
}

impl Split for Metric {
    fn count(&self) -> usize {
        match &self.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
            Some(Data::Summary(summary)) => summary.data_points.len(),
            None => 0,
        }
    }

    fn split_off(&mut self, keep: usize) -> Self {
        let data = self.data.as_mut().map(|data| match data {
            Data::Gauge(gauge) => Data::Gauge(Gauge {
                data_points: gauge.data_points.split_off(keep),
            }),
            Data::Sum(sum) => Data::Sum(Sum {
                data_points: sum.data_points.split_off(keep),
                ..*sum
            }),
            Data::Histogram(histogram) => Data::Histogram(Histogram {
                data_points: histogram.data_points.split_off(keep),
                ..*histogram
            }),
            Data::ExponentialHistogram(histogram) => {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: histogram.data_points.split_off(keep),
                    ..*histogram
                })
            }
            Data::Summary(summary) => Data::Summary(Summary {
                data_points: summary.data_points.split_off(keep),
            }),
        });
        Self {
            name: self.name.clone(),
            description: self.description.clone(),
            unit: self.unit.clone(),
            metadata: self.metadata.clone(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;

    use super::*;

    const KIB: usize = 1024;

    fn library(name: &str, spans: Vec<Span>) -> ScopeSpans {
        ScopeSpans {
            scope: Some(InstrumentationScope {
                name: name.into(),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: String::new(),
        }
    }

    fn of_size(bytes: usize, name: &str) -> Span {
        Span {
            name: name.into(),
            trace_state: "x".repeat(bytes),
            ..Span::default()
        }
    }

    /// Each span's name below the name of its library, in order.
    fn told(requests: &[ExportTraceServiceRequest]) -> Vec<String> {
        let resources = requests.iter().flat_map(|it| &it.resource_spans);
        let scopes = resources.flat_map(|it| {
            assert_eq!(it.schema_url, "of the resource");
            assert!(it.resource.is_some());
            &it.scope_spans
        });
        let names = scopes.flat_map(|scope| {
            let library = &scope.scope.as_ref().unwrap().name;
            let spans = scope.spans.iter();
            spans.map(move |span| format!("{library}/{}", span.name))
        });
        names.collect()
    }

    fn request(scope_spans: Vec<ScopeSpans>) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource::default()),
                scope_spans,
                schema_url: "of the resource".into(),
            }],
        }
    }

    #[test]
    fn each_piece_is_small_enough_and_all_is_below_what_it_was_below() {
        let spans = |from: usize, to: usize| {
            let spans = from..to;
            spans
                .map(|n| of_size(100 * KIB, &n.to_string()))
                .collect::<Vec<_>>()
        };
        let whole = request(vec![
            library("a", spans(0, 37)),
            library("b", spans(37, 90)),
        ]);
        let names = told(std::slice::from_ref(&whole));
        let pieces = split(whole);
        assert!(pieces.len() >= 3);
        for piece in &pieces {
            assert!(piece.encoded_len() <= MAX_REQUEST_BYTES);
        }
        assert_eq!(told(&pieces), names);
    }

    #[test]
    fn an_item_that_is_too_large_takes_no_other_with_it() {
        let mut spans: Vec<_> = (0..9).map(|n| of_size(KIB, &n.to_string())).collect();
        spans.insert(4, of_size(5 * KIB * KIB, "large"));
        let pieces = split(request(vec![library("a", spans)]));
        let (large, others): (Vec<_>, Vec<_>) = pieces
            .iter()
            .partition(|piece| piece.encoded_len() > MAX_REQUEST_BYTES);
        assert_eq!(large.len(), 1);
        assert_eq!(large[0].count(), 1);
        assert_eq!(others.iter().map(|piece| piece.count()).sum::<usize>(), 9);
    }

    #[test]
    fn the_points_of_one_metric_are_split_and_stay_what_they_are() {
        let points = (0..100).map(|n| NumberDataPoint {
            time_unix_nano: n,
            exemplars: vec![opentelemetry_proto::tonic::metrics::v1::Exemplar {
                span_id: vec![0; 64 * KIB],
                ..Default::default()
            }],
            ..NumberDataPoint::default()
        });
        let sum = Sum {
            data_points: points.collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        };
        let metric = Metric {
            name: "m".into(),
            unit: "By".into(),
            data: Some(Data::Sum(sum)),
            ..Metric::default()
        };
        let whole = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![metric],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let mut times = Vec::new();
        for piece in split(whole) {
            assert!(piece.encoded_len() <= MAX_REQUEST_BYTES);
            let metric = &piece.resource_metrics[0].scope_metrics[0].metrics[0];
            assert_eq!((&*metric.name, &*metric.unit), ("m", "By"));
            let Some(Data::Sum(sum)) = &metric.data else {
                unreachable!("it was a sum")
            };
            assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
            times.extend(sum.data_points.iter().map(|point| point.time_unix_nano));
        }
        assert_eq!(times, (0..100).collect::<Vec<_>>());
    }
}
