//! `fanlight:telemetry/logs`: log records with the ids of the current span.

use std::collections::HashSet;
use std::time::SystemTime;

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::SpanContext;
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use parking_lot::Mutex;
use wasmtime::Result;

use super::GuestTelemetryView;
use crate::guest_api::attributes::{any_value, cut, time, value};
use crate::guest_api::bindings::fanlight::telemetry::logs as wit;
use crate::guest_api::scope;
use fanlight_telemetry::sizes;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};

/// The most names of events that become `event_name`, and texts of severities;
/// the SDK wants them to live for ever, so what is kept has to be few. Later
/// names become an attribute.
const MAX_EVENT_NAMES: usize = 1_000;
/// The longest of them, in bytes.
const MAX_EVENT_NAME: usize = 256;

/// The way of guests' log records to the logger.
pub(crate) struct GuestLogs {
    loggers: SdkLoggerProvider,
    event_names: Mutex<HashSet<&'static str>>,
}

/// A log record before the SDK's own form.
pub(crate) struct Record {
    pub(crate) severity: Severity,
    pub(crate) body: Value,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) event_name: Option<String>,
    pub(crate) time: SystemTime,
    pub(crate) scope: InstrumentationScope,
}

impl GuestLogs {
    pub(crate) fn new(loggers: SdkLoggerProvider) -> Self {
        Self {
            loggers,
            event_names: Mutex::default(),
        }
    }

    /// A logger of this library.
    pub(crate) fn logger(&self, scope: InstrumentationScope) -> SdkLogger {
        self.loggers.logger_with_scope(scope)
    }

    /// Hands a record to the export queue.
    pub(crate) fn emit(&self, record: Record, context: &SpanContext) {
        let logger = self.logger(record.scope);
        let mut log = logger.create_log_record();
        log.set_timestamp(record.time);
        log.set_observed_timestamp(SystemTime::now());
        log.set_severity_number(record.severity);
        log.set_severity_text(record.severity.name());
        log.set_body(any_value(record.body));
        log.set_trace_context(
            context.trace_id(),
            context.span_id(),
            Some(context.trace_flags()),
        );
        for attribute in record.attributes {
            log.add_attribute(attribute.key, any_value(attribute.value));
        }
        if let Some(name) = record.event_name {
            self.set_event_name(&mut log, name);
        }
        logger.emit(log);
    }

    /// Names the event that a record stands for, unless the name is empty.
    pub(crate) fn set_event_name(&self, log: &mut SdkLogRecord, name: String) {
        if name.is_empty() {
            return;
        }
        match self.interned(&name) {
            Some(interned) => log.set_event_name(interned),
            None => log.add_attribute("event.name", name),
        }
    }

    /// The same text for ever; none where too many are kept already.
    pub(crate) fn interned(&self, name: &str) -> Option<&'static str> {
        let mut names = self.event_names.lock();
        if let Some(known) = names.get(name) {
            return Some(known);
        }
        if names.len() >= MAX_EVENT_NAMES || name.len() > MAX_EVENT_NAME {
            return None;
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(kept);
        Some(kept)
    }
}

impl wit::Host for GuestTelemetryView<'_> {
    fn emit(&mut self, record: wit::LogRecord) -> Result<()> {
        let telemetry = &*self.telemetry;
        let signals = &telemetry.signals;
        // The limits of attributes are not for bodies.
        let body = value(record.body, AttributeLimits::default().value_length);
        let scope = scope(record.scope);
        let event_name = record.event_name.map(|name| cut(name, MAX_TEXT_BYTES));
        let bytes = size_of::<SdkLogRecord>()
            + sizes::value(&body)
            + sizes::scope(&scope)
            + event_name.as_ref().map_or(0, String::len);
        if !telemetry.stdio.take_from_budget(bytes) {
            return Ok(());
        }
        let now = || telemetry.server.clock().now();
        let (attributes, _) = telemetry.converted_within(record.attributes, signals.log_limits);
        let record = Record {
            severity: severity(record.severity),
            body,
            attributes,
            event_name,
            time: record.time.map_or_else(now, time),
            scope,
        };
        signals.logs.emit(record, &telemetry.current.context());
        Ok(())
    }
}

fn severity(severity: wit::Severity) -> Severity {
    use wit::Severity as Wit;
    match severity {
        Wit::Trace => Severity::Trace,
        Wit::Trace2 => Severity::Trace2,
        Wit::Trace3 => Severity::Trace3,
        Wit::Trace4 => Severity::Trace4,
        Wit::Debug => Severity::Debug,
        Wit::Debug2 => Severity::Debug2,
        Wit::Debug3 => Severity::Debug3,
        Wit::Debug4 => Severity::Debug4,
        Wit::Info => Severity::Info,
        Wit::Info2 => Severity::Info2,
        Wit::Info3 => Severity::Info3,
        Wit::Info4 => Severity::Info4,
        Wit::Warn => Severity::Warn,
        Wit::Warn2 => Severity::Warn2,
        Wit::Warn3 => Severity::Warn3,
        Wit::Warn4 => Severity::Warn4,
        Wit::Error => Severity::Error,
        Wit::Error2 => Severity::Error2,
        Wit::Error3 => Severity::Error3,
        Wit::Error4 => Severity::Error4,
        Wit::Fatal => Severity::Fatal,
        Wit::Fatal2 => Severity::Fatal2,
        Wit::Fatal3 => Severity::Fatal3,
        Wit::Fatal4 => Severity::Fatal4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_are_kept_once_and_not_without_end() {
        let logs = GuestLogs::new(SdkLoggerProvider::builder().build());
        let first = logs.interned("user.login").unwrap();
        assert!(std::ptr::eq(first, logs.interned("user.login").unwrap()));
        for n in 1..MAX_EVENT_NAMES {
            assert!(logs.interned(&format!("event.{n}")).is_some());
        }
        assert!(logs.interned("one.too.many").is_none());
        assert!(logs.interned("user.login").is_some());
        assert!(logs.interned(&"x".repeat(MAX_EVENT_NAME + 1)).is_none());
    }
}
