//! What a component can ask about its spans, and the server span.

use fanlight_guest::{
    Response, Span, SpanContext, Status, attributes, current_context, server_span, span,
};

/// Tells the current span's trace and span id, outside and inside of `inner`.
pub(crate) fn current() -> Response {
    let outside = current_context();
    let inner = span!("inner");
    let inside = current_context();
    debug_assert_eq!(inside.span_id, inner.context().span_id);
    let lines = [&outside, &inside].map(line);
    Response::text(lines.concat())
}

/// Tells whether spans record: the server's, an open one, one that has ended.
pub(crate) fn is_recording() -> Response {
    let span = Span::builder("recording").start();
    let open = span.is_recording();
    span.end();
    Response::text(format!(
        "server {}\nopen {open}\nended {}\n",
        server_span().is_recording(),
        span.is_recording(),
    ))
}

/// Says all that can be said about the server span.
pub(crate) fn server() -> Response {
    let span = server_span();
    span.set_attribute("showcase.one", "text");
    span.set_attributes(&attributes!["showcase.two" = 2, "showcase.list" = [1, 2]]);
    span.record_exception_as("ValueError", "on the server span");
    span.set_status(Status::Error("said by the guest"));
    crate::done()
}

pub(crate) fn told(context: &SpanContext) -> Response {
    Response::text(line(context))
}

fn line(context: &SpanContext) -> String {
    format!("{} {}\n", context.trace_id, context.span_id)
}
