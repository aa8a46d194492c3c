//! Where the batches of a queue go.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

use crate::export::pipeline::ExportPipeline;
use crate::observer::TelemetryObserver;
use crate::otlp::request::EncodedTraces;

/// Where the batches of a queue go.
pub(crate) enum Destination {
    /// To a backend or standard output.
    Export(Box<ExportPipeline>),
    /// To what sees them beside that.
    Observer(Arc<dyn TelemetryObserver>),
}

impl From<ExportPipeline> for Destination {
    fn from(pipeline: ExportPipeline) -> Self {
        Self::Export(Box::new(pipeline))
    }
}

impl Destination {
    /// Sends spans. A pipeline counts and logs a failure.
    pub(crate) async fn send_spans(&self, request: EncodedTraces) {
        match self {
            Self::Export(pipeline) => drop(pipeline.send_spans(request).await),
            Self::Observer(observer) => observer.spans(&request.message),
        }
    }

    /// Sends log records. A pipeline counts and logs a failure.
    pub(crate) async fn send_log_records(&self, request: ExportLogsServiceRequest) {
        match self {
            Self::Export(pipeline) => drop(pipeline.send(request).await),
            Self::Observer(observer) => observer.log_records(&request),
        }
    }
}
