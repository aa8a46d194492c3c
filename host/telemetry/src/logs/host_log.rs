//! The host's own log as log records: a layer of the program's subscriber.
//!
//! It takes what Fanlight says and nothing of what carries it out: were the
//! exporters heard, each export would make the next one. The layer belongs to
//! the program, as its log does, and is there before telemetry and after it. Telemetry
//! gets the log only when the program connects the two.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::Key;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::logs::SdkLogger;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The most records that wait for telemetry to begin: a start says some ten.
const MAX_WAITING: usize = 256;

/// What the name of a field begins with that is for the record alone, and that
/// stderr leaves out.
pub const RECORD_ONLY: &str = "otel.";

/// The crates whose log lines become records: the program's, "fanlight", also has
/// [`RECORD_TARGET`].
const OWN_CRATES: [&str; 4] = [
    "fanlight",
    "fanlight_relink",
    "fanlight_server",
    "fanlight_telemetry",
];

/// The target of events for records alone, because stderr has them in another form
/// already.
pub const RECORD_TARGET: &str = "fanlight::record";

/// Takes the host's own log to the logger of the telemetry it is connected to.
#[derive(Clone, Debug, Default)]
pub struct HostLog {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    /// Telemetry has not begun.
    Waiting(Vec<Record>),
    Connected(SdkLogger),
    /// There is no telemetry, or no longer.
    Closed,
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl HostLog {
    /// Hands over the events until now, and from now on each event as it comes.
    /// Without a logger no event is kept.
    pub fn connect(&self, logger: Option<SdkLogger>) {
        let mut state = self.state.lock();
        let Some(logger) = logger else {
            *state = State::Closed;
            return;
        };
        if let State::Waiting(records) = &mut *state {
            for record in std::mem::take(records) {
                record.emit(&logger);
            }
        }
        *state = State::Connected(logger);
    }

    /// Keeps events from now on, because the exporters are gone.
    pub fn close(&self) {
        *self.state.lock() = State::Closed;
    }

    fn take(&self, record: Record) {
        let logger = match &mut *self.state.lock() {
            State::Connected(logger) => logger.clone(),
            State::Waiting(records) => {
                // What was said first tells most of how it began.
                if records.len() < MAX_WAITING {
                    records.push(record);
                }
                return;
            }
            State::Closed => return,
        };
        // Outside of the lock: the logger may have something to say as well.
        record.emit(&logger);
    }
}

impl<S: Subscriber> Layer<S> for HostLog {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if !is_the_hosts(metadata.target()) {
            return;
        }
        let mut record = Record::new(metadata);
        event.record(&mut record);
        if !record.is_about_logs(metadata) {
            self.take(record);
        }
    }
}

/// Whether Fanlight's own code speaks. What a guest prints has a target of its
/// own, and is a record already.
fn is_the_hosts(target: &str) -> bool {
    let (package, _) = target.split_once("::").unwrap_or((target, ""));
    OWN_CRATES.contains(&package)
}

/// An event on its way to a log record.
#[derive(Debug)]
struct Record {
    time: SystemTime,
    severity: Severity,
    body: String,
    attributes: Vec<(Key, AnyValue)>,
    /// The request or swap that it is about, in 32 and 16 hexadecimal digits.
    trace_id: Option<String>,
    span_id: Option<String>,
    signal: Option<String>,
}

impl Record {
    fn new(metadata: &Metadata<'_>) -> Self {
        Self {
            time: SystemTime::now(),
            severity: severity(*metadata.level()),
            body: String::new(),
            attributes: Vec::new(),
            trace_id: None,
            span_id: None,
            signal: None,
        }
    }

    /// Whether it is about the export of log records: as a record it would be exported,
    /// which causes another one, and so on.
    fn is_about_logs(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("fanlight_telemetry")
            && self.signal.as_deref() == Some("logs")
    }

    fn emit(self, logger: &SdkLogger) {
        let mut log = logger.create_log_record();
        log.set_timestamp(self.time);
        log.set_observed_timestamp(self.time);
        log.set_severity_number(self.severity);
        log.set_severity_text(self.severity.name());
        log.set_body(self.body.into());
        match (ids(&self.trace_id, &self.span_id), self.trace_id) {
            (Some((trace_id, span_id)), _) => log.set_trace_context(trace_id, span_id, None),
            (None, Some(trace_id)) => log.add_attribute("trace_id", trace_id),
            (None, None) => {}
        }
        for (key, value) in self.attributes {
            log.add_attribute(key, value);
        }
        logger.emit(log);
    }

    fn put(&mut self, field: &Field, value: AnyValue) {
        let name = field.name();
        let name = name.strip_prefix(RECORD_ONLY).unwrap_or(name);
        self.attributes.push((Key::from_static_str(name), value));
    }

    fn put_text(&mut self, field: &Field, text: String) {
        let name = field.name();
        match name.strip_prefix(RECORD_ONLY).unwrap_or(name) {
            "message" => self.body = text,
            "trace_id" => self.trace_id = Some(text),
            "span_id" => self.span_id = Some(text),
            name => {
                if name == "signal" {
                    self.signal = Some(text.clone());
                }
                self.put(field, text.into());
            }
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.put(field, value.into()),
            Err(_) => self.put(field, value.to_string().into()),
        }
    }
}

fn ids(trace_id: &Option<String>, span_id: &Option<String>) -> Option<(TraceId, SpanId)> {
    let trace_id = TraceId::from_hex(trace_id.as_deref()?).ok()?;
    let span_id = SpanId::from_hex(span_id.as_deref()?).ok()?;
    Some((trace_id, span_id))
}

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The records that the log keeps while telemetry has not begun.
    fn said(say: impl FnOnce()) -> Vec<Record> {
        let log = HostLog::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::with_default(subscriber, say);
        let State::Waiting(records) = std::mem::take(&mut *log.state.lock()) else {
            unreachable!("nobody connected it")
        };
        records
    }

    #[test]
    fn a_record_has_the_events_severity_words_fields_and_ids() {
        let records = said(|| {
            tracing::warn!(
                trace_id = %"0af7651916cd43dd8448eb211c80319c",
                otel.span_id = %"b7ad6b7169203331",
                error.type = "trap",
                count = 7_u64,
                huge = u64::MAX,
                "it {}",
                "broke"
            );
        });
        let [record] = &records[..] else {
            unreachable!("{records:?}")
        };
        assert_eq!(record.severity, Severity::Warn);
        assert_eq!(record.body, "it broke");
        let (trace_id, span_id) = ids(&record.trace_id, &record.span_id).unwrap();
        assert_eq!(trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span_id.to_string(), "b7ad6b7169203331");
        let attributes = [
            ("error.type", AnyValue::from("trap")),
            ("count", AnyValue::from(7_i64)),
            ("huge", AnyValue::from("18446744073709551615")),
        ];
        let expected = attributes.map(|(key, value)| (Key::from_static_str(key), value));
        assert_eq!(record.attributes, expected);
    }

    #[test]
    fn only_the_hosts_own_events_are_taken() {
        let records = said(|| {
            for_each_target();
            tracing::info!("its own");
        });
        let bodies: Vec<_> = records.iter().map(|record| record.body.as_str()).collect();
        assert_eq!(bodies, ["its own"]);
    }

    fn for_each_target() {
        tracing::info!(target: "guest", "a line that it printed");
        tracing::error!(target: "opentelemetry_sdk", "export failed");
        tracing::warn!(target: "h2::codec", "a frame");
        tracing::warn!(target: "fanlight_guest", "another crate");
    }

    #[test]
    fn how_the_export_of_log_records_goes_is_no_log_record() {
        let records = said(|| {
            for signal in ["logs", "traces"] {
                tracing::warn!(signal, "export failed");
                tracing::debug!(signal, "export failed");
                tracing::info!(signal, "export works again");
            }
        });
        let signals = records.iter().filter_map(|it| it.signal.as_deref());
        assert_eq!(signals.collect::<Vec<_>>(), ["traces"; 3]);
    }

    #[test]
    fn what_waits_for_telemetry_is_bounded() {
        let records = said(|| (0..2 * MAX_WAITING).for_each(|n| tracing::info!("{n}")));
        assert_eq!(records.len(), MAX_WAITING);
        assert_eq!(records[0].body, "0");
    }
}
