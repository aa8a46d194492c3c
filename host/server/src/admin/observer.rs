//! Feeds the viewer's store beside the export of the same telemetry.

use std::sync::Arc;

use fanlight_telemetry::{ExportLogsServiceRequest, TelemetryObserver};
use fanlight_viewer::Store;

/// Feeds a store.
pub struct StoreObserver(pub Arc<Store>);

impl TelemetryObserver for StoreObserver {
    fn spans(&self, request: &[u8]) {
        self.0.add_traces(request);
    }

    fn log_records(&self, request: &ExportLogsServiceRequest) {
        self.0.add_logs(request);
    }
}
