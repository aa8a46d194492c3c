//! Spans: a handle each to what the host records.
//!
//! The host keeps the spans; see [`entered`] for the order in which they were
//! entered.

use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::exception::Exception;
use crate::span_builder::SpanBuilder;
use crate::stack::EntryId;
use crate::value::{self, Attribute, Value};
use crate::{SpanContext, SpanKind, Status, entered, recording};

/// Starts a span and makes it the current one until the guard is dropped.
///
/// The span ends with its guard, so spans nest by scope, also across `.await`.
/// Bind the guard to a name: `let _ = span!(..)` drops it at once. The name may
/// be preceded by the kind: `internal` (the default), `server`, `client`,
/// `producer` or `consumer`. For everything else there is [`Span::builder`].
///
/// Where the trace is not recorded, values that are not literals are not
/// computed.
///
/// ```no_run
/// # use fanlight_guest::span;
/// let table = "users";
/// let span = span!(client "fetch_users", "db.collection.name" = table);
/// let rows = {
///     let _span = span!("decode");
///     3
/// };
/// span.set_attribute("result.count", rows);
/// ```
#[macro_export]
macro_rules! span {
    ($name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Internal, $name $(, $($attributes)*)?)
    };
    (internal $name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Internal, $name $(, $($attributes)*)?)
    };
    (server $name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Server, $name $(, $($attributes)*)?)
    };
    (client $name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Client, $name $(, $($attributes)*)?)
    };
    (producer $name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Producer, $name $(, $($attributes)*)?)
    };
    (consumer $name:expr $(, $($attributes:tt)*)?) => {
        $crate::span!(@ Consumer, $name $(, $($attributes)*)?)
    };
    (@ $kind:ident, $name:expr $(,)?) => {
        $crate::EnteredSpan::start(
            ::core::convert::AsRef::<str>::as_ref(&$name),
            $crate::SpanKind::$kind,
            &[],
        )
    };
    // One token each: `literal` would take the minus before anything else as well,
    // and then match nothing.
    (@ $kind:ident, $name:expr $(, $key:tt = $value:tt)+ $(,)?) => {
        $crate::span!(@tokens $kind, $name $(, $key = $value)+)
    };
    (@ $kind:ident, $name:expr $(, $key:tt = $value:expr)+ $(,)?) => {
        $crate::span!(@values $kind, $name $(, $key = $value)+)
    };
    // Literals cost less than the question whether anybody wants them.
    (@tokens $kind:ident, $name:expr $(, $key:tt = $value:literal)+) => {
        $crate::EnteredSpan::start(
            ::core::convert::AsRef::<str>::as_ref(&$name),
            $crate::SpanKind::$kind,
            &$crate::attributes![$($key = $value),+],
        )
    };
    (@tokens $kind:ident, $name:expr $(, $key:tt = $value:tt)+) => {
        $crate::span!(@values $kind, $name $(, $key = $value)+)
    };
    (@values $kind:ident, $name:expr $(, $key:tt = $value:expr)+) => {
        match &$name {
            name => {
                let name = ::core::convert::AsRef::<str>::as_ref(name);
                let kind = $crate::SpanKind::$kind;
                if $crate::is_recording() {
                    $crate::EnteredSpan::start(name, kind, &$crate::attributes![$($key = $value),+])
                } else {
                    $crate::EnteredSpan::start(name, kind, &[])
                }
            }
        }
    };
}

/// A span that is not necessarily the current one.
///
/// It ends when it is dropped and no guard is left, or before that by
/// [`end`](Span::end). The host ignores changes after its end.
#[derive(Debug)]
pub struct Span {
    handle: Arc<raw::Span>,
    /// False where the host is known not to record it; absent where it is recorded
    /// if a span below the current one is.
    is_kept: Option<bool>,
}

impl Span {
    /// Begins the description of a span.
    pub fn builder(name: &str) -> SpanBuilder<'_> {
        SpanBuilder::new(name)
    }

    pub(crate) fn start(name: &str, options: raw::SpanOptions<'_>) -> Self {
        let is_below_current = matches!(options.parent, raw::SpanParent::Current);
        let handle = raw::Span::start(name, options);
        let is_kept = (!is_below_current).then(|| {
            // In a trace that is not recorded, a span of another trace may be.
            let is_kept = recording::may_record() || handle.is_recording();
            if is_kept {
                recording::note_recorded_span();
            }
            is_kept
        });
        Self {
            handle: Arc::new(handle),
            is_kept,
        }
    }

    /// Whether changes to it have to cross to the host.
    fn is_kept(&self) -> bool {
        self.is_kept.unwrap_or_else(recording::may_record)
    }

    pub(crate) fn handle(&self) -> &Arc<raw::Span> {
        &self.handle
    }

    /// Makes the span the current one until the guard is dropped.
    ///
    /// The guard keeps the span from ending: it ends when both are dropped.
    pub fn enter(&self) -> EnteredSpan {
        let span = Self {
            handle: Arc::clone(&self.handle),
            is_kept: self.is_kept,
        };
        span.entered()
    }

    /// Makes the span the current one; it ends with the guard.
    pub fn entered(self) -> EnteredSpan {
        let entry = entered::enter(&self.handle);
        EnteredSpan { entry, span: self }
    }

    /// Sets an attribute; a key that is set already gets the new value.
    pub fn set_attribute<'a>(&self, key: &'a str, value: impl Into<Value<'a>>) {
        if self.is_kept() {
            let attribute = Attribute::new(key, value);
            self.handle.set_attributes(&[attribute.as_raw()]);
        }
    }

    /// Sets several attributes at once, which is cheaper than one by one.
    pub fn set_attributes(&self, attributes: &[Attribute<'_>]) {
        if self.is_kept() {
            value::with_raw(attributes, |attributes| {
                self.handle.set_attributes(attributes)
            });
        }
    }

    /// Adds an event that happens now.
    pub fn add_event(&self, name: &str, attributes: &[Attribute<'_>]) {
        if self.is_kept() {
            self.handle
                .add_event(name, &value::as_raw(attributes), None);
        }
    }

    /// Adds an event that happened at another time.
    pub fn add_event_at(&self, name: &str, time: SystemTime, attributes: &[Attribute<'_>]) {
        if self.is_kept() {
            self.handle
                .add_event(name, &value::as_raw(attributes), Some(time.into()));
        }
    }

    /// Records an error as an `exception` event.
    ///
    /// Takes a reference to any error, or an [`Exception`] that says more. The
    /// host adds the component's own stack where the exception brings none. The
    /// status stays as it is: see [`set_status`](Span::set_status).
    pub fn record_exception<'a>(&self, exception: impl Into<Exception<'a>>) {
        if !self.is_kept() {
            return;
        }
        let exception = exception.into();
        self.handle.record_exception(
            exception.as_raw(),
            &value::as_raw(exception.attributes),
            exception.time.map(Into::into),
        );
    }

    /// Records an error under a type's name of its own, such as `ValueError`.
    pub fn record_exception_as(&self, exception_type: &str, message: impl std::fmt::Display) {
        if self.is_kept() {
            self.record_exception(Exception::new(exception_type, message.to_string()));
        }
    }

    /// Says how the work turned out.
    ///
    /// [`Status::Ok`] is final.
    pub fn set_status(&self, status: Status<'_>) {
        if self.is_kept() {
            self.handle.set_status(status);
        }
    }

    /// Replaces the name.
    pub fn update_name(&self, name: &str) {
        if self.is_kept() {
            self.handle.update_name(name);
        }
    }

    /// Adds a reference to another span.
    pub fn add_link(&self, context: &SpanContext, attributes: &[Attribute<'_>]) {
        if self.is_kept() {
            self.handle.add_link(raw::Link {
                context,
                attributes: &value::as_raw(attributes),
            });
        }
    }

    /// Returns the span's identity, for headers and links.
    pub fn context(&self) -> SpanContext {
        self.handle.context()
    }

    /// Tells whether anything said to the span is kept.
    ///
    /// Costly attributes can be spared where it is not. In a trace that is not
    /// recorded the answer costs no call to the host.
    ///
    /// ```no_run
    /// # use fanlight_guest::{Span, attributes};
    /// # let (span, rows) = (Span::builder("select").start(), vec!["Ada"]);
    /// if span.is_recording() {
    ///     span.add_event("rows", &attributes!["rows" = format!("{rows:?}")]);
    /// }
    /// ```
    pub fn is_recording(&self) -> bool {
        self.is_kept() && self.handle.is_recording()
    }

    /// Ends the span now.
    pub fn end(&self) {
        if self.is_kept() {
            self.handle.end(None);
        }
    }

    /// Ends the span at another time.
    pub fn end_at(&self, time: SystemTime) {
        if self.is_kept() {
            self.handle.end(Some(time.into()));
        }
    }
}

/// A span that is the current one until this guard is dropped.
///
/// Guards may be dropped in any order: the current span is the one entered
/// last of those that are left, and the span ends with its guard. One that
/// outlives the future it was made in, by [`join`](crate::join()) and its like,
/// then belongs to the future that waited for it.
///
/// One that is made while a span of the crates `tracing` or `opentelemetry` is
/// entered belongs to that: it is current only while that is. A span that is left
/// for good looks the same as one whose future waits, and what a waiting future
/// holds must not be above what others do meanwhile.
#[derive(Debug)]
#[must_use = "the span is left as soon as the guard is dropped"]
pub struct EnteredSpan {
    entry: EntryId,
    span: Span,
}

impl EnteredSpan {
    /// What [`span!`](crate::span!) does.
    #[doc(hidden)]
    pub fn start(name: &str, kind: SpanKind, attributes: &[Attribute<'_>]) -> Self {
        let handle = value::with_raw(attributes, |attributes| {
            raw::Span::start_entered(name, kind, attributes)
        });
        let handle = Arc::new(handle);
        let entry = entered::started(&handle);
        let span = Span {
            handle,
            is_kept: None,
        };
        Self { entry, span }
    }
}

impl Deref for EnteredSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl Drop for EnteredSpan {
    fn drop(&mut self) {
        entered::leave(self.entry);
    }
}

/// Returns the identity of the current span, for headers and links.
///
/// It is the server span where no other one is entered.
pub fn current_context() -> SpanContext {
    raw::current_context()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sleep;

    #[test]
    fn values_are_any_expressions() {
        let delta: i32 = 3;
        // There is no host to be told.
        let _ = || {
            drop(span!("of literals", "a" = 1, "b" = "x",));
            drop(span!(client "of signs", "a" = -1, "b" = -delta, "c" = -(delta)));
            drop(span!(
                "of all",
                "a" = 1,
                "b" = delta,
                "c" = delta.pow(2),
                "d" = !delta
            ));
        };
    }

    #[test]
    fn spans_and_sleep_are_held_in_futures_that_have_to_be_send() {
        fn demand_send(_: impl Send) {}
        fn demand_sync<T: Send + Sync>() {}

        demand_sync::<Span>();
        demand_sync::<EnteredSpan>();
        demand_send(async {
            let _span = span!("held");
            sleep(std::time::Duration::from_millis(1)).await;
        });
    }
}
