//! Fields of `tracing`, read into attributes, names, kinds and outcomes.

use std::any::type_name;
use std::error::Error;
use std::fmt::{Debug, Display};

use ::tracing::Level;
use ::tracing::field::{Field, Visit};

use crate::exception::{Exception, with_sources};
use crate::value::{Attribute, Value};
use crate::{Severity, SpanKind, Status};

/// The fields of a span. Some are not attributes but say what the span is.
#[derive(Debug, Default)]
pub(super) struct SpanFields {
    pub(super) name: Option<String>,
    pub(super) kind: Option<SpanKind>,
    pub(super) outcome: Outcome,
    pub(super) attributes: Vec<Attribute<'static>>,
}

/// A span's outcome as fields give it: its code and why, by one field each.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    code: Option<StatusCode>,
    description: Option<String>,
    /// An error that an event reported, before any field did.
    pub(super) event: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusCode {
    Ok,
    Error,
}

impl Outcome {
    /// The status that they make. A description alone says that it is an error: the
    /// other ones have none.
    pub(super) fn status(&self) -> Option<Status<'_>> {
        match (self.code, self.description.as_deref()) {
            (Some(StatusCode::Ok), _) => Some(Status::Ok),
            (_, Some(description)) => Some(Status::Error(description)),
            (Some(StatusCode::Error), None) => {
                Some(Status::Error(self.event.as_deref().unwrap_or_default()))
            }
            (None, None) => None,
        }
    }

    /// Takes what was said later.
    pub(super) fn add(&mut self, later: Self) {
        self.code = later.code.or(self.code);
        self.description = later.description.or(self.description.take());
    }
}

impl SpanFields {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "otel.name" => self.name = Some(text),
            "otel.kind" => self.kind = kind(&text),
            "otel.status_code" => self.outcome.code = status_code(&text),
            "otel.status_description" | "otel.status_message" => {
                self.outcome.description = Some(text);
            }
            _ => self.attribute(field, text),
        }
    }

    fn attribute(&mut self, field: &Field, value: impl Into<Value<'static>>) {
        self.attributes.push(Attribute::new(key(field), value));
    }
}

impl Visit for SpanFields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attribute(field, whole(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.attribute(field, whole(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.attribute(field, whole(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.attribute(field, with_sources(value.to_string(), value.source()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}

/// The fields of an event.
#[derive(Debug)]
pub(super) struct EventFields {
    level: Level,
    pub(super) message: Option<String>,
    /// What went wrong, in an event of the level ERROR.
    pub(super) exception: Option<Exception<'static>>,
    pub(super) attributes: Vec<Attribute<'static>>,
}

impl EventFields {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            message: None,
            exception: None,
            attributes: Vec::new(),
        }
    }

    /// What went wrong, where something did.
    pub(super) fn why(&self) -> &str {
        let exception = self.exception.as_ref().map(|it| it.message.as_ref());
        exception.or(self.message.as_deref()).unwrap_or_default()
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = Some(text),
            // What `#[instrument(err)]` says: the error as it is displayed.
            "error" => self.error(field, "error", text),
            _ => self.attribute(field, text),
        }
    }

    fn error(&mut self, field: &Field, exception_type: &'static str, message: String) {
        if self.level == Level::ERROR && self.exception.is_none() {
            self.exception = Some(Exception::new(exception_type, message));
        } else {
            self.attribute(field, message);
        }
    }

    fn attribute(&mut self, field: &Field, value: impl Into<Value<'static>>) {
        self.attributes.push(Attribute::new(key(field), value));
    }
}

impl Visit for EventFields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attribute(field, whole(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.attribute(field, whole(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.attribute(field, whole(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let message = with_sources(value.to_string(), value.source());
        // Its own type's name is gone by now.
        self.error(field, type_name::<dyn Error>(), message);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }
}

/// The field's name as it was written: `r#type` is `type`.
fn key(field: &Field) -> &'static str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}

/// A whole number, as text where it is too large for one.
fn whole<N: TryInto<i64> + Copy + Display>(number: N) -> Value<'static> {
    match number.try_into() {
        Ok(number) => number.into(),
        Err(_) => number.to_string().into(),
    }
}

fn kind(text: &str) -> Option<SpanKind> {
    [
        ("internal", SpanKind::Internal),
        ("server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ]
    .into_iter()
    .find_map(|(name, kind)| text.eq_ignore_ascii_case(name).then_some(kind))
}

fn status_code(text: &str) -> Option<StatusCode> {
    [("ok", StatusCode::Ok), ("error", StatusCode::Error)]
        .into_iter()
        .find_map(|(name, code)| text.eq_ignore_ascii_case(name).then_some(code))
}

pub(super) fn severity(level: Level) -> Severity {
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
    use std::sync::{Arc, Mutex};

    use ::tracing::{Event, Subscriber, span};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps what the fields of a span or an event are read as.
    #[derive(Clone, Default)]
    struct Reader {
        spans: Arc<Mutex<Vec<SpanFields>>>,
        events: Arc<Mutex<Vec<EventFields>>>,
    }

    impl<S: Subscriber> Layer<S> for Reader {
        fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
            let mut fields = SpanFields::default();
            attributes.record(&mut fields);
            self.spans.lock().unwrap().push(fields);
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = EventFields::new(*event.metadata().level());
            event.record(&mut fields);
            self.events.lock().unwrap().push(fields);
        }
    }

    fn span_fields(say: impl Fn() -> ::tracing::Span) -> SpanFields {
        let reader = Reader::default();
        let subscriber = tracing_subscriber::registry().with(reader.clone());
        ::tracing::subscriber::with_default(subscriber, || drop(say()));
        reader.spans.lock().unwrap().remove(0)
    }

    fn event_fields(say: impl Fn()) -> EventFields {
        let reader = Reader::default();
        let subscriber = tracing_subscriber::registry().with(reader.clone());
        ::tracing::subscriber::with_default(subscriber, say);
        reader.events.lock().unwrap().remove(0)
    }

    #[test]
    fn fields_keep_their_types_and_numbers_that_do_not_fit_are_text() {
        let fields = span_fields(|| {
            ::tracing::info_span!(
                "all",
                truth = true,
                small = -7,
                unsigned = 7_u64,
                large = u64::MAX,
                fraction = 0.5,
                text = "a",
                shown = %"b",
                debugged = ?Some(1),
                r#type = "raw",
                empty = ::tracing::field::Empty,
            )
        });
        assert_eq!(
            fields.attributes,
            [
                Attribute::new("truth", true),
                Attribute::new("small", -7),
                Attribute::new("unsigned", 7),
                Attribute::new("large", "18446744073709551615"),
                Attribute::new("fraction", 0.5),
                Attribute::new("text", "a"),
                Attribute::new("shown", "b"),
                Attribute::new("debugged", "Some(1)"),
                Attribute::new("type", "raw"),
            ]
        );
        assert_eq!(fields.outcome.status(), None);
    }

    #[test]
    fn names_that_begin_with_otel_say_what_the_span_is() {
        let fields = span_fields(|| {
            ::tracing::info_span!(
                "GET",
                otel.name = %"GET /users",
                otel.kind = "Client",
                otel.status_code = "ERROR",
                otel.status_description = "refused",
            )
        });
        assert_eq!(fields.name.as_deref(), Some("GET /users"));
        assert_eq!(fields.kind, Some(SpanKind::Client));
        assert_eq!(fields.outcome.status(), Some(Status::Error("refused")));
        assert_eq!(fields.attributes, []);
        let fields = span_fields(|| ::tracing::info_span!("x", otel.status_code = "Ok"));
        assert_eq!(fields.outcome.status(), Some(Status::Ok));
        let fields = span_fields(|| ::tracing::info_span!("x", otel.status_code = "else"));
        assert_eq!(fields.outcome.status(), None);
    }

    #[test]
    fn an_error_in_an_error_event_is_an_exception_and_elsewhere_an_attribute() {
        let error = std::io::Error::other("x".parse::<u8>().unwrap_err());
        let error: &(dyn Error + 'static) = &error;
        let fields = event_fields(|| ::tracing::error!(error, attempt = 2, "no {}", "luck"));
        let exception = fields.exception.unwrap();
        assert_eq!(exception.message, "invalid digit found in string");
        assert_eq!(exception.exception_type, "dyn core::error::Error");
        assert_eq!(fields.message.as_deref(), Some("no luck"));
        assert_eq!(fields.attributes, [Attribute::new("attempt", 2)]);

        let fields = event_fields(|| ::tracing::error!(error = %"told as text"));
        assert_eq!(fields.exception.unwrap().message, "told as text");

        let fields = event_fields(|| ::tracing::warn!(error));
        assert!(fields.exception.is_none());
        assert_eq!(
            fields.attributes,
            [Attribute::new("error", "invalid digit found in string")]
        );
    }
}
