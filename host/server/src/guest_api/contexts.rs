//! Span contexts as a guest sends them and as it receives them.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::guest_api::bindings::fanlight::telemetry::tracing as wit;
use fanlight_telemetry::propagation::{RANDOM, bytes_of, trace_state, tracestate};

/// Reads a context that a guest names; none where an id is no id.
pub(crate) fn span_context(context: &wit::SpanContext) -> Option<SpanContext> {
    let trace_id = TraceId::from_bytes(bytes_of(context.trace_id.as_bytes())?);
    let span_id = SpanId::from_bytes(bytes_of(context.span_id.as_bytes())?);
    let mut flags = TraceFlags::NOT_SAMPLED;
    if context.trace_flags.contains(wit::TraceFlags::SAMPLED) {
        flags = flags | TraceFlags::SAMPLED;
    }
    if context.trace_flags.contains(wit::TraceFlags::RANDOM) {
        flags = flags | RANDOM;
    }
    // A state that does not parse is as good as none, as on the wire.
    let state = tracestate([context.trace_state.as_str()]);
    let context = SpanContext::new(trace_id, span_id, flags, context.is_remote, state);
    context.is_valid().then_some(context)
}

/// The same span without what vendors say about it.
pub(crate) fn without_state(context: &SpanContext) -> SpanContext {
    SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags(),
        context.is_remote(),
        TraceState::NONE,
    )
}

/// Tells a guest a context.
pub(crate) fn wit_context(context: &SpanContext) -> wit::SpanContext {
    let mut flags = wit::TraceFlags::empty();
    if context.is_sampled() {
        flags |= wit::TraceFlags::SAMPLED;
    }
    if context.trace_flags() & RANDOM == RANDOM {
        flags |= wit::TraceFlags::RANDOM;
    }
    wit::SpanContext {
        trace_id: context.trace_id().to_string(),
        span_id: context.span_id().to_string(),
        trace_flags: flags,
        trace_state: trace_state::header(context.trace_state()),
        is_remote: context.is_remote(),
    }
}
