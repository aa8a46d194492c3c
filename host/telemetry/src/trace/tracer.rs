//! Starts spans: asks the sampler, makes the ids.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample, SpanData,
    SpanEvents, SpanLinks,
};

use crate::export::counters::Dropped;
use crate::propagation::RANDOM;
use crate::trace::limits::SpanLimits;
use crate::trace::queue::SpanQueue;
use crate::trace::span::{Span, SpanPipeline};

/// The parent of a new span.
pub enum Parent<'a> {
    /// No parent: the span starts a trace.
    Root,
    /// No parent, and a caller without a span has decided the trace's sampling.
    Decided(TraceFlags),
    /// A span of this process, whose sampling decision is used.
    Local(&'a SpanContext),
    /// A span of another service.
    Remote(&'a SpanContext),
    /// A span of another service that leaves the sampling decision to this one.
    Deferring(&'a SpanContext),
}

/// The data of a span at its start.
pub struct SpanStart<'a> {
    /// The name of the span.
    pub name: Cow<'static, str>,
    /// The kind of the span.
    pub kind: SpanKind,
    /// The parent of the span.
    pub parent: Parent<'a>,
    /// The attributes, each key once.
    pub attributes: Vec<KeyValue>,
    /// Links that the span starts with.
    pub links: Vec<Link>,
    /// When the span starts.
    pub time: SystemTime,
    /// The library that starts it.
    pub scope: InstrumentationScope,
}

/// Starts spans: asks the sampler, makes the ids.
#[derive(Clone)]
pub struct Tracer {
    shared: Arc<Shared>,
    pipeline: Arc<SpanPipeline>,
}

struct Shared {
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
}

impl Tracer {
    pub(crate) fn new(
        sampler: Box<dyn ShouldSample>,
        limits: SpanLimits,
        queue: Arc<SpanQueue>,
        dropped: Arc<Dropped>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                sampler,
                ids: RandomIdGenerator::default(),
            }),
            pipeline: Arc::new(SpanPipeline {
                limits,
                queue,
                dropped,
            }),
        }
    }

    /// Whether sampled spans are exported; otherwise no span records.
    pub fn is_exporting(&self) -> bool {
        self.pipeline.queue.is_enabled()
    }

    /// The limits on what spans hold.
    pub fn limits(&self) -> &SpanLimits {
        &self.pipeline.limits
    }

    /// Counts of what was dropped.
    pub fn dropped(&self) -> &Arc<Dropped> {
        &self.pipeline.dropped
    }

    /// Starts a span.
    pub fn start(&self, start: SpanStart<'_>) -> Span {
        let ids = &self.shared.ids;
        let span_id = ids.new_span_id();
        let (trace_id, parent_span_id, parent_is_remote, random) = match start.parent {
            // All bits of the generator's ids are random.
            Parent::Root | Parent::Decided(_) => {
                (ids.new_trace_id(), SpanId::INVALID, false, RANDOM)
            }
            Parent::Local(parent) => (
                parent.trace_id(),
                parent.span_id(),
                false,
                parent.trace_flags() & RANDOM,
            ),
            Parent::Remote(parent) | Parent::Deferring(parent) => (
                parent.trace_id(),
                parent.span_id(),
                parent.is_remote(),
                parent.trace_flags() & RANDOM,
            ),
        };
        let mut attributes = start.attributes;
        let mut samplers = Vec::new();
        let mut sample = |parent| {
            let result = self.sample(parent, trace_id, &start.name, &start.kind, &attributes);
            samplers = result.attributes;
            (result.decision, result.trace_state)
        };
        let (decision, trace_state) = match start.parent {
            // Every standard sampler decides for a local child as it did for the
            // parent, so the parent's flag is the decision.
            Parent::Local(parent) => {
                let decision = if parent.is_sampled() {
                    SamplingDecision::RecordAndSample
                } else {
                    SamplingDecision::Drop
                };
                (decision, parent.trace_state().clone())
            }
            Parent::Root | Parent::Deferring(_) => sample(None),
            Parent::Remote(parent) => sample(Some(parent)),
            // A sampler takes nothing but a span for a caller.
            Parent::Decided(flags) => {
                let caller = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
                sample(Some(&caller))
            }
        };
        let sampled = match decision {
            SamplingDecision::RecordAndSample => TraceFlags::SAMPLED,
            SamplingDecision::Drop | SamplingDecision::RecordOnly => TraceFlags::NOT_SAMPLED,
        };
        let context = SpanContext::new(trace_id, span_id, sampled | random, false, trace_state);
        // A record-only span would be seen by local processors alone; there are none.
        // Without an exporter the span only propagates the decision.
        if decision != SamplingDecision::RecordAndSample || !self.is_exporting() {
            return Span::non_recording(context);
        }
        let limit = self.pipeline.limits.attributes;
        let over = attributes.len().saturating_sub(limit);
        if over > 0 {
            attributes.truncate(limit);
            self.pipeline.dropped.attributes(over as u64);
        }
        let data = SpanData {
            span_context: context,
            parent_span_id,
            parent_span_is_remote: parent_is_remote,
            span_kind: start.kind,
            name: start.name,
            start_time: start.time,
            end_time: start.time,
            attributes,
            dropped_attributes_count: u32::try_from(over).unwrap_or(u32::MAX),
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: start.scope,
        };
        let mut span = Span::recording(data, Arc::clone(&self.pipeline));
        for attribute in samplers {
            span.set_attribute(attribute);
        }
        for link in start.links {
            span.add_link(link);
        }
        span
    }

    /// Queues a span that a guest made itself, if spans are exported.
    pub fn export(&self, span: SpanData) {
        self.pipeline.queue.push(&span);
    }

    /// A context below `parent` that is propagated and records nothing; it has the
    /// parent's sampling decision.
    pub fn non_recording(&self, parent: &SpanContext) -> SpanContext {
        SpanContext::new(
            parent.trace_id(),
            self.shared.ids.new_span_id(),
            parent.trace_flags() & (RANDOM | TraceFlags::SAMPLED),
            false,
            parent.trace_state().clone(),
        )
    }

    fn sample(
        &self,
        parent: Option<&SpanContext>,
        trace_id: opentelemetry::trace::TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
    ) -> SamplingResult {
        let context = parent.map(|parent| Context::new().with_remote_span_context(parent.clone()));
        let sampler = &self.shared.sampler;
        sampler.should_sample(context.as_ref(), trace_id, name, kind, attributes, &[])
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler;

    use super::*;
    use crate::config::batch::BatchConfig;

    /// Of a server whose traces go nowhere.
    fn silent(sampler: Sampler) -> Tracer {
        let dropped = Arc::new(Dropped::default());
        let queue = SpanQueue::new(BatchConfig::default(), false, Arc::default());
        let limits = SpanLimits::default();
        Tracer::new(Box::new(sampler), limits, Arc::new(queue), dropped)
    }

    fn start(parent: Parent<'_>) -> SpanStart<'_> {
        SpanStart {
            name: "span".into(),
            kind: SpanKind::Server,
            parent,
            attributes: vec![KeyValue::new("key", 1)],
            links: Vec::new(),
            time: SystemTime::UNIX_EPOCH,
            scope: InstrumentationScope::builder("scope").build(),
        }
    }

    #[test]
    fn where_traces_go_nowhere_spans_hand_on_the_decision_and_record_nothing() {
        for (sampler, is_sampled) in [(Sampler::AlwaysOn, true), (Sampler::AlwaysOff, false)] {
            let tracer = silent(sampler);
            let server = tracer.start(start(Parent::Root));
            let child = tracer.start(start(Parent::Local(server.context())));
            let unrecorded = tracer.non_recording(server.context());
            for (context, recording) in [
                (server.context(), server.is_recording()),
                (child.context(), child.is_recording()),
                (&unrecorded, false),
            ] {
                assert!(!recording);
                assert!(context.is_valid());
                assert_eq!(context.is_sampled(), is_sampled);
                assert_eq!(context.trace_id(), server.context().trace_id());
            }
            assert_ne!(child.context().span_id(), server.context().span_id());
        }
    }
}
