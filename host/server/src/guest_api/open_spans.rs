//! The spans that one request's guest has started and not ended.
//!
//! They stand here rather than in the guest's table of handles, so that a trap
//! takes the handles and leaves the spans.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, SpanContext, Status};

use crate::guest_api::budget::OverBudget;
use crate::guest_api::current_span::ScopeHandle;
use crate::request::context::RequestContext;
use crate::request::server_span::ErrorType;
use crate::request::usage::GuestUsage;
use fanlight_telemetry::trace::span::Span;
use fanlight_telemetry::trace::tracer::Tracer;

/// Spans by the number that their handles carry.
pub(crate) struct GuestSpans {
    open: Vec<Option<Span>>,
    budget: usize,
    /// Where those are counted that are not kept: the server span may end before
    /// the guest does, and tells what is known by then.
    usage: Arc<GuestUsage>,
}

/// What the guest's `span` handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SpanHandle {
    /// None for a span that was over the budget or not sampled.
    key: Option<usize>,
    /// Shared, as a guest may hold handles by the ten thousand.
    pub(crate) context: Arc<SpanContext>,
    /// Present where the handle itself makes the span the current one.
    pub(crate) entered: Option<ScopeHandle>,
}

impl SpanHandle {
    /// Stands for a span that records nothing.
    pub(crate) fn non_recording(context: Arc<SpanContext>) -> Self {
        Self {
            key: None,
            context,
            entered: None,
        }
    }
}

/// Why the host ends what a guest left open.
#[derive(Clone, Copy)]
pub(crate) enum SpansEnded {
    /// The guest returned.
    Returned,
    /// The guest trapped, or exited with a failure.
    Failed(ErrorType),
    /// The guest was dropped where it stood, for the request's reason or
    /// because its time after the answer was over.
    CutOff(ErrorType),
}

impl SpansEnded {
    /// The value of `error.type` on what was left open, where that is an error.
    pub(crate) fn failure(self) -> Option<ErrorType> {
        match self {
            Self::Returned => None,
            Self::Failed(word) | Self::CutOff(word) => Some(word),
        }
    }
}

impl GuestSpans {
    pub(crate) fn new(budget: usize, usage: Arc<GuestUsage>) -> Self {
        Self {
            open: Vec::new(),
            budget,
            usage,
        }
    }

    /// Whether another span may be recorded, given whether there is room for
    /// it; counts the one that may not.
    pub(crate) fn take_from_budget(&mut self, has_room: bool) -> bool {
        let taken = self.take_one(has_room);
        if !taken {
            self.lose();
        }
        taken
    }

    /// The same, and counts nothing.
    pub(crate) fn take_one(&mut self, has_room: bool) -> bool {
        let left = self.budget.checked_sub(1).filter(|_| has_room);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

    /// Counts a span that was not kept.
    pub(crate) fn lose(&self) {
        self.usage.drop_span();
    }

    /// A span that is not sampled, or not exported. Over the budget it has no
    /// identity of its own, which would only take memory.
    pub(crate) fn unrecorded(&mut self, parent: Arc<SpanContext>, tracer: &Tracer) -> SpanHandle {
        if self.take_one(true) {
            SpanHandle::non_recording(Arc::new(tracer.non_recording(&parent)))
        } else {
            SpanHandle::non_recording(parent)
        }
    }

    /// Keeps a span until it ends.
    pub(crate) fn keep(&mut self, span: Span) -> SpanHandle {
        let context = Arc::new(span.context().clone());
        let key = span.is_recording().then(|| {
            self.open.push(Some(span));
            self.open.len() - 1
        });
        SpanHandle {
            key,
            context,
            entered: None,
        }
    }

    /// Whether an event of the span would be kept; counts the one that would not.
    pub(crate) fn takes_event(&mut self, handle: &SpanHandle) -> bool {
        self.get(handle).is_some_and(|span| span.takes_event(0))
    }

    /// Adds an event, or counts the one that there was no room for.
    pub(crate) fn add_event(&mut self, handle: &SpanHandle, event: Result<Event, OverBudget>) {
        if let Some(span) = self.get(handle) {
            match event {
                Ok(event) => span.add_event(event, 0),
                Err(OverBudget) => span.lose_event(),
            }
        }
    }

    /// The span behind a handle, unless it has ended.
    pub(crate) fn get(&mut self, handle: &SpanHandle) -> Option<&mut Span> {
        self.open.get_mut(handle.key?)?.as_mut()
    }

    /// Takes the span behind a handle, to end it.
    pub(crate) fn take(&mut self, handle: &SpanHandle) -> Option<Span> {
        self.open.get_mut(handle.key?)?.take()
    }

    /// Ends all that are open, innermost first, and says so on each. Tells the
    /// server span how many they are, with those that the guest `made`.
    pub(crate) fn end_all(&mut self, why: SpansEnded, made: i64, request: &RequestContext) {
        let now = request.clock().now();
        let mut unfinished = made;
        for span in self.open.iter_mut().rev() {
            let Some(mut span) = span.take() else {
                continue;
            };
            unfinished += 1;
            span.set_attribute(KeyValue::new("fanlight.span.unfinished", true));
            if let Some(word) = why.failure() {
                span.set_attribute(KeyValue::new("error.type", word));
                span.override_status(Status::error(word));
            }
            span.end(now);
        }
        self.open.clear();
        if unfinished > 0 {
            let unfinished = KeyValue::new("fanlight.spans.unfinished", unfinished);
            request.span().set_host_attribute(unfinished);
        }
    }
}
