//! The host's own log: on stderr, and as log records once there is telemetry.

mod json;

use std::fmt;
use std::sync::OnceLock;

use clap::ValueEnum;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{DefaultVisitor, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::stderr::Stderr;
use crate::terminal::Styles;
use fanlight_telemetry::{HostLog, RECORD_ONLY, RECORD_TARGET};

pub(crate) use json::line as json;

/// The form of the lines on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// An object of JSON a line, for programs.
    Json,
}

/// The form that the process began with.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// A line of the program's own that is no event of the log, such as an error at its end.
pub(crate) fn line(level: Level, message: &str) -> String {
    match FORMAT.get() {
        Some(LogFormat::Json) => json(level, "fanlight", message, &serde_json::Value::Null),
        Some(LogFormat::Text) | None => message.to_owned(),
    }
}

/// Starts the host's own log. The exporters and their transports write to
/// stderr only when `FANLIGHT_LOG` names them, and never to records: the telemetry
/// itself reports their failures.
///
/// `OTEL_LOG_LEVEL` is the level where `FANLIGHT_LOG` sets none.
pub(crate) fn init(format: LogFormat) -> HostLog {
    // Tests run several commands in one process; the first log serves them all.
    if FORMAT.set(format).is_ok() && format == LogFormat::Json {
        std::panic::set_hook(Box::new(json::panicked));
    }
    let named = variable("OTEL_LOG_LEVEL");
    let level = named.as_deref().map(level);
    let base = level.flatten().unwrap_or("info");
    let quiet = format!(
        "{base},opentelemetry=off,opentelemetry_sdk=off,hyper=warn,h2=warn,tonic=warn,\
         reqwest=warn,wasmtime_wasi_http=error"
    );
    let directives = match variable("FANLIGHT_LOG") {
        Some(asked) => format!("{quiet},{asked}"),
        None => quiet,
    };
    let filter = EnvFilter::builder().parse_lossy(directives);
    let records = HostLog::default();
    let _ = subscriber(filter, records.clone(), format).try_init();
    if let (Some(named), Some(None)) = (named, level) {
        tracing::warn!(
            "OTEL_LOG_LEVEL={named}: expected none, error, warn, info, debug or trace; info is used"
        );
    }
    records
}

/// The log's subscriber. The layer with a filter of its own comes last: before
/// another it would hide the most verbose level that the first filter lets
/// through, and the filter would check every span of the engine, twice a call.
fn subscriber(
    filter: EnvFilter,
    records: HostLog,
    format: LogFormat,
) -> impl SubscriberInitExt + Subscriber {
    let lines = match format {
        LogFormat::Text => Lines::Text(Format::default().with_target(false)),
        LogFormat::Json => Lines::Json,
    };
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(Stderr)
        .with_ansi(Styles::of_stderr().are_coloured())
        .fmt_fields(ForPeople)
        .event_format(lines)
        .with_filter(filter_fn(|said| said.target() != RECORD_TARGET));
    tracing_subscriber::registry()
        .with(filter)
        .with(records)
        .with(stderr)
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The specification names no values: these are the ones of its SDKs.
fn level(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "none" | "off" => "off",
        "fatal" | "error" => "error",
        "warn" | "warning" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" | "verbose" | "all" => "trace",
        _ => return None,
    })
}

/// Writes an event as a line, in one of the two forms.
enum Lines {
    Text(Format),
    Json,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self {
            Self::Text(text) => text.format_event(context, writer, event),
            Self::Json => writeln!(writer, "{}", json::of_event(event)),
        }
    }
}

/// Leaves out the fields that are for records alone.
struct ForPeople;

impl<'writer> FormatFields<'writer> for ForPeople {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Chosen(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct Chosen<'a>(DefaultVisitor<'a>);

impl Visit for Chosen<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !field.name().starts_with(RECORD_ONLY) {
            self.0.record_debug(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !field.name().starts_with(RECORD_ONLY) {
            self.0.record_str(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if !field.name().starts_with(RECORD_ONLY) {
            self.0.record_error(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::Context;

    use super::*;

    /// Formats the fields of an event.
    #[derive(Clone, Default)]
    struct Formatted(Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Formatted {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut text = self.0.lock().unwrap();
            ForPeople
                .format_fields(Writer::new(&mut *text), event)
                .unwrap();
        }
    }

    #[test]
    fn what_nobody_hears_is_not_asked_about() {
        let filter = || EnvFilter::builder().parse_lossy("warn,hyper=info");
        for format in [LogFormat::Text, LogFormat::Json] {
            let heard = subscriber(filter(), HostLog::default(), format).max_level_hint();
            assert_eq!(heard, Some(tracing::level_filters::LevelFilter::INFO));
        }
    }

    #[test]
    fn a_line_has_the_fields_that_are_for_people() {
        let formatted = Formatted::default();
        let subscriber = tracing_subscriber::registry().with(formatted.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(otel.span_id = %"b7", shown = 1, otel.word = "w", text = "t", "said");
        });
        assert_eq!(*formatted.0.lock().unwrap(), "said shown=1 text=\"t\"");
    }
}
