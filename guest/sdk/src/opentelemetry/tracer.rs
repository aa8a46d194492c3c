//! The providers' tracers, which start spans on the host.

use ::opentelemetry::trace::{self, SpanBuilder, SpanContext, TraceContextExt};
use ::opentelemetry::{Context, InstrumentationScope};

use super::span::Span;
use super::{attached, values};
use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::{SpanKind, TraceFlags, recording, value};

/// Makes tracers whose spans are the host's.
///
/// [`install`](super::install) makes one the global provider.
#[derive(Clone, Debug)]
pub struct TracerProvider(());

impl TracerProvider {
    /// Makes a provider, and has attached contexts followed from now on.
    pub fn new() -> Self {
        attached::follow();
        Self(())
    }
}

impl Default for TracerProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl trace::TracerProvider for TracerProvider {
    type Tracer = Tracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> Tracer {
        Tracer { scope }
    }
}

/// Starts spans of the host in the name of a library.
#[derive(Clone, Debug)]
pub struct Tracer {
    scope: InstrumentationScope,
}

impl trace::Tracer for Tracer {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent_cx: &Context) -> Span {
        if parent_cx.is_telemetry_suppressed() {
            return Span::unrecorded(SpanContext::empty_context());
        }
        let parent = parent_cx
            .has_active_span()
            .then(|| parent_cx.span().span_context().clone())
            .filter(SpanContext::is_valid);
        // The one attached last is current on the host, or a span of this crate
        // that was entered above it is.
        let named = parent
            .as_ref()
            .filter(|_| !attached::is_innermost(parent_cx))
            .map(values::to_host);
        let is_unsampled =
            |context: &crate::SpanContext| !context.trace_flags.contains(TraceFlags::SAMPLED);
        if !recording::may_record() && named.as_ref().is_none_or(is_unsampled) {
            return Span::unrecorded(parent.unwrap_or_else(attached::current));
        }
        self.start(builder, named.as_ref())
    }
}

impl Tracer {
    fn start(&self, builder: SpanBuilder, parent: Option<&crate::SpanContext>) -> Span {
        let attributes = builder.attributes.unwrap_or_default();
        let attributes = values::attributes(&attributes);
        let links = builder.links.unwrap_or_default();
        let links: Vec<_> = links
            .iter()
            .map(|link| {
                let context = values::to_host(&link.span_context);
                (context, values::attributes(&link.attributes))
            })
            .collect();
        let links: Vec<_> = links
            .iter()
            .map(|(context, attributes)| (context, value::as_raw(attributes)))
            .collect();
        let links: Vec<_> = links
            .iter()
            .map(|(context, attributes)| raw::Link {
                context,
                attributes,
            })
            .collect();
        let handle = raw::Span::start(
            &builder.name,
            raw::SpanOptions {
                kind: builder.span_kind.map_or(SpanKind::Internal, kind),
                attributes: &value::as_raw(&attributes),
                links: &links,
                parent: parent.map_or(raw::SpanParent::Current, raw::SpanParent::Context),
                start_time: builder.start_time.map(Into::into),
                scope: Some(values::scope(&self.scope)),
            },
        );
        if !recording::may_record() && handle.is_recording() {
            recording::note_recorded_span();
        }
        let mut span = Span::of(handle);
        for event in builder.events.unwrap_or_default() {
            trace::Span::add_event_with_timestamp(
                &mut span,
                event.name,
                event.timestamp,
                event.attributes,
            );
        }
        span
    }
}

fn kind(kind: trace::SpanKind) -> SpanKind {
    match kind {
        trace::SpanKind::Client => SpanKind::Client,
        trace::SpanKind::Server => SpanKind::Server,
        trace::SpanKind::Producer => SpanKind::Producer,
        trace::SpanKind::Consumer => SpanKind::Consumer,
        trace::SpanKind::Internal => SpanKind::Internal,
    }
}
