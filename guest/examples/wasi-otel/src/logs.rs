//! Log records.

use fanlight_guest::Response;

use crate::done;
use crate::otel::logs::{LogRecord, on_emit};
use crate::otel::tracing::{TraceFlags, current_span_context};
use crate::otel::types::Resource;
use crate::otel::{Open, at, attribute, scope};

fn nothing() -> LogRecord {
    LogRecord {
        timestamp: None,
        observed_timestamp: None,
        severity_text: None,
        severity_number: None,
        body: None,
        attributes: None,
        event_name: None,
        resource: None,
        instrumentation_scope: None,
        trace_id: None,
        span_id: None,
        trace_flags: None,
    }
}

/// One with every field, one within a span, and one with nothing at all.
pub(crate) fn records() -> Response {
    on_emit(&LogRecord {
        timestamp: Some(at(1)),
        observed_timestamp: Some(at(2)),
        severity_text: Some("loud".into()),
        severity_number: Some(14),
        body: Some(r#"{"text":"a","list":[1,2.5,[true]],"none":null}"#.into()),
        attributes: Some(vec![
            attribute("user", r#"{"id":7}"#),
            attribute("bytes", r#""data:application/octet-stream;base64,AQID""#),
        ]),
        event_name: Some("order.placed".into()),
        resource: Some(Resource {
            attributes: vec![attribute("service.name", r#""somebody else""#)],
            schema_url: None,
        }),
        instrumentation_scope: Some(scope()),
        trace_id: Some(current_span_context().trace_id),
        span_id: Some("00000000000000ab".into()),
        trace_flags: Some(TraceFlags::SAMPLED),
    });
    let span = Open::start("logging", 0x10);
    on_emit(&LogRecord {
        severity_number: Some(9),
        body: Some("not JSON".into()),
        trace_id: Some("no id".into()),
        span_id: Some("00000000000000ab".into()),
        ..nothing()
    });
    span.end();
    on_emit(&LogRecord {
        severity_number: Some(99),
        ..nothing()
    });
    done()
}

/// A body that nests so deep.
pub(crate) fn deep(depth: u32) -> Response {
    let depth = usize::try_from(depth).unwrap_or(0);
    let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    on_emit(&LogRecord {
        body: Some(body),
        ..nothing()
    });
    done()
}
