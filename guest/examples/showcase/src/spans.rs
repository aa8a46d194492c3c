//! What a single span can say, and where it hangs.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fanlight_guest::{
    Exception, Request, Response, Span, SpanContext, SpanKind, Status, TraceFlags, attributes, span,
};

use crate::{done, number};

/// A point in time that tests can expect: 2023-11-14T22:13:20Z.
const FIXED: Duration = Duration::from_secs(1_700_000_000);

fn fixed_time() -> SystemTime {
    UNIX_EPOCH + FIXED
}

/// a > b > c, and d below a again.
pub(crate) fn nested() -> Response {
    let _a = span!("a");
    {
        let _b = span!("b");
        let _c = span!("c");
    }
    let _d = span!("d");
    done()
}

/// `child` hangs below `parent`, though `current` is the current span.
pub(crate) fn explicit_parent() -> Response {
    let parent = Span::builder("parent").start();
    let _current = span!("current");
    let _child = Span::builder("child").parent(&parent.context()).start();
    done()
}

/// `new_root` begins a trace of its own; the answer says which.
pub(crate) fn root_span() -> Response {
    let _current = span!("current");
    let root = Span::builder("new_root").root().start();
    let _below = Span::builder("below_root").parent(&root.context()).start();
    crate::context::told(&root.context())
}

/// `linked` refers to `first`, and to a span of another process.
pub(crate) fn links() -> Response {
    let first = Span::builder("first").start();
    let linked = Span::builder("linked")
        .link(&first.context(), attributes!["reason" = "at start"])
        .start();
    let remote = SpanContext {
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        span_id: "b7ad6b7169203331".into(),
        trace_flags: TraceFlags::SAMPLED,
        trace_state: "vendor=value".into(),
        is_remote: true,
    };
    linked.add_link(&remote, &attributes!["reason" = "later"]);
    let invalid = SpanContext {
        trace_id: "0".repeat(32),
        ..remote
    };
    linked.add_link(&invalid, &attributes!["reason" = "ignored"]);
    done()
}

/// `eventful` has an event now and one at a time of its own.
pub(crate) fn events() -> Response {
    let span = span!("eventful");
    span.add_event("now", &attributes!["attempt" = 1, "cached" = false]);
    span.add_event_at(
        "earlier",
        fixed_time() + Duration::from_nanos(5),
        &attributes!["attempt" = 0],
    );
    done()
}

/// `failing` records an exception that brings its stack, or lets the host find it.
pub(crate) fn exception(request: &Request) -> Response {
    let span = span!("failing");
    if number(request, "with_stack", 0) == 1 {
        span.record_exception(
            Exception::new("ValueError", "with a stack of its own")
                .stacktrace("at somewhere\nat somewhere_else")
                .attributes(&attributes!["exception.escaped" = false])
                .time(fixed_time()),
        );
    } else {
        record_io_error(&span);
    }
    done()
}

/// Is named by the stack trace that the host adds.
#[inline(never)]
fn record_io_error(span: &Span) {
    span.record_exception(&io::Error::other("no stack of its own"));
}

/// Ok is final: the error after it is ignored.
pub(crate) fn status_ok() -> Response {
    let span = span!("checked");
    span.set_status(Status::Error("before"));
    span.set_status(Status::Ok);
    span.set_status(Status::Error("after"));
    done()
}

/// Unset is ignored: the error before it stays.
pub(crate) fn status_error() -> Response {
    let span = span!("failed");
    span.set_status(Status::Error("it broke"));
    span.set_status(Status::Unset);
    done()
}

/// `renamed` was called otherwise at its start.
pub(crate) fn rename() -> Response {
    let span = span!("first_name");
    span.update_name("renamed");
    done()
}

/// `described` has a value of each type, some set at its start, one key twice.
pub(crate) fn attributes() -> Response {
    let span = span!(
        "described",
        "string" = "text",
        "twice" = "first",
        "" = "ignored"
    );
    span.set_attributes(&attributes![
        "bool" = true,
        "s64" = -42,
        "f64" = 2.5,
        "string_list" = ["a", "b"],
        "bool_list" = [true, false],
        "s64_list" = [1, -2, 3],
        "f64_list" = [0.5, -1.5],
    ]);
    span.set_attribute("twice", "second");
    done()
}

/// One span of each kind, named after it.
pub(crate) fn kinds() -> Response {
    drop(span!("internal"));
    drop(span!(server "server"));
    drop(span!(client "client"));
    drop(span!(producer "producer"));
    drop(span!(consumer "consumer"));
    drop(Span::builder("built").kind(SpanKind::Client).start());
    done()
}

/// `timed` lasts from a fixed time for 1.5 s.
pub(crate) fn times() -> Response {
    let span = Span::builder("timed").start_time(fixed_time()).start();
    span.end_at(fixed_time() + Duration::from_millis(1500));
    done()
}

/// `scoped` is said by a library.
pub(crate) fn scope() -> Response {
    drop(
        Span::builder("scoped")
            .scope("showcase-library", "1.2.3")
            .start(),
    );
    done()
}
