//! Contexts that are attached, followed on the host's stack of entered spans.
//!
//! Invariant: what is entered on the host are the contexts that are attached,
//! in their order. Nothing here asks for the current context: the observer is
//! called while that is borrowed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ::opentelemetry::Context;
use ::opentelemetry::context::{ContextObserver, GlobalContextObserver, ObserverContextView};
use ::opentelemetry::trace::{SpanContext, SpanId, TraceContextExt};

use super::values;
use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::entered::{self, Foreign};
use crate::stack::EntryId;

/// Begins to follow contexts. A second call does nothing.
pub(super) fn follow() {
    if !IS_FOLLOWING.replace(true) {
        GlobalContextObserver::set(Arc::new(Follower));
    }
}

/// Whether the active span of this context is the one attached last.
pub(super) fn is_innermost(context: &Context) -> bool {
    let Some(span) = host_span(context) else {
        return false;
    };
    ATTACHED.with_borrow(|all| {
        let last = all.last().and_then(|last| last.span.as_ref());
        last.is_some_and(|last| Arc::ptr_eq(last.0.handle(), span.0.handle()))
    })
}

/// The identity of the current span. The host is asked once for each span that
/// is entered.
pub(super) fn current() -> SpanContext {
    let entry = entered::topmost().map(|(entry, _)| entry);
    CURRENT.with_borrow_mut(|known| match known {
        Some((of, context)) if *of == entry => context.clone(),
        known => {
            let context = values::from_host(&crate::current_context());
            *known = Some((entry, context.clone()));
            context
        }
    })
}

/// Makes a span known, so that contexts with it can be followed.
pub(super) fn remember(context: &SpanContext, handle: &Arc<raw::Span>) {
    SPANS.with_borrow_mut(|spans| {
        let known = spans.entry(context.span_id()).or_default();
        // A span that the host has no room for has its parent's identity: the
        // parent stands for both.
        if known.strong_count() == 0 {
            *known = Arc::downgrade(handle);
        }
    });
}

/// Forgets a span, whose contexts go on being followed.
pub(super) fn forget(context: &SpanContext, handle: &Arc<raw::Span>) {
    SPANS.with_borrow_mut(|spans| {
        let id = context.span_id();
        let known = spans.get(&id).map(Weak::as_ptr);
        if known == Some(Arc::as_ptr(handle)) {
            spans.remove(&id);
        }
    });
}

struct Follower;

/// A span of ours in a context.
struct HostSpan(Foreign);

/// What the context carries for us.
struct View(Arc<HostSpan>);

/// A context that is attached, with its place on the host.
struct Attached {
    span: Option<Arc<HostSpan>>,
    entry: Option<EntryId>,
}

impl ObserverContextView for View {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ContextObserver for Follower {
    fn make_view(&self, context: &Context) -> Option<Arc<dyn ObserverContextView>> {
        if !context.has_active_span() {
            return None;
        }
        let id = context.span().span_context().span_id();
        let handle = SPANS.with_borrow(|spans| spans.get(&id).and_then(Weak::upgrade))?;
        Some(Arc::new(View(Arc::new(HostSpan(Foreign::new(handle))))))
    }

    fn on_context_enter(&self, _from: &Context, to: &Context) {
        let attached = Attached::enter(host_span(to));
        ATTACHED.with_borrow_mut(|all| all.push(attached));
    }

    fn on_context_exit(&self, _from: &Context, to: &Context) {
        let to = host_span(to);
        ATTACHED.with_borrow_mut(|all| {
            all.pop().into_iter().for_each(Attached::exit);
            // Nobody tells of a context that is detached from below another
            // one: it goes with that one.
            while let Some(gone) = all.pop_if(|last| !last.is_of(to.as_ref())) {
                gone.exit();
            }
        });
    }
}

impl Attached {
    fn enter(span: Option<Arc<HostSpan>>) -> Self {
        let entry = span.as_ref().map(|span| span.0.enter());
        Self { span, entry }
    }

    fn exit(self) {
        if let Some(entry) = self.entry {
            entered::exit(entry);
        }
    }

    fn is_of(&self, span: Option<&Arc<HostSpan>>) -> bool {
        match (&self.span, span) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

fn host_span(context: &Context) -> Option<Arc<HostSpan>> {
    let view = context.observer_view().as_ref()?;
    let View(span) = view.as_any().downcast_ref()?;
    Some(Arc::clone(span))
}

thread_local! {
    static IS_FOLLOWING: Cell<bool> = const { Cell::new(false) };
    static SPANS: RefCell<HashMap<SpanId, Weak<raw::Span>>> = RefCell::default();
    static ATTACHED: RefCell<Vec<Attached>> = const { RefCell::new(Vec::new()) };
    static CURRENT: RefCell<Option<(Option<EntryId>, SpanContext)>> = const { RefCell::new(None) };
}
