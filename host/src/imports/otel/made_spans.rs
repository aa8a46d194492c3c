//! The spans that one request's guest makes by itself, from `on-start` to
//! `on-end`.
//!
//! The host knows no more of an open one than its identity, and where it stands
//! among the current spans.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};

use crate::imports::current_span::ScopeHandle;

/// What tells a span from all others.
pub(super) type Identity = (TraceId, SpanId);

/// A guest's own spans. All are within its budget, so their number is bounded.
#[derive(Default)]
pub(in crate::imports) struct MadeSpans {
    open: HashMap<Identity, OpenSpan>,
    ended: HashSet<Identity>,
    started: u64,
    /// Starts over the budget, which are counted, and whose ends must not be.
    refused_starts: u64,
}

/// A span that has started and not ended.
pub(super) struct OpenSpan {
    pub(super) context: Arc<SpanContext>,
    /// What was current when it started.
    pub(super) above: Arc<SpanContext>,
    pub(super) started: SystemTime,
    pub(super) scope: ScopeHandle,
    /// Which of them it was.
    number: u64,
}

pub(super) fn identity(context: &SpanContext) -> Identity {
    (context.trace_id(), context.span_id())
}

impl MadeSpans {
    /// Whether it has started already, or ended.
    pub(super) fn knows(&self, id: Identity) -> bool {
        self.open.contains_key(&id) || self.ended.contains(&id)
    }

    pub(super) fn has_ended(&self, id: Identity) -> bool {
        self.ended.contains(&id)
    }

    /// Keeps a span until it ends.
    pub(super) fn start(
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

    /// Takes note of a start that is not kept.
    pub(super) fn refuse_start(&mut self) {
        self.refused_starts += 1;
    }

    /// Whether an end that is not kept belongs to a start that was not.
    pub(super) fn was_refused(&mut self) -> bool {
        let left = self.refused_starts.checked_sub(1);
        self.refused_starts = left.unwrap_or(0);
        left.is_some()
    }

    /// Takes the span that ends, if it had started.
    pub(super) fn take(&mut self, id: Identity) -> Option<OpenSpan> {
        self.open.remove(&id)
    }

    /// Takes note that a span has ended: it cannot do so twice.
    pub(super) fn end(&mut self, id: Identity) {
        self.ended.insert(id);
    }

    /// Takes all that are open, the latest first.
    pub(super) fn take_all(&mut self) -> Vec<OpenSpan> {
        let mut open: Vec<_> = self.open.drain().map(|(_, span)| span).collect();
        open.sort_unstable_by_key(|span| std::cmp::Reverse(span.number));
        open
    }
}
