//! The caller of a request, as the formats name it.

use opentelemetry::trace::{SpanContext, TraceFlags, TraceState};

/// W3C Trace Context Level 2 §3.2.2.5.2: the right half of the trace's id is
/// random. The service that begins a trace sets it, and all others pass it on.
pub const RANDOM: TraceFlags = TraceFlags::new(0x02);
/// The caller that the headers name.
#[derive(Debug, Default, PartialEq)]
pub enum Caller {
    /// No caller is named: the request begins a trace.
    #[default]
    Unknown,
    /// A caller without a span has decided whether the trace is sampled.
    Decision(TraceFlags),
    /// A span.
    Span(SpanContext),
    /// A span whose service leaves it to this one whether the trace is sampled.
    Deferring(SpanContext),
}

/// The caller as one format names it.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) caller: Caller,
    pub(crate) debug: bool,
}

impl Caller {
    /// The caller after a later format: the later one, unless it has less information
    /// about the same trace.
    pub(crate) fn followed_by(self, later: Self) -> Self {
        match (self, later) {
            // A decision without a span says less than a span does.
            (known @ (Self::Span(_) | Self::Deferring(_)), Self::Decision(_)) => known,
            // The sampling of the trace is decided already.
            (Self::Span(known), Self::Deferring(later)) if known.trace_id() == later.trace_id() => {
                Self::Span(known)
            }
            (Self::Span(known), Self::Span(later))
                if known.trace_id() == later.trace_id() && known.span_id() == later.span_id() =>
            {
                Self::Span(joined(&known, &later))
            }
            (_, later) => later,
        }
    }

    pub(crate) fn is_sampled(&self) -> bool {
        match self {
            Self::Unknown | Self::Deferring(_) => false,
            Self::Decision(flags) => flags.is_sampled(),
            Self::Span(context) => context.is_sampled(),
        }
    }
}

/// The later of two contexts of one span, completed from the earlier one: B3 has no
/// place for a trace's state, nor for the random flag.
fn joined(earlier: &SpanContext, later: &SpanContext) -> SpanContext {
    let state = if *later.trace_state() == TraceState::NONE {
        earlier.trace_state()
    } else {
        later.trace_state()
    };
    let flags = later.trace_flags() | (earlier.trace_flags() & RANDOM);
    SpanContext::new(
        later.trace_id(),
        later.span_id(),
        flags,
        true,
        state.clone(),
    )
}

impl Found {
    pub(crate) fn span(context: SpanContext) -> Self {
        Self {
            caller: Caller::Span(context),
            debug: false,
        }
    }
}
