//! Logs requests that failed.

use opentelemetry::trace::SpanContext;

use crate::error::{Blame, HandleError};
use fanlight_telemetry::sanitize::Printable;

/// Logs a request that failed. The host logs a guest's trap or exit when it happens,
/// which may be after the response; any other failure with the response. The exported
/// record is linked with the request's trace.
pub(crate) fn log(error: &HandleError, context: &SpanContext) {
    let trace_id = context.trace_id();
    let span_id = context.span_id();
    let error_type = error.error_type();
    // A client's own doing is no trouble of the operator's.
    if error.blame() == Blame::Client {
        tracing::debug!(
            %trace_id,
            otel.span_id = %span_id,
            error.type = error_type,
            error = chain(error),
            "request refused"
        );
        return;
    }
    let backtrace = error.trap().and_then(|trap| trap.backtrace());
    let error = chain(error);
    match backtrace {
        // Many lines: last, so that what tells the request stands above them.
        Some(backtrace) => {
            tracing::warn!(
                otel.trace_id = %trace_id,
                otel.span_id = %span_id,
                otel.error.type = error_type,
                "request {trace_id} failed: {}\n{backtrace}",
                Printable(&error)
            );
        }
        None => tracing::warn!(
            %trace_id,
            otel.span_id = %span_id,
            error.type = error_type,
            error,
            "request failed"
        ),
    }
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
