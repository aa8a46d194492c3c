//! The spans that a guest has entered and not left.
//!
//! The current one is the one entered last. A scope leaves the stack when its
//! handle is dropped, wherever it stands by then: at a cost that does not grow
//! with the order that a guest chooses.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;

/// The stack of entered spans, shared with the streams that the guest prints to.
pub(crate) struct CurrentSpan {
    server: Arc<SpanContext>,
    entered: Mutex<Entered>,
}

#[derive(Default)]
struct Entered {
    next: u64,
    /// By the order in which they were entered.
    stack: BTreeMap<u64, Arc<SpanContext>>,
}

/// What the guest's `scope` handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ScopeHandle {
    id: u64,
}

impl CurrentSpan {
    pub(crate) fn new(server: Arc<SpanContext>) -> Self {
        Self {
            server,
            entered: Mutex::default(),
        }
    }

    /// The span entered last, or the server span.
    pub(crate) fn context(&self) -> Arc<SpanContext> {
        let entered = self.entered.lock();
        match entered.stack.last_key_value() {
            Some((_, context)) => Arc::clone(context),
            None => Arc::clone(&self.server),
        }
    }

    /// Makes a span the current one. The engine's bound on live handles is the
    /// stack's as well.
    pub(crate) fn enter(&self, context: Arc<SpanContext>) -> ScopeHandle {
        let mut entered = self.entered.lock();
        let id = entered.next;
        entered.next += 1;
        entered.stack.insert(id, context);
        ScopeHandle { id }
    }

    /// Takes a scope out of the stack.
    pub(crate) fn leave(&self, scope: &ScopeHandle) {
        self.entered.lock().stack.remove(&scope.id);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    fn context(id: u64) -> Arc<SpanContext> {
        Arc::new(SpanContext::new(
            TraceId::from_bytes(1_u128.to_be_bytes()),
            SpanId::from_bytes(id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ))
    }

    #[test]
    fn scopes_leave_the_stack_wherever_they_stand() {
        let current = CurrentSpan::new(context(1));
        let outer = current.enter(context(2));
        let inner = current.enter(context(3));
        current.leave(&outer);
        assert_eq!(current.context(), context(3));
        current.leave(&inner);
        assert_eq!(current.context(), context(1));
        current.leave(&inner);
        assert_eq!(current.context(), context(1));
    }

    #[test]
    fn the_order_of_leaving_costs_nothing() {
        let current = CurrentSpan::new(context(1));
        let span = context(2);
        let begun = std::time::Instant::now();
        let scopes: Vec<_> = (0..100_000)
            .map(|_| current.enter(Arc::clone(&span)))
            .collect();
        for scope in &scopes {
            current.leave(scope);
        }
        assert_eq!(current.context(), context(1));
        // Searched for from the top, they took half a minute.
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    }
}
