//! What the queue of log records holds, and the requests that it becomes.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogProcessor, SdkLogRecord};

use crate::export::destination::Destination;
use crate::logs::queue::{BatchExporter, ExportQueue, Item};
use crate::sizes;

/// A log record and the library that speaks.
#[derive(Debug)]
pub(crate) struct ScopedLogRecord {
    record: SdkLogRecord,
    scope: InstrumentationScope,
}

impl Item for ScopedLogRecord {
    type Exporter = LogExporter;

    fn estimated_bytes(&self) -> usize {
        size_of::<Self>() + sizes::log_record(&self.record) + sizes::scope(&self.scope)
    }
}

/// Sends log records.
pub(crate) struct LogExporter {
    destination: Destination,
    resource: ResourceAttributesWithSchema,
}

impl LogExporter {
    pub(crate) fn new(destination: Destination, resource: &Resource) -> Self {
        Self {
            destination,
            resource: resource.into(),
        }
    }

    fn request(&self, batch: &[ScopedLogRecord]) -> ExportLogsServiceRequest {
        let records: Vec<_> = batch
            .iter()
            .map(|item| (&item.record, &item.scope))
            .collect();
        let batch = LogBatch::new(&records);
        ExportLogsServiceRequest {
            resource_logs: group_logs_by_resource_and_scope(&batch, &self.resource),
        }
    }
}

impl BatchExporter<ScopedLogRecord> for LogExporter {
    async fn export(&self, batch: Vec<ScopedLogRecord>) {
        let request = self.request(&batch);
        drop(batch);
        self.destination.send_log_records(request).await;
    }
}

/// Hands the logger's records to the queue.
#[derive(Debug)]
pub(crate) struct LogQueueProcessor(pub(crate) Arc<ExportQueue<ScopedLogRecord>>);

impl LogProcessor for LogQueueProcessor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.0.push(ScopedLogRecord {
            record: record.clone(),
            scope: scope.clone(),
        });
    }

    // The queue's owner flushes and ends it.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _resource: &Resource) {}
}
