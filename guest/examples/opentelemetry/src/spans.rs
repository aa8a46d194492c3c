//! What a single span can say, and where it hangs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fanlight_guest::Response;
use opentelemetry::trace::{
    Event, Link, Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, Value, global};

use crate::done;

/// A point in time that tests can expect: 2023-11-14T22:13:20Z.
fn fixed_time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// `said`, once `first`, says all that can be said, and lasts for 2 s.
pub(crate) fn said() -> Response {
    let scope = InstrumentationScope::builder("library")
        .with_version("1.2.3")
        .build();
    let tracer = global::tracer_provider().tracer_with_scope(scope);
    let other = tracer.start("other");
    let mut builder = tracer
        .span_builder("first")
        .with_kind(SpanKind::Client)
        .with_start_time(fixed_time())
        .with_attributes([KeyValue::new("at", "start"), KeyValue::new("twice", 1)])
        .with_links(vec![Link::new(
            other.span_context().clone(),
            vec![KeyValue::new("reason", "at start")],
            0,
        )]);
    builder.events = Some(vec![Event::new("early", fixed_time(), Vec::new(), 0)]);
    let mut span = builder.start(&tracer);
    span.set_attribute(KeyValue::new("twice", 2));
    span.set_attributes([
        KeyValue::new("truth", true),
        KeyValue::new("fraction", 0.5),
        KeyValue::new(
            "list",
            Value::Array(Array::String(vec!["a".into(), "b".into()])),
        ),
    ]);
    span.add_event("now", vec![KeyValue::new("attempt", 1)]);
    let later = fixed_time() + Duration::from_secs(1);
    span.add_event_with_timestamp("later", later, Vec::new());
    span.add_link(other.span_context().clone(), Vec::new());
    span.set_status(Status::error("refused"));
    span.update_name("said");
    let open = span.is_recording();
    span.end_with_timestamp(fixed_time() + Duration::from_secs(2));
    span.update_name("too late");
    Response::text(format!("open {open} ended {}\n", span.is_recording()))
}

/// An error recorded on a span itself, and one on the span of a context.
pub(crate) fn errors() -> Response {
    let tracer = global::tracer("errors");
    let error = "x".parse::<u8>();
    let Err(error) = error else { return done() };
    let mut span = tracer.start("direct");
    span.record_error(&error);
    drop(span);
    tracer.in_span("in_context", |context| context.span().record_error(&error));
    done()
}

/// `below_remote` hangs below a span of another process, `below_current` below
/// the server span: its context has no span.
pub(crate) fn remote() -> Response {
    let remote = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    );
    let tracer = global::tracer("remote");
    let context = Context::new().with_remote_span_context(remote);
    drop(tracer.start_with_context("below_remote", &context));
    drop(tracer.start_with_context("below_current", &Context::new()));
    let silent = Context::new().with_telemetry_suppressed();
    drop(tracer.start_with_context("silent", &silent));
    done()
}

/// Tells what a span and its child say of themselves, where the trace is not
/// recorded as well.
pub(crate) fn unrecorded() -> Response {
    global::tracer("unrecorded").in_span("parent", |context| {
        let parent = context.span().span_context().clone();
        let child = global::tracer("unrecorded").start("child");
        Response::text(format!(
            "recording {} sampled {} same trace {} traceparent {}\n",
            child.is_recording(),
            child.span_context().is_sampled(),
            child.span_context().trace_id() == parent.trace_id(),
            fanlight_guest::current_context().traceparent(),
        ))
    })
}
