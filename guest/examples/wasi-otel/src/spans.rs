//! Spans as they should be.

use fanlight_guest::{Response, span};

use crate::done;
use crate::otel::tracing::{
    Event, Link, SpanContext, SpanData, SpanKind, Status, TraceFlags, current_span_context, on_end,
    on_start, outer_span_context,
};
use crate::otel::types::InstrumentationScope;
use crate::otel::{Open, at, attribute, context, ended, scope};

/// a > b > c, and d below a again.
pub(crate) fn nested() -> Response {
    let a = Open::start("a", 0xa1);
    let b = Open::start("b", 0xb1);
    let c = Open::start("c", 0xc1);
    c.end();
    b.end();
    Open::start("d", 0xd1).end();
    a.end();
    done()
}

/// Spans of both doors by turns: host > made > host > made > host, and back.
pub(crate) fn mixed() -> Response {
    let first = span!("host_1");
    let made = Open::start("made_2", 0x02);
    let second = span!("host_3");
    let inner = Open::start("made_4", 0x04);
    drop(span!("host_5"));
    inner.end();
    drop(span!("host_4b"));
    drop(second);
    drop(span!("host_3b"));
    made.end();
    Open::start("made_2b", 0x2b).end();
    drop(first);
    Open::start("made_1b", 0x1b).end();
    done()
}

/// `everything` has all that a span can have.
pub(crate) fn everything() -> Response {
    let linked = SpanContext {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: "b7ad6b7169203331".into(),
        trace_flags: TraceFlags::SAMPLED,
        is_remote: true,
        trace_state: vec![("vendor".into(), "value".into())],
    };
    let invalid = SpanContext {
        trace_id: "0".repeat(32),
        ..linked.clone()
    };
    let span_context = SpanContext {
        trace_state: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        ..context(0xe1)
    };
    let parent = current_span_context().span_id;
    on_start(&span_context);
    on_end(&SpanData {
        span_kind: SpanKind::Client,
        start_time: at(10),
        end_time: at(25),
        attributes: vec![attribute("k", r#""v""#)],
        events: vec![Event {
            name: "happened".into(),
            time: at(15),
            attributes: vec![attribute("n", "7")],
        }],
        links: [linked, invalid]
            .map(|span_context| Link {
                span_context,
                attributes: vec![attribute("why", r#""because""#)],
            })
            .into(),
        status: Status::Error("it broke".into()),
        instrumentation_scope: InstrumentationScope {
            schema_url: Some("https://example.com/schema".into()),
            attributes: vec![attribute("team", r#""shop""#)],
            ..scope()
        },
        dropped_attributes: 1,
        dropped_events: 2,
        dropped_links: 3,
        ..ended("everything", span_context, &parent)
    });
    done()
}

/// `typed` has an attribute of each type that JSON has.
pub(crate) fn attributes() -> Response {
    let parent = current_span_context().span_id;
    on_end(&SpanData {
        attributes: vec![
            attribute("string", r#""a \"text\" \u00e9""#),
            attribute("true", "true"),
            attribute("integer", "-42"),
            attribute("float", "2.5"),
            attribute("whole_float", "2.0"),
            attribute("large", "18446744073709551615"),
            attribute("strings", r#"["a","b"]"#),
            attribute("booleans", "[true,false]"),
            attribute("integers", "[1,2,3]"),
            attribute("floats", "[1,2.5]"),
            attribute("empty", "[]"),
            attribute("mixed", r#"[1,"a"]"#),
            attribute("object", r#"{"a":1}"#),
            attribute("null", "null"),
            attribute("bytes", r#""data:application/octet-stream;base64,AQID""#),
            attribute("no_json", "plain words"),
            attribute("twice", "1"),
            attribute("twice", "2"),
            attribute("", "1"),
        ],
        ..ended("typed", context(0x7e), &parent)
    });
    done()
}

/// Tells the current span by both names: at first, within a span of each door,
/// and at last.
pub(crate) fn contexts() -> Response {
    let mut lines = String::new();
    let mut tell = || {
        let (current, outer) = (current_span_context(), outer_span_context());
        lines += &format!("{} {}\n", current.span_id, outer.span_id);
    };
    tell();
    let made = Open::start("made", 0xc0);
    tell();
    let host = span!("host");
    tell();
    drop(host);
    tell();
    made.end();
    tell();
    Response::text(lines)
}

/// Some SDKs tell of a span at its end alone.
pub(crate) fn end_only() -> Response {
    let parent = current_span_context().span_id;
    on_end(&ended("late_news", context(0x1e), &parent));
    done()
}

/// `quiet` is not sampled, nor is the host's span below it; `loud` is.
pub(crate) fn not_sampled() -> Response {
    let quiet = SpanContext {
        trace_flags: TraceFlags::empty(),
        ..context(0x90)
    };
    on_start(&quiet);
    drop(span!("below_quiet"));
    on_end(&ended("quiet", quiet, ""));
    Open::start("loud", 0x91).end();
    done()
}

/// `apart` begins a trace of its own, and a span of the host's hangs below it.
pub(crate) fn own_trace() -> Response {
    let apart = SpanContext {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
        ..context(0xa0)
    };
    on_start(&apart);
    drop(span!("below_apart"));
    on_end(&ended("apart", apart, ""));
    done()
}

/// `outer` ends first: what starts then hangs below `inner`, which is open.
pub(crate) fn out_of_order() -> Response {
    let outer = Open::start("outer", 0x01);
    let inner = Open::start("inner", 0x02);
    outer.end();
    drop(span!("below_inner"));
    inner.end();
    drop(span!("below_server"));
    done()
}
