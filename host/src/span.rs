//! Spans that belong to the host: made here, changed by host and guest, and
//! handed to the [`SpanQueue`] when they end.
//!
//! The SDK's own span appends where a key is set twice, drops the latest
//! attributes at its limit and lets `Ok` stand over a trap. These spans keep
//! one value a key, so what is exported is what was said last.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample, SpanData,
    SpanEvents, SpanLinks,
};

use crate::propagation::RANDOM;
use crate::span_limits::SpanLimits;
use crate::telemetry::{Dropped, SpanQueue};

/// Where a new span hangs.
pub(crate) enum Parent<'a> {
    /// Nowhere: it begins a trace.
    Root,
    /// Nowhere, and a caller without a span has decided on the trace's sampling.
    Decided(TraceFlags),
    /// Below a span of this process, whose sampling decision holds.
    Local(&'a SpanContext),
    /// Below a span that somebody else names.
    Remote(&'a SpanContext),
    /// The same, where the sampling is left to this service.
    Deferring(&'a SpanContext),
}

/// What is known of a span when it starts.
pub(crate) struct SpanStart<'a> {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) parent: Parent<'a>,
    /// No key may stand in them twice.
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
    pub(crate) time: SystemTime,
    pub(crate) scope: InstrumentationScope,
}

/// Starts spans: asks the sampler, makes the ids.
#[derive(Clone)]
pub struct Tracer {
    shared: Arc<TracerShared>,
}

struct TracerShared {
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
    limits: SpanLimits,
    queue: Arc<SpanQueue>,
    dropped: Arc<Dropped>,
}

impl Tracer {
    pub(crate) fn new(
        sampler: Box<dyn ShouldSample>,
        limits: SpanLimits,
        queue: Arc<SpanQueue>,
        dropped: Arc<Dropped>,
    ) -> Self {
        Self {
            shared: Arc::new(TracerShared {
                sampler,
                ids: RandomIdGenerator::default(),
                limits,
                queue,
                dropped,
            }),
        }
    }

    pub(crate) fn limits(&self) -> &SpanLimits {
        &self.shared.limits
    }

    pub(crate) fn dropped(&self) -> &Arc<Dropped> {
        &self.shared.dropped
    }

    /// Starts a span.
    pub(crate) fn start(&self, start: SpanStart<'_>) -> Span {
        let ids = &self.shared.ids;
        let span_id = ids.new_span_id();
        let (trace_id, parent_span_id, parent_is_remote, random) = match start.parent {
            // The generator's ids are random from end to end.
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
            // Every standard sampler decides for a local child as it did for
            // the parent, so the parent's flag is the answer.
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
        if decision != SamplingDecision::RecordAndSample {
            return Span {
                context,
                recording: None,
            };
        }
        let limit = self.shared.limits.attributes;
        let over = attributes.len().saturating_sub(limit);
        if over > 0 {
            attributes.truncate(limit);
            self.shared.dropped.attributes(over as u64);
        }
        let mut span = Span {
            recording: Some(Box::new(Recording {
                data: SpanData {
                    span_context: context.clone(),
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
                },
                shared: Arc::clone(&self.shared),
            })),
            context,
        };
        for attribute in samplers {
            span.set_attribute(attribute);
        }
        for link in start.links {
            span.add_link(link);
        }
        span
    }

    /// Queues a span that a guest has made by itself, unless nobody wants spans.
    pub(crate) fn export(&self, span: SpanData) {
        self.shared.queue.push(&span);
    }

    /// A context that is handed on but records nothing, below `parent`.
    pub(crate) fn non_recording(&self, parent: &SpanContext) -> SpanContext {
        SpanContext::new(
            parent.trace_id(),
            self.shared.ids.new_span_id(),
            parent.trace_flags() & RANDOM,
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

/// A span that has started and not ended yet.
///
/// A span that is dropped without [`Span::end`] is lost: its owner ends it.
pub(crate) struct Span {
    context: SpanContext,
    recording: Option<Box<Recording>>,
}

struct Recording {
    data: SpanData,
    shared: Arc<TracerShared>,
}

impl Span {
    pub(crate) fn context(&self) -> &SpanContext {
        &self.context
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    pub(crate) fn update_name(&mut self, name: Cow<'static, str>) {
        if let Some(recording) = &mut self.recording {
            recording.data.name = name;
        }
    }

    /// Sets an attribute within the limit; the last value of a key counts.
    pub(crate) fn set_attribute(&mut self, attribute: KeyValue) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let limit = recording.shared.limits.attributes;
        if !put(&mut recording.data.attributes, attribute, limit) {
            recording.data.dropped_attributes_count += 1;
            recording.shared.dropped.attributes(1);
        }
    }

    /// Replaces all attributes, whatever their number: for an owner that keeps
    /// its own account of them. `dropped` are those that were dropped since the
    /// start; what was over the limit then is counted already.
    pub(crate) fn replace_attributes(&mut self, attributes: Vec<KeyValue>, dropped: u32) {
        if let Some(recording) = &mut self.recording {
            let data = &mut recording.data;
            data.attributes = attributes;
            data.dropped_attributes_count = data.dropped_attributes_count.saturating_add(dropped);
        }
    }

    /// Takes the attributes out, for whoever keeps them until the end.
    pub(crate) fn take_attributes(&mut self) -> Vec<KeyValue> {
        match &mut self.recording {
            Some(recording) => std::mem::take(&mut recording.data.attributes),
            None => Vec::new(),
        }
    }

    /// Whether an event would be kept, with room for `reserved` later ones;
    /// counts the one that would not. Asked before an event is built, which
    /// may cost a walk of the guest's stack.
    pub(crate) fn takes_event(&mut self, reserved: usize) -> bool {
        let Some(recording) = &mut self.recording else {
            return false;
        };
        let limit = recording.shared.limits.events.saturating_sub(reserved);
        let takes = recording.data.events.events.len() < limit;
        if !takes {
            self.lose_event();
        }
        takes
    }

    /// Counts an event that was not kept.
    pub(crate) fn lose_event(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.data.events.dropped_count += 1;
            recording.shared.dropped.events(1);
        }
    }

    /// Adds an event within the limit, with room kept for `reserved` later ones.
    pub(crate) fn add_event(&mut self, event: Event, reserved: usize) {
        if self.takes_event(reserved)
            && let Some(recording) = &mut self.recording
        {
            recording.data.events.events.push(event);
        }
    }

    /// Counts a link that was not kept.
    pub(crate) fn lose_link(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.data.links.dropped_count += 1;
            recording.shared.dropped.links(1);
        }
    }

    /// Counts attributes that were not kept and are in the process's count already.
    pub(crate) fn lose_attributes(&mut self, count: u32) {
        if let Some(recording) = &mut self.recording {
            recording.data.dropped_attributes_count += count;
        }
    }

    pub(crate) fn add_link(&mut self, link: Link) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.data.links.links.len() < recording.shared.limits.links {
            recording.data.links.links.push(link);
        } else {
            self.lose_link();
        }
    }

    /// Sets the status by the specification's order: `Ok` is final, `Unset`
    /// says nothing.
    pub(crate) fn set_status(&mut self, status: Status) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        let current = &mut recording.data.status;
        match (&*current, &status) {
            (Status::Ok, _) | (_, Status::Unset) => {}
            _ => *current = status,
        }
    }

    /// Sets the status whatever was said before: the host's own word.
    pub(crate) fn override_status(&mut self, status: Status) {
        if let Some(recording) = &mut self.recording {
            recording.data.status = status;
        }
    }

    /// Ends the span and queues it for export. A second end is ignored.
    pub(crate) fn end(&mut self, time: SystemTime) {
        let Some(recording) = self.recording.take() else {
            return;
        };
        let Recording { mut data, shared } = *recording;
        // An end before the start comes from a guest's own clock.
        data.end_time = time.max(data.start_time);
        let over = shared.limits.enforce(&mut data);
        if over > 0 {
            shared.dropped.attributes(u64::from(over));
        }
        shared.queue.push(&data);
    }
}

/// Puts one value a key into `attributes`; false where `limit` leaves no room.
pub(crate) fn put(attributes: &mut Vec<KeyValue>, attribute: KeyValue, limit: usize) -> bool {
    if let Some(known) = attributes
        .iter_mut()
        .find(|known| known.key == attribute.key)
    {
        known.value = attribute.value;
        return true;
    }
    if attributes.len() >= limit {
        return false;
    }
    attributes.push(attribute);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_and_the_limit_holds() {
        let mut attributes = Vec::new();
        assert!(put(&mut attributes, KeyValue::new("a", 1), 2));
        assert!(put(&mut attributes, KeyValue::new("b", 1), 2));
        assert!(!put(&mut attributes, KeyValue::new("c", 1), 2));
        assert!(put(&mut attributes, KeyValue::new("a", 2), 2));
        assert_eq!(attributes, [KeyValue::new("a", 2), KeyValue::new("b", 1)]);
    }
}
