//! Spans as they should not be.

use fanlight_guest::{Response, span};

use crate::done;
use crate::otel::tracing::{SpanContext, SpanData, current_span_context, on_end, on_start};
use crate::otel::types::InstrumentationScope;
use crate::otel::{Open, attribute, context, ended, scope};

/// Ends a span twice, and starts it once more: the first word counts.
pub(crate) fn twice() -> Response {
    let parent = current_span_context().span_id;
    on_start(&context(0x22));
    on_start(&context(0x22));
    on_end(&ended("first", context(0x22), &parent));
    on_end(&ended("second", context(0x22), &parent));
    on_start(&context(0x22));
    drop(span!("after"));
    done()
}

/// Uses the server span's id, ids that are none, and the host's own scope.
pub(crate) fn forged() -> Response {
    let server = current_span_context();
    let invalid = |trace_id: &str, span_id: &str| SpanContext {
        trace_id: trace_id.into(),
        span_id: span_id.into(),
        ..context(1)
    };
    for forged in [
        server.clone(),
        invalid(&server.trace_id, "0000000000000000"),
        invalid(&server.trace_id, "00000000000000A1"),
        invalid("nonsense", "00000000000000a1"),
        invalid("", ""),
    ] {
        on_start(&forged);
        on_end(&ended("forged", forged, ""));
    }
    on_end(&SpanData {
        attributes: vec![attribute("http.route", r#""/free/to/say/here""#)],
        instrumentation_scope: InstrumentationScope {
            name: "fanlight".into(),
            ..scope()
        },
        ..ended("honest", context(0xf0), &server.span_id)
    });
    done()
}

/// Starts two spans, with one of the host's between them, and ends none.
pub(crate) fn leave_open() {
    Open::start("never said", 0x51);
    let host = span!("between");
    Open::start("never said", 0x52);
    std::mem::forget(host);
}

/// Starts and ends spans, and starts some more.
pub(crate) fn many(count: u32) -> Response {
    for n in 0..u64::from(count) {
        Open::start("one of many", n + 1).end();
    }
    done()
}

/// A span whose every text is long, and which has far too much of all.
pub(crate) fn long(bytes: u32) -> Response {
    let bytes = usize::try_from(bytes).unwrap_or(0);
    let text = "x".repeat(bytes);
    let json = format!("\"{text}\"");
    on_end(&SpanData {
        attributes: vec![attribute("long", &json), attribute(&text, "1")],
        ..ended(&text, context(0x10), "")
    });
    let flood = (0..1_000).map(|n| attribute(&format!("k{n}"), "1"));
    on_end(&SpanData {
        attributes: flood.collect(),
        ..ended("flood", context(0x11), "")
    });
    done()
}
