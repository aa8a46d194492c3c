//! Sends the metrics that the SDK's periodic reader has read to the signal's pipeline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::export::pipeline::{ExportPipeline, PipelineError};
use crate::metrics::guest::GuestMetricStore;

/// Exports metrics from the reader's own thread.
#[derive(Debug)]
pub(crate) struct MetricExporter {
    pub(crate) pipeline: Arc<ExportPipeline>,
    /// The metrics that guests aggregate themselves, which the same pipeline sends.
    pub(crate) guest_metrics: Arc<GuestMetricStore>,
    pub(crate) temporality: Temporality,
    pub(crate) runtime: Handle,
    /// Is cancelled when the runtime ends: its sockets and timers wake no task
    /// from then on.
    pub(crate) ended: CancellationToken,
    pub(crate) last: Arc<LastExport>,
}

/// The export of metrics at the end.
#[derive(Debug, Default)]
pub(crate) struct LastExport {
    /// Whether the next export is the last one: no later export has its values.
    pub(crate) is_next: AtomicBool,
    /// Is cancelled when it has ended. The SDK's reader waits for 5 s alone.
    pub(crate) ended: CancellationToken,
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let export = async {
            let request = ExportMetricsServiceRequest::from(metrics);
            let is_last = self.last.is_next.load(Ordering::Relaxed);
            let mut outcome = match is_last {
                true => self.pipeline.send_last(request).await,
                false => self.pipeline.send(request).await,
            };
            for mut request in self.guest_metrics.requests() {
                let body = request.take_body();
                // The backend may take this request though it refused the one before
                // for good.
                if let Err(PipelineError::Unavailable(_)) = outcome {
                    match is_last {
                        true => self.pipeline.write_and_count_lost(&body).await,
                        false => self.pipeline.write_to_console(&body).await,
                    }
                    continue;
                }
                let sent = match is_last {
                    true => self.pipeline.send_last(body).await,
                    false => self.pipeline.send_kept(body).await,
                };
                // OTLP forbids another attempt for a request that the backend refused
                // for good.
                if let Ok(()) | Err(PipelineError::Refused(_)) = sent {
                    request.settled();
                }
                if sent.is_err() {
                    outcome = sent;
                }
            }
            outcome.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
        };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(OTelSdkError::AlreadyShutdown),
            result = OnRuntime::new(&self.runtime, export) => result,
        }
    }

    // The exporter keeps no metrics.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.last.ended.cancel();
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}

/// Polls a future within a runtime's context, on any thread.
///
/// The SDK's reader blocks on export on a thread of its own, where timers and
/// sockets would find no runtime.
struct OnRuntime<'a, F> {
    runtime: &'a Handle,
    future: Pin<Box<F>>,
}

impl<'a, F> OnRuntime<'a, F> {
    fn new(runtime: &'a Handle, future: F) -> Self {
        Self {
            runtime,
            future: Box::pin(future),
        }
    }
}

impl<F: Future> Future for OnRuntime<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::InstrumentationScope;

    use super::*;
    use crate::metrics::guest::{
        MetricDescription, MetricKind, Number, NumberType, Point, SeriesKey, Shape,
    };

    #[tokio::test]
    async fn standard_output_has_what_guests_aggregated_where_the_backend_is_away() {
        let (pipeline, written) = ExportPipeline::to_memory_alone(Arc::default());
        let resource = opentelemetry_sdk::Resource::builder_empty().build();
        let guest_metrics = GuestMetricStore::new(Temporality::Cumulative, &resource);
        let metric = guest_metrics.add(MetricDescription {
            name: "orders".to_owned(),
            description: String::new(),
            unit: String::new(),
            scope: InstrumentationScope::builder("shop").build(),
            kind: MetricKind {
                shape: Shape::Counter,
                number: NumberType::U64,
            },
            bounds: Vec::new(),
        });
        metric.join(SeriesKey::new(Vec::new()), &Point::Sum(Number::I64(3)));
        let exporter = MetricExporter {
            pipeline: Arc::new(pipeline),
            guest_metrics: Arc::new(guest_metrics),
            temporality: Temporality::Cumulative,
            runtime: Handle::current(),
            ended: CancellationToken::new(),
            last: Arc::default(),
        };
        let exported = exporter.export(&ResourceMetrics::default()).await;
        assert!(exported.is_err(), "nobody was there");
        let written = String::from_utf8(written.lock().await.clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        let metric = &line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        let point = &metric["sum"]["dataPoints"][0];
        assert_eq!(
            (&metric["name"], &point["asInt"]),
            (&"orders".into(), &"3".into())
        );
    }
}
