//! What the export queues hold, and the exporters they empty into.

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::queue::{Delivery, ExportQueue, Item, Sink};
use super::sizes;

impl Item for SpanData {
    fn estimated_bytes(&self) -> usize {
        sizes::span(self)
    }
}

/// Sends spans over OTLP.
pub(crate) struct SpanSink(pub(crate) SpanExporter);

impl Sink<SpanData> for SpanSink {
    async fn export(&self, batch: Vec<SpanData>) -> Result<Delivery, OTelSdkError> {
        self.0.export(batch).await.map(|()| Delivery::Sent)
    }
}

/// A log record and the library that speaks.
#[derive(Debug)]
pub(crate) struct ScopedLogRecord {
    record: SdkLogRecord,
    scope: InstrumentationScope,
}

impl Item for ScopedLogRecord {
    fn estimated_bytes(&self) -> usize {
        size_of::<Self>() + sizes::log_record(&self.record) + sizes::scope(&self.scope)
    }
}

/// Sends log records over OTLP, while the backend takes them.
pub(crate) struct LogSink {
    pub(crate) exporter: LogExporter,
    pub(crate) gate: Gate,
}

impl Sink<ScopedLogRecord> for LogSink {
    async fn export(&self, batch: Vec<ScopedLogRecord>) -> Result<Delivery, OTelSdkError> {
        if !self.gate.is_open().await {
            return Ok(Delivery::Paused);
        }
        let records: Vec<_> = batch
            .iter()
            .map(|item| (&item.record, &item.scope))
            .collect();
        let result = self.exporter.export(LogBatch::new(&records)).await;
        self.gate.note(&result);
        result.map(|()| Delivery::Sent)
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
