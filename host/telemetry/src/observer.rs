//! What sees spans and log records beside their export.

pub use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

/// Sees the spans and log records of a [`Telemetry`](crate::Telemetry) soon after their
/// end, whether or not they are exported: in queues of its own, so that neither it nor
/// the exporters wait for each other. Runs on the telemetry runtime and must not block.
pub trait TelemetryObserver: Send + Sync + 'static {
    /// Takes spans: an encoded `ExportTraceServiceRequest` of OTLP.
    fn spans(&self, request: &[u8]);

    /// Takes log records.
    fn log_records(&self, request: &ExportLogsServiceRequest);
}
