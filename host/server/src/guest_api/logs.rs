//! `fanlight:telemetry/logs`: log records with the ids of the current span.

use opentelemetry::logs::Severity;
use opentelemetry_sdk::logs::SdkLogRecord;
use wasmtime::Result;

use crate::guest_api::attributes::{cut, time, value};
use crate::guest_api::bindings::fanlight::telemetry::logs as wit;
use crate::guest_api::context::GuestTelemetryView;
use crate::guest_api::log_records::Record;
use crate::guest_api::scope::scope;
use fanlight_telemetry::sizes;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};

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
        let now = || telemetry.request.clock().now();
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
