//! Log records of guests on their way to the export queue.

use std::collections::HashSet;
use std::time::SystemTime;

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::SpanContext;
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use parking_lot::Mutex;

use crate::guest_api::attributes::any_value;

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
