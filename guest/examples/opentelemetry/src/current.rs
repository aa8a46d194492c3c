//! The current span of the API and that of the host, which are one.

use std::time::Duration;

use fanlight_guest::{Response, info, join, sleep, span};
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
    let tracer = global::tracer("library");
    let context = Context::current_with_span(tracer.start(name));
    async {
        let _held = span!(format!("{name}_held"));
        sleep(Duration::from_millis(milliseconds)).await;
        drop(tracer.start(child));
    }
    .with_context(context)
    .await;
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
