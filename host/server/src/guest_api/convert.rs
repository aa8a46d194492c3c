//! What a guest says about spans, converted within the bounds of its request.
//!
//! Everything here takes from the request's [`TelemetryBudget`](crate::guest_api::budget::TelemetryBudget) before
//! it is kept.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::SpanData;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::guest_api::attributes::{convert_counting, cut, cut_text, time};
use crate::guest_api::bindings::fanlight::telemetry::tracing as wit;
use crate::guest_api::bindings::fanlight::telemetry::types::Attribute;
use crate::guest_api::budget::OverBudget;
use crate::guest_api::context::GuestTelemetry;
use crate::guest_api::open_spans::SpanHandle;
use crate::guest_api::scope::scope;
use fanlight_telemetry::propagation::{RANDOM, bytes_of, trace_state, tracestate};
use fanlight_telemetry::sizes;
use fanlight_telemetry::trace::limits::{AttributeLimits, MAX_TEXT_BYTES};
use fanlight_telemetry::trace::tracer::{Parent, SpanStart};

/// Where a guest hangs a span.
enum Above {
    Root,
    Local(Arc<SpanContext>),
    Remote(Arc<SpanContext>),
}

impl GuestTelemetry {
    /// Starts a span, recorded where the budget and the room allow.
    pub(crate) fn start_span(&mut self, name: String, options: wit::SpanOptions) -> SpanHandle {
        let above = self.above(options.parent);
        let is_exporting = self.signals.tracer.is_exporting();
        let unrecorded = match &above {
            Above::Local(parent) => !parent.is_sampled() || !is_exporting,
            Above::Root | Above::Remote(_) => false,
        };
        let parent = match &above {
            Above::Local(parent) | Above::Remote(parent) => Arc::clone(parent),
            Above::Root => self.request.span().shared_context(),
        };
        // What is not recorded is not worth converting. It has an identity of
        // its own as long as it would be within the budget.
        if unrecorded {
            return self.spans.unrecorded(parent, &self.signals.tracer);
        }
        let limits = self.signals.span_limits();
        let name = cut(name, MAX_TEXT_BYTES);
        let scope = scope(options.scope);
        let bytes = size_of::<SpanData>() + name.len() + sizes::scope(&scope);
        // Children of a span that is left out hang below the next one that is
        // kept: its own parent.
        if !self.spans.take_from_budget(self.room().take(bytes)) {
            self.signals.dropped().spans(1);
            return SpanHandle::non_recording(parent);
        }
        let mut lost_links = 0;
        let mut links = Vec::new();
        for link in options.links {
            if links.len() >= limits.links {
                lost_links += 1;
                continue;
            }
            match self.link(link) {
                Ok(link) => links.extend(link),
                Err(OverBudget) => lost_links += 1,
            }
        }
        let (attributes, over) = self.converted(options.attributes);
        let mut span = self.signals.tracer.start(SpanStart {
            name: name.into(),
            kind: match options.kind {
                wit::SpanKind::Internal => SpanKind::Internal,
                wit::SpanKind::Server => SpanKind::Server,
                wit::SpanKind::Client => SpanKind::Client,
                wit::SpanKind::Producer => SpanKind::Producer,
                wit::SpanKind::Consumer => SpanKind::Consumer,
            },
            parent: match &above {
                Above::Root => Parent::Root,
                Above::Local(parent) => Parent::Local(parent),
                Above::Remote(parent) => Parent::Remote(parent),
            },
            attributes,
            links,
            time: self.at(options.start_time),
            scope,
        });
        span.lose_attributes(over);
        for _ in 0..lost_links {
            span.lose_link();
        }
        self.spans.keep(span)
    }

    fn above(&self, parent: wit::SpanParent) -> Above {
        let context = match parent {
            wit::SpanParent::Current => return Above::Local(self.current.context()),
            wit::SpanParent::Root => return Above::Root,
            wit::SpanParent::Context(context) => context,
        };
        let Some(context) = span_context(&context) else {
            return Above::Root;
        };
        // The span and its handle keep one each, and there may be many handles.
        let context = if self.room().take(2 * sizes::context(&context)) {
            context
        } else {
            without_state(&context)
        };
        // A span of this very trace was sampled when it was made here.
        if context.trace_id() == self.request.span().context().trace_id() && !context.is_remote() {
            Above::Local(Arc::new(context))
        } else {
            Above::Remote(Arc::new(context))
        }
    }

    /// The attributes that are kept, and how many are not; those are counted
    /// for the process, not yet for the span.
    pub(crate) fn converted(&self, attributes: Vec<Attribute>) -> (Vec<KeyValue>, u32) {
        self.converted_within(attributes, self.signals.span_limits().of_span())
    }

    /// The same within other limits than a span's.
    pub(crate) fn converted_within(
        &self,
        attributes: Vec<Attribute>,
        limits: AttributeLimits,
    ) -> (Vec<KeyValue>, u32) {
        let dropped = self.signals.dropped();
        let (mut attributes, mut over) = convert_counting(attributes, limits, dropped);
        let without_room = self.room().keep(&mut attributes);
        dropped.attributes(u64::from(without_room));
        over += without_room;
        (attributes, over)
    }

    /// The time given, or now by the request's clock.
    pub(crate) fn at(&self, when: Option<Datetime>) -> SystemTime {
        when.map_or_else(|| self.request.clock().now(), time)
    }

    pub(crate) fn event(
        &self,
        name: String,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Result<Event, OverBudget> {
        let name = cut(name, MAX_TEXT_BYTES);
        let limits = self.signals.span_limits().of_event();
        let (attributes, over) = self.converted_within(attributes, limits);
        let mut event = Event::new(name, self.at(when), Vec::new(), over);
        self.room().demand(sizes::event(&event))?;
        event.attributes = attributes;
        Ok(event)
    }

    pub(crate) fn exception(
        &self,
        exception: wit::Exception,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Result<Event, OverBudget> {
        let mut event = self.event("exception".to_owned(), attributes, when)?;
        let limits = self.signals.span_limits().of_event();
        let named = [
            ("exception.type", Some(exception.exception_type)),
            ("exception.message", Some(exception.message)),
            ("exception.stacktrace", exception.stacktrace),
        ];
        // They stand first: what is over the limit of an event goes from its end.
        let mut at = 0;
        for (key, text) in named {
            let Some(text) = text else { continue };
            let text = cut_text(text, limits.value_length);
            event
                .attributes
                .retain(|attribute| attribute.key.as_str() != key);
            let mut attribute = vec![KeyValue::new(key, text)];
            let over = self.room().keep(&mut attribute);
            self.signals.dropped().attributes(u64::from(over));
            event.dropped_attributes_count += over;
            let kept = attribute.len();
            event.attributes.splice(at..at, attribute);
            at += kept;
        }
        Ok(event)
    }

    /// A link; none where the context is not valid.
    pub(crate) fn link(&self, link: wit::Link) -> Result<Option<Link>, OverBudget> {
        let Some(context) = span_context(&link.context) else {
            return Ok(None);
        };
        let limits = self.signals.span_limits().of_link();
        let (attributes, over) = self.converted_within(link.attributes, limits);
        let mut link = Link::new(context, Vec::new(), over);
        self.room().demand(sizes::link(&link))?;
        link.attributes = attributes;
        Ok(Some(link))
    }

    /// A status; a description that there is no room for is left out.
    pub(crate) fn status(&self, status: wit::Status) -> Status {
        match status {
            wit::Status::Unset => Status::Unset,
            wit::Status::Ok => Status::Ok,
            wit::Status::Error(description) => {
                let description = cut(description, MAX_TEXT_BYTES);
                if self.room().take(description.len()) {
                    Status::error(description)
                } else {
                    Status::error("")
                }
            }
        }
    }
}

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
