//! `/api/error` and `/api/panic`: what failure looks like in a trace.
//!
//! The functions are not inlined, so that stack traces name them.

use fanlight_guest::{Response, Status, attributes, server_span, span};

#[inline(never)]
pub(crate) fn simulate_error() -> Response {
    let message = "Simulated error for tracing";
    let span = server_span();
    span.record_exception_as("ValueError", message);
    span.set_status(Status::Error(message));
    span.set_attributes(&attributes!["error" = true]);
    crate::error(500, message)
}

/// Panics with a child span open, which the host ends.
#[inline(never)]
pub(crate) fn panic_in_span() -> Response {
    let _span = span!("about_to_panic");
    panic_on_purpose()
}

#[inline(never)]
#[expect(clippy::panic, reason = "it shows what becomes of a panic")]
fn panic_on_purpose() -> ! {
    panic!("Simulated panic for tracing")
}
