//! Whether the host records spans, so that calls about them are worth their cost.
//!
//! An instance answers one request, and whether the trace of that is recorded
//! was decided before it began: the host is asked once.

use std::cell::Cell;

use crate::bindings::fanlight::telemetry::tracing as raw;

/// Tells whether a span that is started here may be kept.
///
/// It is not where the trace is not sampled: costly attributes can be spared
/// then. [`span!`](crate::span!) spares them by itself. Asking costs a call to
/// the host the first time, and nothing after that.
pub fn is_recording() -> bool {
    may_record()
}

pub(crate) fn may_record() -> bool {
    is_server_recording() || HAS_RECORDED_SPAN.get()
}

/// Whether the host records the server span.
pub(crate) fn is_server_recording() -> bool {
    SERVER.get().unwrap_or_else(|| {
        let is_recording = raw::is_server_span_recording();
        SERVER.set(Some(is_recording));
        is_recording
    })
}

/// A span was started that is kept; what is started below it is kept as well,
/// whatever became of the request's own trace.
pub(crate) fn note_recorded_span() {
    HAS_RECORDED_SPAN.set(true);
}

thread_local! {
    static SERVER: Cell<Option<bool>> = const { Cell::new(None) };
    static HAS_RECORDED_SPAN: Cell<bool> = const { Cell::new(false) };
}
