//! Hands what the SDK's periodic reader has read to the signal's output.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::guest_points::GuestPoints;
use super::output::{Output, OutputError};

/// Exports metrics from the reader's own thread.
#[derive(Debug)]
pub(crate) struct MetricExporter {
    pub(crate) output: Arc<Output>,
    /// What guests have aggregated themselves goes the same way.
    pub(crate) guest_points: Arc<GuestPoints>,
    pub(crate) temporality: Temporality,
    pub(crate) runtime: Handle,
    /// Is cancelled when the runtime ends: its sockets and timers wake nobody
    /// from then on.
    pub(crate) ended: CancellationToken,
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let export = async {
            let request = ExportMetricsServiceRequest::from(metrics);
            let mut outcome = self.output.send(request).await;
            for mut request in self.guest_points.requests() {
                // What was refused for good says nothing of the next one.
                if let Err(OutputError::Unavailable(_)) = outcome {
                    break;
                }
                match self.output.send(request.take_body()).await {
                    Ok(()) => request.arrived(),
                    Err(error) => outcome = Err(error),
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

    // Nothing is kept here.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}

/// Polls a future with a runtime at hand, on whatever thread that happens.
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
