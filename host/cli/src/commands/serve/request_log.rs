//! A line on standard error for each request that has ended.
//!
//! The lines join the queue of the log's lines: no request waits for a terminal or a pipe
//! that is not read.

use std::fmt::Write as _;

use serde_json::json;
use tracing::Level;

use crate::log::{self, LogFormat};
use crate::terminal::{self, Styles};
use fanlight_server::{EndedRequest, RequestObserver};

/// What a line shows of a path or a route.
const MAX_TARGET_BYTES: usize = 200;
/// What the lines are called in JSON.
const TARGET: &str = "fanlight::request";

/// Writes a line for each request.
pub(crate) struct RequestLog {
    format: LogFormat,
    styles: Styles,
}

impl RequestLog {
    /// Makes a log in one of the two forms, in colours where standard error shows them.
    pub(crate) fn new(format: LogFormat) -> Self {
        Self {
            format,
            styles: Styles::of_stderr(),
        }
    }

    fn text(&self, request: &EndedRequest<'_>) -> String {
        let Styles { dim, error, .. } = self.styles;
        // That of the end, as of the lines around it. On a terminal the day is known.
        let time = request.started_at + request.duration;
        let time = match self.styles.are_coloured() {
            true => terminal::time_of_day(time),
            false => terminal::timestamp(time),
        };
        let method = terminal::shown(request.method, MAX_TARGET_BYTES);
        let target = request.route.unwrap_or(request.path);
        let target = terminal::shown(target, MAX_TARGET_BYTES);
        let (status, style) = match request.status {
            Some(status) => {
                let style = self
                    .styles
                    .of_status(status.as_u16(), request.error_type.is_some());
                (status.as_str().to_owned(), style)
            }
            None => ("-".to_owned(), error),
        };
        let taken = terminal::duration(request.duration);
        let mut line = format!(
            "{dim}{time}{dim:#} {method:<4} {target:<28} {style}{status:>3}{style:#} {taken:>8}"
        );
        // Writing to a string cannot fail.
        let _ = match (request.busy_time, request.memory_peak_bytes) {
            (Some(busy), memory) => {
                let busy = terminal::duration(busy);
                let memory = terminal::size(memory.unwrap_or(0));
                write!(line, "  busy {busy:>8} {memory:>9}")
            }
            (None, _) => write!(line, "  {:23}", "no instance"),
        };
        let _ = write!(line, "  {dim}{:032x}{dim:#}", request.trace_id);
        // Of a status alone it says the same.
        if let Some(word) = request.error_type.filter(|it| *it != status) {
            let _ = write!(line, "  {error}{}{error:#}", terminal::shown(word, 64));
        }
        line
    }

    fn json(request: &EndedRequest<'_>) -> String {
        let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let mut fields = json!({
            "method": request.method,
            "path": request.path,
            "duration_ms": millis(request.duration),
            "request_bytes": request.request_bytes,
            "response_bytes": request.response_bytes,
            "trace_id": format!("{:032x}", request.trace_id),
        });
        if let Some(fields) = fields.as_object_mut() {
            let more = [
                ("route", request.route.map(|it| json!(it))),
                ("status", request.status.map(|it| json!(it.as_u16()))),
                ("error.type", request.error_type.map(|it| json!(it))),
                ("busy_ms", request.busy_time.map(|it| json!(millis(it)))),
                (
                    "memory_peak_bytes",
                    request.memory_peak_bytes.map(|it| json!(it)),
                ),
            ];
            let more = more.into_iter().filter_map(|(key, it)| Some((key, it?)));
            fields.extend(more.map(|(key, it)| (key.to_owned(), it)));
        }
        let level = match request.error_type {
            Some(_) => Level::WARN,
            None => Level::INFO,
        };
        log::json(level, TARGET, "request", &fields)
    }
}

impl RequestObserver for RequestLog {
    fn request_ended(&self, request: &EndedRequest<'_>) {
        crate::stderr::say(&match self.format {
            LogFormat::Text => self.text(request),
            LogFormat::Json => Self::json(request),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use fanlight_telemetry::sanitize::is_control;
    use http::StatusCode;
    use serde_json::Value;

    use super::*;

    fn request<'a>() -> EndedRequest<'a> {
        EndedRequest {
            method: "GET",
            path: "/users/7",
            route: None,
            status: Some(StatusCode::OK),
            error_type: None,
            started_at: SystemTime::UNIX_EPOCH,
            duration: Duration::from_micros(1230),
            request_bytes: 0,
            response_bytes: 5,
            busy_time: Some(Duration::from_micros(610)),
            memory_peak_bytes: Some(1_179_648),
            trace_id: 0x4bf9,
        }
    }

    fn plain() -> RequestLog {
        RequestLog {
            format: LogFormat::Text,
            styles: Styles::default(),
        }
    }

    #[test]
    fn a_line_says_what_the_request_was_and_took() {
        let line = plain().text(&request());
        assert_eq!(
            line,
            "1970-01-01T00:00:00.001Z GET  /users/7                     200  1.23 ms  \
             busy   610 µs   1.1 MiB  00000000000000000000000000004bf9"
        );
        let failed = EndedRequest {
            route: Some("/users/{id}"),
            status: None,
            error_type: Some("cancelled"),
            busy_time: None,
            ..request()
        };
        let line = plain().text(&failed);
        assert!(line.contains(" /users/{id} ") && line.contains("   -  1.23 ms  no instance"));
        assert!(line.ends_with("4bf9  cancelled"), "{line}");
    }

    #[test]
    fn an_error_is_red_and_a_hostile_path_cannot_steer_the_terminal() {
        let log = RequestLog {
            format: LogFormat::Text,
            styles: Styles::coloured(),
        };
        let path = "/a\u{1b}[2J\u{9b}31m\r\n/b";
        let hostile = EndedRequest {
            path,
            status: Some(StatusCode::INTERNAL_SERVER_ERROR),
            error_type: Some("trap"),
            ..request()
        };
        let line = log.text(&hostile);
        assert!(line.contains("\u{1b}[31m500\u{1b}[0m"), "{line:?}");
        assert!(line.contains("/a\\u{1b}[2J\\u{9b}31m\\r\\n/b"), "{line:?}");
        let json = RequestLog::json(&hostile);
        assert!(!json.contains(is_control), "{json:?}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["fields"]["path"], path);
        assert_eq!(read["level"], "WARN");
    }
}
