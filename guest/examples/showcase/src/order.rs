//! Spans ended, left and used in an order that is not the usual one.

use std::mem;

use fanlight_guest::{Request, Response, Span, attributes, span};

use crate::{done, number};

/// `parent` ends before `child` does.
pub(crate) fn out_of_order() -> Response {
    let parent = Span::builder("parent").start();
    let child = Span::builder("child").parent(&parent.context()).start();
    parent.end();
    child.set_attribute("set", "after the parent's end");
    child.end();
    done()
}

/// What is said to `ended` after its end is ignored, but it can be entered.
pub(crate) fn use_after_end() -> Response {
    let span = Span::builder("ended").start();
    span.set_attribute("kept", true);
    span.end();
    span.set_attribute("kept", false);
    span.set_attribute("late", true);
    span.add_event("late", &attributes![]);
    span.update_name("late");
    span.end();
    let _guard = span.enter();
    drop(span!("child_of_ended"));
    done()
}

/// Scopes are left first in, first out: what is current is the one left.
pub(crate) fn dropped_scope_order() -> Response {
    let (a, b) = (Span::builder("a").start(), Span::builder("b").start());
    let (in_a, in_b) = (a.enter(), b.enter());
    drop(in_a);
    drop(span!("under_b"));
    drop(in_b);
    drop(span!("under_server"));
    done()
}

/// The same by guards of spans that are current from their start. `b` is
/// entered once more and stays the current one after its first guard.
pub(crate) fn dropped_guard_order() -> Response {
    let (in_a, in_b) = (span!("a"), span!("b"));
    drop(in_a);
    drop(span!("under_b"));
    let again = in_b.enter();
    drop(in_b);
    drop(span!("under_b_again"));
    drop(again);
    drop(span!("under_server"));
    done()
}

/// n spans in a row.
pub(crate) fn many_spans(request: &Request) -> Response {
    for _ in 0..number(request, "n", 10) {
        drop(Span::builder("many").start());
    }
    done()
}

/// n spans that are open when the component returns.
pub(crate) fn open_spans(request: &Request) -> Response {
    let spans = (0..number(request, "n", 10)).map(|_| Span::builder("open").start());
    mem::forget(spans.collect::<Vec<_>>());
    done()
}
