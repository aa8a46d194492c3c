//! The current span of the API and that of the host, which are one.

use std::time::Duration;

use fanlight_guest::{Response, current_context, info, join, sleep, span, timeout};
use opentelemetry::trace::{FutureExt, Span, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};

use crate::done;

/// `outer` > `sdk` > `inner` > `sdk_inner`, and `next` below `outer`; what is
/// logged and printed belongs to the innermost.
pub(crate) fn in_span() -> Response {
    let tracer = global::tracer("library");
    tracer.in_span("outer", |context| {
        context.span().set_attribute(KeyValue::new("user.id", 7));
        let sdk = span!("sdk");
        tracer.in_span("inner", |_| {
            println!("printed within inner");
            let _sdk_inner = span!("sdk_inner");
            info!("logged within sdk_inner");
        });
        drop(sdk);
        let mut next = tracer.start("next");
        next.end();
    });
    info!("logged within none");
    drop(span!("after"));
    done()
}

/// Two branches, each within a context over an `.await`, with a span of the SDK
/// that is held meanwhile and a child after it.
pub(crate) async fn joined() -> Response {
    let outer = global::tracer("library").start("outer");
    let outer = Context::current_with_span(outer);
    join(branch("a", "a_child", 20), branch("b", "b_child", 10))
        .with_context(outer)
        .await;
    done()
}

async fn branch(name: &'static str, child: &'static str, milliseconds: u64) {
    let context = Context::current_with_span(global::tracer("library").start(name));
    holding(format!("{name}_held"), child, milliseconds)
        .with_context(context)
        .await;
}

/// A span of the SDK over an `.await`, and one of the API below it.
async fn holding(name: String, child: &'static str, milliseconds: u64) {
    let _held = span!(name);
    sleep(Duration::from_millis(milliseconds)).await;
    drop(global::tracer("library").start(child));
}

/// Two branches within one context, `shared`.
pub(crate) async fn shared() -> Response {
    let shared = global::tracer("library").start("shared");
    let shared = Context::current_with_span(shared);
    join(
        holding("a".into(), "a_child", 20).with_context(shared.clone()),
        holding("b".into(), "b_child", 10).with_context(shared),
    )
    .await;
    done()
}

/// `cut_off` and `left_later` end with their guards, although the context that
/// they were made in is detached by then and its span goes on.
pub(crate) async fn outlived() -> Response {
    let tracer = global::tracer("library");
    let goes_on = Context::current_with_span(tracer.start("goes_on"));
    let slow = async {
        let _guard = span!("cut_off");
        sleep(Duration::from_secs(10)).await;
    };
    let slow = slow.with_context(goes_on.clone());
    timeout(Duration::from_millis(10), slow).await.ok();
    drop(tracer.start("after_cut_off"));
    let attached = goes_on.clone().attach();
    let guard = span!("left_later");
    drop(attached);
    drop(guard);
    drop(tracer.start("after_left_later"));
    drop(goes_on);
    done()
}

/// For a host that takes one span: `parent` is known although a child of it was
/// let go of, which had no identity of its own.
pub(crate) fn over_limit() -> Response {
    let tracer = global::tracer("library");
    let parent = Context::current_with_span(tracer.start("parent"));
    drop(tracer.start_with_context("child", &parent));
    let _attached = parent.with_value(7).attach();
    info!("logged within parent");
    done()
}

/// Tells whether a span without a parent is where the current span is: before
/// a span of the SDK, within it, and after it.
pub(crate) fn parentless() -> Response {
    let tracer = global::tracer("library");
    let is_current = || {
        let mut span = tracer.start_with_context("parentless", &Context::new());
        let id = span.span_context().span_id().to_string();
        span.end();
        id == current_context().span_id
    };
    let before = is_current();
    let within = {
        let _sdk = span!("sdk");
        is_current()
    };
    Response::text(format!("{before} {within} {}\n", is_current()))
}

/// `a` is detached before `b`, which was attached within it.
pub(crate) fn order() -> Response {
    let tracer = global::tracer("library");
    let in_a = Context::current_with_span(tracer.start("a")).attach();
    let in_b = Context::current_with_span(tracer.start("b")).attach();
    drop(in_a);
    drop(span!("under_b"));
    drop(in_b);
    drop(span!("under_server"));
    done()
}
