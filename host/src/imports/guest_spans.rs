//! The spans that one request's guest has started and not ended.
//!
//! They stand here rather than in the guest's table of handles, so that a trap
//! takes the handles and leaves the spans.

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, Status};

use crate::server_span::{FailureWord, ServerSpan};
use crate::span::Span;

/// Spans by the number that their handles carry.
pub(crate) struct GuestSpans {
    open: Vec<Option<Span>>,
    budget: usize,
    over_budget: u64,
}

/// What the guest's `span` handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SpanHandle {
    /// None for a span that was over the budget or not sampled.
    pub(super) key: Option<usize>,
    pub(super) context: SpanContext,
}

/// Why the host ends what a guest left open.
#[derive(Clone, Copy)]
pub(crate) enum SpansEnded {
    /// The guest returned.
    Returned,
    /// The guest trapped.
    Trapped,
    /// The guest was dropped where it stood, for the request's reason or
    /// because its time after the answer was over.
    CutOff(FailureWord),
}

impl GuestSpans {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            open: Vec::new(),
            budget,
            over_budget: 0,
        }
    }

    /// Whether another span may be recorded; counts the one that may not.
    pub(super) fn take_from_budget(&mut self) -> bool {
        if self.budget == 0 {
            self.over_budget += 1;
            return false;
        }
        self.budget -= 1;
        true
    }

    /// Keeps a span until it ends.
    pub(super) fn keep(&mut self, span: Span) -> SpanHandle {
        let context = span.context().clone();
        let key = span.is_recording().then(|| {
            self.open.push(Some(span));
            self.open.len() - 1
        });
        SpanHandle { key, context }
    }

    /// The span behind a handle, unless it has ended.
    pub(super) fn get(&mut self, handle: &SpanHandle) -> Option<&mut Span> {
        self.open.get_mut(handle.key?)?.as_mut()
    }

    /// Takes the span behind a handle, to end it.
    pub(super) fn take(&mut self, handle: &SpanHandle) -> Option<Span> {
        self.open.get_mut(handle.key?)?.take()
    }

    /// Ends all that are open, innermost first, and says so on each.
    pub(super) fn end_all(&mut self, why: SpansEnded, server: &ServerSpan) {
        let now = server.clock().now();
        let mut unfinished = 0;
        for span in self.open.iter_mut().rev() {
            let Some(mut span) = span.take() else {
                continue;
            };
            unfinished += 1;
            span.set_attribute(KeyValue::new("fanlight.span.unfinished", true));
            let failure = match why {
                SpansEnded::Returned => None,
                SpansEnded::Trapped => Some("trap"),
                SpansEnded::CutOff(word) => Some(word),
            };
            if let Some(word) = failure {
                span.set_attribute(KeyValue::new("error.type", word));
                span.override_status(Status::error(word));
            }
            span.end(now);
        }
        self.open.clear();
        if unfinished > 0 {
            server.set_host_attribute(KeyValue::new("fanlight.spans.unfinished", unfinished));
        }
        if self.over_budget > 0 {
            let dropped = i64::try_from(self.over_budget).unwrap_or(i64::MAX);
            server.set_host_attribute(KeyValue::new("fanlight.spans.dropped", dropped));
        }
    }
}
