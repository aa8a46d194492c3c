//! `wasi:otel/logs`: log records that a guest has made by itself.

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::trace::TraceFlags;
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_sdk::logs::SdkLogRecord;
use wasmtime::Result;

use crate::guest_api::attributes::{cut, time};
use crate::guest_api::context::{GuestTelemetry, GuestTelemetryView};
use crate::guest_api::wasi_otel::bindings::wasi::otel::logs as wit;
use crate::guest_api::wasi_otel::bindings::wasi::otel::tracing::TraceFlags as WitFlags;
use crate::guest_api::wasi_otel::scope::scope;
use crate::guest_api::wasi_otel::tracing::{span_id, trace_id};
use crate::guest_api::wasi_otel::values;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};
use fanlight_telemetry::{GUEST_SCOPE, sizes};

/// By OpenTelemetry's number, less one.
const SEVERITIES: [Severity; 24] = [
    Severity::Trace,
    Severity::Trace2,
    Severity::Trace3,
    Severity::Trace4,
    Severity::Debug,
    Severity::Debug2,
    Severity::Debug3,
    Severity::Debug4,
    Severity::Info,
    Severity::Info2,
    Severity::Info3,
    Severity::Info4,
    Severity::Warn,
    Severity::Warn2,
    Severity::Warn3,
    Severity::Warn4,
    Severity::Error,
    Severity::Error2,
    Severity::Error3,
    Severity::Error4,
    Severity::Fatal,
    Severity::Fatal2,
    Severity::Fatal3,
    Severity::Fatal4,
];

impl wit::Host for GuestTelemetryView<'_> {
    fn on_emit(&mut self, data: wit::LogRecord) -> Result<()> {
        self.telemetry.emit_made_record(data);
        Ok(())
    }
}

impl GuestTelemetry {
    fn emit_made_record(&self, data: wit::LogRecord) {
        // The limits of attributes are not for bodies.
        let length = AttributeLimits::default().value_length;
        let body = data.body.map(|text| values::any_value(text, length));
        let scope = data.instrumentation_scope.map_or_else(
            || InstrumentationScope::builder(GUEST_SCOPE).build(),
            |named| scope(named, self.signals.dropped()),
        );
        let event_name = data.event_name.map(|name| cut(name, MAX_TEXT_BYTES));
        let severity_text = data.severity_text.map(|text| cut(text, MAX_TEXT_BYTES));
        let bytes = size_of::<SdkLogRecord>()
            + body.as_ref().map_or(0, sizes::any_value)
            + sizes::scope(&scope)
            + event_name.as_ref().map_or(0, String::len)
            + severity_text.as_ref().map_or(0, String::len);
        if !self.stdio.take_from_budget(bytes) {
            return;
        }
        let logs = &self.signals.logs;
        let logger = logs.logger(scope);
        let mut log = logger.create_log_record();
        if let Some(timestamp) = data.timestamp {
            log.set_timestamp(time(timestamp));
        }
        log.set_observed_timestamp(
            data.observed_timestamp
                .map_or_else(|| self.request.clock().now(), time),
        );
        let severity = data
            .severity_number
            .and_then(|number| usize::from(number).checked_sub(1))
            .and_then(|at| SEVERITIES.get(at).copied());
        if let Some(severity) = severity {
            log.set_severity_number(severity);
        }
        let text = severity_text
            .as_deref()
            .filter(|text| !text.is_empty())
            .and_then(|text| logs.interned(text));
        if let Some(text) = text.or(severity.map(|severity| severity.name())) {
            log.set_severity_text(text);
        }
        if let Some(body) = body {
            log.set_body(body);
        }
        for (key, value) in self.record_attributes(data.attributes.unwrap_or_default()) {
            log.add_attribute(key, value);
        }
        if let Some(name) = event_name {
            logs.set_event_name(&mut log, name);
        }
        let ids = data.trace_id.zip(data.span_id);
        match ids.and_then(|(trace, span)| trace_id(&trace).zip(span_id(&span))) {
            Some((trace, span)) => {
                let flags = data.trace_flags.map(|flags| {
                    if flags.contains(WitFlags::SAMPLED) {
                        TraceFlags::SAMPLED
                    } else {
                        TraceFlags::NOT_SAMPLED
                    }
                });
                log.set_trace_context(trace, span, flags);
            }
            None => {
                let current = self.current.context();
                let flags = Some(current.trace_flags());
                log.set_trace_context(current.trace_id(), current.span_id(), flags);
            }
        }
        logger.emit(log);
    }

    /// The attributes that are kept; the others are counted.
    fn record_attributes(&self, list: Vec<wit::KeyValue>) -> Vec<(Key, AnyValue)> {
        let (mut attributes, mut over) = values::any_attributes(list, self.signals.log_limits);
        attributes.retain(|(key, value)| {
            let fits = self.room().take(sizes::any_attribute(key, value));
            over += u32::from(!fits);
            fits
        });
        self.signals.dropped().attributes(u64::from(over));
        attributes
    }
}
