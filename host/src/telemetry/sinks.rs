//! What the export queues hold, and the exporters they empty into.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::queue::{Delivery, ExportQueue, Item, Sink};

impl Item for SpanData {
    fn estimated_bytes(&self) -> usize {
        let events: usize = self
            .events
            .iter()
            .map(|event| 96 + event.name.len() + attributes_bytes(&event.attributes))
            .sum();
        let links: usize = self
            .links
            .iter()
            .map(|link| 96 + attributes_bytes(&link.attributes))
            .sum();
        size_of::<Self>() + self.name.len() + attributes_bytes(&self.attributes) + events + links
    }
}

fn attributes_bytes(attributes: &[KeyValue]) -> usize {
    attributes
        .iter()
        .map(|attribute| 64 + attribute.key.as_str().len() + value_bytes(&attribute.value))
        .sum()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| 24 + text.as_str().len()).sum()
        }
        Value::Array(Array::Bool(list)) => list.len(),
        Value::Array(Array::I64(list)) => list.len() * 8,
        Value::Array(Array::F64(list)) => list.len() * 8,
        _ => 8,
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
        let attributes: usize = self
            .record
            .attributes_iter()
            .map(|(key, value)| 64 + key.as_str().len() + any_value_bytes(value))
            .sum();
        size_of::<Self>() + attributes + self.record.body().map_or(0, any_value_bytes)
    }
}

fn any_value_bytes(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(list) => list.iter().map(|value| 24 + any_value_bytes(value)).sum(),
        AnyValue::Map(map) => map
            .iter()
            .map(|(key, value)| 64 + key.as_str().len() + any_value_bytes(value))
            .sum(),
        _ => 8,
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
