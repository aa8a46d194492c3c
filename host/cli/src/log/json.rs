//! The log's lines as JSON: one object a line, with `timestamp`, `level`, `target`,
//! `message` and `fields`.

use std::error::Error;
use std::fmt;
use std::panic::PanicHookInfo;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::terminal;
use fanlight_telemetry::RECORD_ONLY;

/// One line, without its end.
pub(crate) fn line(level: Level, target: &str, message: &str, fields: &Value) -> String {
    let mut object = Map::new();
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    object.insert("timestamp".to_owned(), timestamp.into());
    object.insert("level".to_owned(), level.as_str().into());
    object.insert("target".to_owned(), target.into());
    object.insert("message".to_owned(), message.into());
    if fields.as_object().is_some_and(|it| !it.is_empty()) {
        object.insert("fields".to_owned(), fields.clone());
    }
    terminal::json_line(&Value::Object(object))
}

/// The line of an event.
pub(crate) fn of_event(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    let target = metadata.target();
    let all = Value::Object(fields.others);
    line(*metadata.level(), target, &fields.message, &all)
}

/// Writes a panic as a line. What panicked ends as it would without it.
pub(crate) fn panicked(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let thread = std::thread::current();
    let fields = json!({
        "location": panic.location().map(ToString::to_string),
        "thread": thread.name(),
    });
    let message = format!("panicked: {message}");
    crate::stderr::say(&line(Level::ERROR, "fanlight", &message, &fields));
}

/// The fields of an event. Those that text has in its message, and that only records
/// name, stand here under their own names.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let name = name.strip_prefix(RECORD_ONLY).unwrap_or(name);
        self.others.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, value.into()),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string().into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(of_event(event));
        }
    }

    #[test]
    fn an_event_is_one_object_with_its_fields() {
        let written = Written::default();
        let subscriber = tracing_subscriber::registry().with(written.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(otel.span_id = %"b7", count = 3, is_last = true, "a\nb\u{1b}[31m");
            tracing::info!("plain");
        });
        let written = written.0.lock().unwrap();
        assert!(written.iter().all(|it| !it.contains(['\n', '\u{1b}'])));
        let read = |at: usize| serde_json::from_str::<Value>(&written[at]).unwrap();
        let first = read(0);
        assert_eq!(first["level"], "WARN");
        assert_eq!(first["message"], "a\nb\u{1b}[31m");
        let fields = json!({"span_id": "b7", "count": 3, "is_last": true});
        assert_eq!(first["fields"], fields);
        let timestamp = first["timestamp"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(timestamp).is_ok(), "{timestamp}");
        assert_eq!(read(1).get("fields"), None);
    }
}
