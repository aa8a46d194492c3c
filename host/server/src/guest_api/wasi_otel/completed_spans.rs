//! The spans that one request's guest makes by itself, from `on-start` to
//! `on-end`.
//!
//! The host knows no more of an open one than its identity, and where it stands
//! among the current spans.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};

use crate::guest_api::current_span::ScopeHandle;

/// What tells a span from all others.
pub(crate) type Identity = (TraceId, SpanId);

/// A guest's own spans. All are within its budget, so their number is bounded.
#[derive(Default)]
pub(crate) struct CompletedSpans {
    open: HashMap<Identity, OpenSpan>,
    ended: HashSet<Identity>,
    started: u64,
    /// Starts over the budget, which are counted, and whose ends must not be.
    refused_starts: u64,
}

/// A span that has started and not ended.
pub(crate) struct OpenSpan {
    pub(crate) context: Arc<SpanContext>,
    /// What was current when it started.
    pub(crate) above: Arc<SpanContext>,
    pub(crate) started: SystemTime,
    pub(crate) scope: ScopeHandle,
    /// Which of them it was.
    number: u64,
}

pub(crate) fn identity(context: &SpanContext) -> Identity {
    (context.trace_id(), context.span_id())
}

impl CompletedSpans {
    /// Whether it has started already, or ended.
    pub(crate) fn knows(&self, id: Identity) -> bool {
        self.open.contains_key(&id) || self.ended.contains(&id)
    }

    pub(crate) fn has_ended(&self, id: Identity) -> bool {
        self.ended.contains(&id)
    }

    /// Keeps a span until it ends.
    pub(crate) fn start(
        &mut self,
        context: Arc<SpanContext>,
        above: Arc<SpanContext>,
        started: SystemTime,
        scope: ScopeHandle,
    ) {
        let span = OpenSpan {
            above,
            started,
            scope,
            number: self.started,
            context: Arc::clone(&context),
        };
        self.started += 1;
        self.open.insert(identity(&context), span);
    }

    /// Counts a start that is not kept.
    pub(crate) fn refuse_start(&mut self) {
        self.refused_starts += 1;
    }

    /// Whether an end that is not kept belongs to a start that was not.
    pub(crate) fn was_refused(&mut self) -> bool {
        let left = self.refused_starts.checked_sub(1);
        self.refused_starts = left.unwrap_or(0);
        left.is_some()
    }

    /// Takes the span that ends, if it had started.
    pub(crate) fn take(&mut self, id: Identity) -> Option<OpenSpan> {
        self.open.remove(&id)
    }

    /// Marks a span as ended: it cannot end twice.
    pub(crate) fn end(&mut self, id: Identity) {
        self.ended.insert(id);
    }

    /// Takes all that are open, the latest first.
    pub(crate) fn take_all(&mut self) -> Vec<OpenSpan> {
        let mut open: Vec<_> = self.open.drain().map(|(_, span)| span).collect();
        open.sort_unstable_by_key(|span| std::cmp::Reverse(span.number));
        open
    }
}
