//! The one stack of entered spans that an instance has, and the futures and foreign
//! spans that share it.
//!
//! Invariant: dropping a future or a span removes it from the stack.

use std::cell::RefCell;
use std::sync::Arc;

use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::stack::{Enter, EntryId, FutureId, Stack};

#[cfg(any(feature = "tracing", feature = "opentelemetry"))]
pub(crate) use foreign::{Foreign, exit, topmost};

impl Enter for Arc<raw::Span> {
    type Scope = Scope;

    fn enter(&self) -> Scope {
        Scope::Entered {
            _handle: raw::Span::enter(self),
        }
    }
}

/// What makes a span the current one on the host, until it is dropped.
pub(crate) enum Scope {
    /// The span was entered.
    Entered { _handle: raw::Scope },
    /// The span was started as the current one.
    Started(Arc<raw::Span>),
}

impl Drop for Scope {
    fn drop(&mut self) {
        // Where only the guard is left, it is being dropped, and the span's
        // handle with it, which leaves as well: a call to the host less.
        if let Self::Started(handle) = self
            && Arc::strong_count(handle) > 2
        {
            handle.leave();
        }
    }
}

/// Makes a span the current one.
pub(crate) fn enter(handle: &Arc<raw::Span>) -> EntryId {
    STACK.with_borrow_mut(|stack| stack.enter(Arc::clone(handle)))
}

/// Puts a span on the stack that was started as the current one.
pub(crate) fn started(handle: &Arc<raw::Span>) -> EntryId {
    let scope = Scope::Started(Arc::clone(handle));
    STACK.with_borrow_mut(|stack| stack.entered(Arc::clone(handle), scope))
}

/// Leaves a span that was [entered](enter), also while its future does not run.
pub(crate) fn leave(entry: EntryId) {
    STACK.with_borrow_mut(|stack| stack.leave(entry));
}

/// The part of the stack of a future that is polled in turns.
#[derive(Debug)]
pub(crate) struct Part(FutureId);

impl Part {
    /// Of a future that has entered nothing yet.
    pub(crate) fn new() -> Self {
        Self(STACK.with_borrow_mut(Stack::new_future))
    }

    /// Of a future that runs within a span for all its life.
    pub(crate) fn within(handle: Arc<raw::Span>) -> Self {
        Self(STACK.with_borrow_mut(|stack| stack.new_future_within(handle)))
    }

    /// Enters what the future had entered when it ran last.
    pub(crate) fn resume(&self) {
        STACK.with_borrow_mut(|stack| stack.resume(self.0));
    }

    /// Leaves what the future has entered; it was resumed last.
    pub(crate) fn suspend(&self) {
        STACK.with_borrow_mut(Stack::suspend);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        forget(|stack| stack.forget_future(self.0));
    }
}

/// Spans of other crates.
#[cfg(any(feature = "tracing", feature = "opentelemetry"))]
mod foreign {
    use std::sync::Arc;

    use super::{STACK, forget, raw};
    use crate::stack::{EntryId, ForeignId, Stack};

    /// A span that another crate enters and leaves at will.
    #[derive(Debug)]
    pub(crate) struct Foreign {
        handle: Arc<raw::Span>,
        id: ForeignId,
    }

    impl Foreign {
        pub(crate) fn new(handle: Arc<raw::Span>) -> Self {
            let id = STACK.with_borrow_mut(Stack::new_foreign);
            Self { handle, id }
        }

        #[cfg(feature = "opentelemetry")]
        pub(crate) fn handle(&self) -> &Arc<raw::Span> {
            &self.handle
        }

        /// Makes it the current one: see [`Stack::enter_again`].
        pub(crate) fn enter(&self) -> EntryId {
            STACK.with_borrow_mut(|stack| stack.enter_again(Arc::clone(&self.handle), self.id))
        }
    }

    impl Drop for Foreign {
        fn drop(&mut self) {
            forget(|stack| stack.forget_foreign(self.id));
        }
    }

    /// Leaves a span of another crate: see [`Stack::exit`].
    pub(crate) fn exit(entry: EntryId) {
        STACK.with_borrow_mut(|stack| stack.exit(entry));
    }

    /// The span that is the current one, unless it is the server span.
    pub(crate) fn topmost() -> Option<(EntryId, Arc<raw::Span>)> {
        STACK.with_borrow(|stack| {
            let (entry, handle) = stack.topmost()?;
            Some((entry, Arc::clone(handle)))
        })
    }
}

/// Changes the stack, unless the thread has dropped it already.
fn forget(change: impl FnOnce(&mut Stack<Arc<raw::Span>>)) {
    // An error says that there is nothing left to forget.
    let _ = STACK.try_with(|stack| change(&mut stack.borrow_mut()));
}

thread_local! {
    static STACK: RefCell<Stack<Arc<raw::Span>>> = const { RefCell::new(Stack::new()) };
}
